"""``Verdict``: whether a run, or a cell of many, passes; how sure that is; and if not, whose fault it is.

    verdict = judge(result, profile(result.cell.soc), Policy())
    verdict.status, verdict.validity, verdict.delegation, verdict.culprit, verdict.reason
    verdict.plain_green                      # what may be shown as green without a word

Status and validity are two things: a run with too few frames may pass, and says little. A run that fell back
to the CPU, or may have, is never plain green. The rules are in ``rules``; a verdict keeps what they found.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from .cell import Cell, Culprit, Rung, Status
from .evidence import Evidence, Finding
from .policy import Policy
from .presets import preset
from .profile import ChipsetProfile
from .result import Result
from .rules import RULES
from .rules.proofs import nodes_of
from .tiers import TIERS, frames_for_percentile, provable_percentile

__all__ = ["Delegation", "Validity", "Verdict", "combine", "judge"]


MOST_LATE = 50


class Validity(str, enum.Enum):
    """How much a run says, whatever its status."""

    VALID = "valid"
    SEMIVALID = "semivalid"  # complete, and too short to prove what the policy claims
    INVALID = "invalid"  # the lab disturbed it; its numbers do not count


class Delegation(str, enum.Enum):
    """How much of the network ran where it was asked to."""

    NOT_REQUESTED = "not requested"  # the CPU was asked for
    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"
    UNPROVEN = "unproven"  # the engine does not say, and nothing contradicts it


@dataclass(frozen=True)
class Verdict:
    """``reason`` is one sentence; ``findings`` in the order of causes. ``gap``: a known gap of the profile
    explains it ("known"), or was expected and passes ("healed")."""

    cell: Cell
    status: Status
    rung: Rung
    validity: Validity
    validity_reason: str
    delegation: Delegation
    delegation_proof: str
    reason: str
    culprit: Culprit | None = None
    rule: str | None = None
    findings: tuple[Finding, ...] = ()
    proven_percentile: float | None = None  # that so many frames can prove to be in time
    gap: str | None = None
    gap_reason: str | None = None
    runs: int = 1
    flaky: str | None = None  # "1 of 4 runs"

    @property
    def plain_green(self) -> bool:
        """It passes, and nothing has to be said about it."""
        proven = self.delegation in (Delegation.NOT_REQUESTED, Delegation.FULL)
        return self.status is Status.PASS and proven and self.validity is Validity.VALID and not self.gap

    @property
    def stops_release(self) -> bool:
        """FAIL that no known gap explains."""
        return self.status is Status.FAIL and self.gap != "known"


def judge(result: Result, chipset: ChipsetProfile | None, policy: Policy) -> Verdict:
    """The verdict on one run. ``chipset`` gives budgets and gaps; without it only general gates hold."""
    evidence = Evidence(result, chipset, policy)
    findings = tuple(finding for rule in RULES for finding in rule(evidence))
    first = min(findings, key=lambda f: f.status.severity, default=None)  # min keeps the order of causes
    status = first.status if first else _without_finding(result)
    validity, why = _validity(evidence, findings)
    delegation, proof = _delegation(evidence, findings)
    made = Verdict(
        cell=result.cell,
        status=status,
        rung=result.rung,
        validity=validity,
        validity_reason=why,
        delegation=delegation,
        delegation_proof=proof,
        reason=first.what if first else _words(evidence, status),
        culprit=first.culprit if first else None,
        rule=first.rule if first else None,
        findings=findings,
        proven_percentile=_proven(evidence),
    )
    return _with_gap(made, chipset)


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a cell from those on its runs, the oldest first. Runs that say nothing about the product
    (ERROR, MISS, SKIP) count only if there are no others; of the others the worst, of those the newest."""
    said = [v for v in verdicts if v.status in (Status.FAIL, Status.PASS, Status.DONE)] or list(verdicts)
    worst = min(reversed(said), key=lambda v: v.status.severity)
    same = sum(v.status is worst.status for v in said)
    flaky = f"{worst.status.value} in {same} of {len(said)} runs" if same < len(said) else None
    best = max((v.validity for v in said if v.status is worst.status), key=_by_worth)
    if (
        worst.status is Status.PASS and best is not worst.validity
    ):  # one long run proves what short ones do not
        worst = next(v for v in reversed(said) if v.validity is best and v.status is worst.status)
    return dataclasses.replace(worst, runs=len(verdicts), flaky=flaky)


