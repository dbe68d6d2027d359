"""``gate``: may this be released? From judged cells, a policy, and perhaps a comparison with one before.

decision = gate(cells, policy, compared=difference(...))
decision.passed, decision.stops, decision.notes
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from .cell import Status
from .difference import Difference
from .judged import Judged
from .policy import Policy
from .verdict import Delegation, Validity

__all__ = ["Decision", "gate"]


@dataclass(frozen=True)
class Decision:
    """``stops`` are the reasons against a release, ``notes`` what was allowed and should be known."""

    stops: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether there is no reason against it."""
        return not self.stops


def gate(
    cells: Sequence[Judged],
    policy: Policy,
    compared: Difference | None = None,
    today: datetime.date | None = None,
) -> Decision:
    """Hold the cells against the policy. ``today`` decides about waivers."""
    day = today or datetime.date.today()
    stops: list[str] = [] if cells else ["there are no results"]
    notes: list[str] = []
    _failures(cells, policy, day, stops, notes)
    _lab(cells, policy, stops, notes)
    _evidence(cells, policy, stops, notes)
    _chipsets(cells, policy, stops)
    if compared is not None:
        _regressions(compared, policy, day, stops, notes)
    return Decision(tuple(stops), tuple(notes))


def _failures(
    cells: Sequence[Judged], policy: Policy, day: datetime.date, stops: list[str], notes: list[str]
) -> None:
    for judged in cells:
        verdict = judged.verdict
        told = f"{judged.cell}: {verdict.reason}"
        if verdict.gap == "healed":
            healed = f"{judged.cell}: a known gap passes; take it out of the profile ({verdict.gap_reason})"
            (stops if policy.release.healed == "fail" else notes).append(healed)
        if verdict.flaky and verdict.status is Status.FAIL:
            told += f" [{verdict.flaky}]"
        if verdict.status is not Status.FAIL:
            continue
        waiver = next((w for w in policy.waivers if w.covers(judged.cell, day)), None)
        if verdict.gap == "known":
            notes.append(f"known gap: {told} ({verdict.gap_reason})")
        elif waiver:
            notes.append(f"waived until {waiver.until}: {told} ({waiver.reason})")
        elif verdict.flaky and policy.release.flaky == "report":
            notes.append(f"flaky: {told}")
        else:
            culprit = verdict.culprit.value if verdict.culprit else "nobody"
            stops.append(f"{culprit}: {told}")


def _lab(cells: Sequence[Judged], policy: Policy, stops: list[str], notes: list[str]) -> None:
    silent = [
        j for j in cells if j.verdict.status in (Status.ERROR, Status.MISS) and j.verdict.gap != "known"
    ]
    target = stops if len(silent) > policy.release.max_errors else notes
    if silent:
        first = silent[0]
        target.append(
            f"{len(silent)} cells say nothing (ERROR or MISS; at most {policy.release.max_errors} may), "
            f"such as {first.cell}: {first.verdict.reason}"
        )


def _evidence(cells: Sequence[Judged], policy: Policy, stops: list[str], notes: list[str]) -> None:
    passed = [j for j in cells if j.verdict.status is Status.PASS]
    unproven = [j for j in passed if j.verdict.delegation is Delegation.UNPROVEN]
    short = [j for j in passed if j.verdict.validity is not Validity.VALID]
    for found, most, what in (
        (unproven, policy.release.max_unproven, "pass without proof that the accelerator ran"),
        (short, policy.release.max_semivalid, "pass with too few frames for the claimed percentile"),
    ):
        if found:
            target = stops if most is not None and len(found) > most else notes
            target.append(f"{len(found)} cells {what}, such as {found[0].cell}")


def _chipsets(cells: Sequence[Judged], policy: Policy, stops: list[str]) -> None:
    least = policy.release.min_rung
    for name in policy.release.chipsets:
        passed = [j for j in cells if j.cell.soc == name and j.verdict.status is Status.PASS]
        if not passed:
            stops.append(f"{name}: no cell passes")
        elif not any(j.verdict.rung.level >= least.level for j in passed):
            best = max((j.verdict.rung for j in passed), key=lambda rung: rung.level)
            stops.append(f"{name}: the best evidence is {best.value}, the policy asks for {least.value}")


def _regressions(
    compared: Difference, policy: Policy, day: datetime.date, stops: list[str], notes: list[str]
) -> None:
    for row in compared.rows:
        change, cell = row.change, row.b.cell
        if change.what == "slower" and change.ratio is not None:
            told = f"{cell}: p99 {change.ratio - 1:+.1%} (p {change.p:.2g})"
            waiver = next((w for w in policy.waivers if w.covers(cell, day)), None)
            (notes if waiver else stops).append(f"slower: {told}" + (f" ({waiver.reason})" if waiver else ""))
        elif change.what == "suspected":
            notes.append(
                f"perhaps slower or faster: {cell}: run it {change.more_runs} more times on both sides"
            )
    waiting = [row for row in compared.rows if row.change.what == "unknown"]
    if waiting:
        most = max(row.change.more_runs for row in waiting)
        notes.append(f"{len(waiting)} cells have too few runs to compare; up to {most} more on both sides")
