"""``run_seeded``: are the seeded faults found, and is the right culprit named? The matrix's own test.

Every fault of ``device_tests/faults.toml`` is put into a virtual device, run and judged; so are devices in
order, which must pass.

    outcome = run_seeded(faults(), workers=2)
    outcome.caught, outcome.right_culprit            # shares
    print(outcome.table())
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .cell import Culprit, Status
from .execute import execute
from .faults import Fault
from .lab import devices
from .plan import PlannedCell, candidates
from .policy import Policy
from .profile import profile
from .result import Result
from .tiers import tier
from .verdict import Verdict, judge
from .virtual import virtual_models

__all__ = ["SeededOutcome", "Seen", "judge_fault", "run_seeded"]

CHIPSET = "virtual-steady"
TIER = "glance"


@dataclass(frozen=True)
class Seen:
    """What the verdict on one seeded fault says; ``fault`` None: a device in order."""

    fault: Fault | None
    verdict: Verdict

    @property
    def name(self) -> str:
        """Of the fault."""
        return self.fault.name if self.fault else f"(in order, {self.verdict.cell.task})"

    @property
    def caught(self) -> bool:
        """It does not pass; a device in order does."""
        return (self.verdict.status is not Status.PASS) == (self.fault is not None)

    @property
    def culprit(self) -> Culprit | None:
        """The one that is right."""
        return self.fault.culprit if self.fault else None


@dataclass(frozen=True)
class SeededOutcome:
    """All of them."""

    seen: tuple[Seen, ...]

    @property
    def caught(self) -> float:
        """Share of the faults that do not pass."""
        faults = [s for s in self.seen if s.fault]
        return sum(s.caught for s in faults) / max(1, len(faults))

    @property
    def right_culprit(self) -> float:
        """Share of the faults that are caught with the right culprit."""
        faults = [s for s in self.seen if s.fault]
        return sum(s.caught and s.verdict.culprit is s.culprit for s in faults) / max(1, len(faults))

    @property
    def false_alarms(self) -> int:
        """Devices in order that do not pass."""
        return sum(not s.caught for s in self.seen if s.fault is None)

    def table(self) -> str:
        """One line for each, and the shares."""
        lines = [f"{'':8}{'fault':24}{'':6}{'named':9}{'right':9}{'rule':15}reason"]
        for s in self.seen:
            right = s.caught and s.verdict.culprit is s.culprit
            mark = "ok" if right else "CULPRIT" if s.caught else "MISSED"
            named = s.verdict.culprit.value if s.verdict.culprit else "-"
            wanted = s.culprit.value if s.culprit else "-"
            rule = s.verdict.rule or "-"
            told = f"{mark:8}{s.name:24}{s.verdict.status.value:6}{named:9}{wanted:9}{rule:15}"
            lines.append(f"{told}{s.verdict.reason}".rstrip())
        count = sum(s.fault is not None for s in self.seen)
        lines.append(
            f"{count} faults: {self.caught:.1%} caught, {self.right_culprit:.1%} with the right culprit; "
            f"{self.false_alarms} false alarms"
        )
        return "\n".join(lines)


def run_seeded(faults: Sequence[Fault], *, workers: int = 2) -> SeededOutcome:
    """Run and judge them, and one device in order of each task."""
    with ThreadPoolExecutor(workers, thread_name_prefix="fault") as pool:
        seen = list(pool.map(judge_fault, [*faults, None, None], [*(f.task for f in faults), "sr", "de"]))
    return SeededOutcome(tuple(seen))


def judge_fault(fault: Fault | None, task: str, policy: Policy | None = None) -> Seen:
    """Run one on the steady virtual chipset, and judge it."""
    result = run_fault(fault, task)
    return Seen(fault, judge(result, profile(CHIPSET), policy or Policy()))


def run_fault(fault: Fault | None, task: str) -> Result:
    """The result of a device with that fault."""
    seeded = fault.seeded if fault else None
    timeout_s = fault.timeout_s if fault else None
    return execute(_cell(task), tier(TIER), run_id="seeded", seeded=seeded, timeout_s=timeout_s)


def _cell(task: str) -> PlannedCell:
    cells, _ = candidates(devices(profile(CHIPSET)), virtual_models(), tier=tier(TIER))
    return next(planned for planned in cells if planned.cell.task == task)