def _by_worth(validity: Validity) -> int:
    return -list(Validity).index(validity)


def _without_finding(result: Result) -> Status:
    """A complete run passes; a first status that no rule takes up stands."""
    return Status.PASS if result.status is Status.DONE else result.status


def _words(evidence: Evidence, status: Status) -> str:
    if status is not Status.PASS:
        return evidence.result.reason
    judged = sum(o.passed is not None for o in (evidence.record.observations if evidence.record else ()))
    units = f"{evidence.units} frames" if evidence.result.cell.task == "sr" else f"{evidence.units} blocks"
    return f"{judged} observations within their limits, {units}"


def _validity(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Validity, str]:
    spoiled = next((f for f in findings if f.status in (Status.ERROR, Status.MISS)), None)
    if spoiled is not None:
        return Validity.INVALID, spoiled.what
    result, units = evidence.result, evidence.units
    if evidence.record is None or not evidence.record.complete:
        return Validity.VALID, "it ended early, by the product's own fault"
    wanted = TIERS[result.tier].frames(preset(result.cell.preset).units_per_s) if result.tier in TIERS else 0
    claim = evidence.policy.timing.claim_percentile
    needed = _needed(claim)
    if result.cell.task == "sr" and units < wanted:
        return Validity.SEMIVALID, f"{units} of {wanted} frames of tier {result.tier}: the time was over"
    if units < needed:
        return Validity.SEMIVALID, f"{units} units; p{claim:g} in time needs {needed}"
    if not evidence.times_count:
        return Validity.VALID, "numbers and order; times of an emulator are not judged"
    return Validity.VALID, f"{units} units, enough for a claim of p{_provable(units):g}"


def _delegation(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Delegation, str]:
    result = evidence.result
    if not evidence.accelerated:
        return Delegation.NOT_REQUESTED, "the CPU was asked for"
    nodes = nodes_of(evidence)
    slow = next((f for f in findings if f.rule == "as_slow_as_cpu"), None)
    if nodes is not None and nodes[0] < nodes[1]:
        told = f"{nodes[0]} of {nodes[1]} operators on {result.cell.delegate}"
        return (Delegation.PARTIAL if nodes[0] else Delegation.NONE), told
    if slow is not None:
        return Delegation.NONE, slow.what
    engine, reference = evidence.median_us("engine"), evidence.median_us("reference")
    if engine and reference and evidence.times_count:
        faster = f"{reference / engine:.1f} times as fast as the CPU"
        return Delegation.FULL, faster + (f", all {nodes[1]} operators" if nodes else "")
    if nodes is not None:
        return Delegation.FULL, f"all {nodes[1]} operators on {result.cell.delegate}, by its own word"
    return Delegation.UNPROVEN, "the engine does not say, and there is no CPU time to compare with"


def _with_gap(verdict: Verdict, chipset: ChipsetProfile | None) -> Verdict:
    gap = chipset.gap_for(verdict.cell) if chipset else None
    if gap is None:
        return verdict
    if verdict.status is gap.status:
        return dataclasses.replace(verdict, gap="known", gap_reason=gap.reason)
    if verdict.status is Status.PASS:
        return dataclasses.replace(verdict, gap="healed", gap_reason=gap.reason)
    return verdict


_needed = functools.cache(frames_for_percentile)
_provable = functools.cache(provable_percentile)


def _proven(evidence: Evidence) -> float | None:
    """The percentile that this run itself proves to be in time, with the late frames that it has."""
    late = max(1, evidence.late_frames)
    if not evidence.deadlines_count or late > MOST_LATE:
        return None
    return _provable(evidence.units, late)
