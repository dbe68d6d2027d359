"""``History``: what earlier results say about time and risk of a cell.

The predicted time of a cell is the median of its own runs in that tier, else of runs of that chipset and
task, else the tier's own length and a usual start-up time. The risk weight is 1 for what passed, more for
what failed, was never run, or leaves the CPU.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable

from .cell import Cell, Status
from .presets import preset
from .profile import profile
from .result import Result
from .tiers import Tier

__all__ = ["History"]

START_UP_S = 6.0
"""Push, interpreter start, load and pull, where nothing is known."""

SCRIPTED_FRAME_S = 0.004
"""Arithmetic of a frame on a device whose time is scripted."""

RISK_NEW, RISK_FAILED, RISK_ACCELERATOR, RISK_INTEGER = 1.0, 4.0, 2.0, 0.5


class History:
    """Made from results; without any it knows the tiers only."""

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._seconds: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._last: dict[str, tuple[int, Status]] = {}
        self.cells: dict[str, Cell] = {}
        for result in results:
            cell = result.cell
            self.cells[cell.digest] = cell
            if result.outcome.link_error is None and not result.outcome.timed_out:
                self._seconds[(cell.digest, result.tier)].append(result.outcome.seconds)
                self._seconds[(cell.soc, cell.task, result.tier)].append(result.outcome.seconds)
            before = self._last.get(cell.digest)
            if before is None or before[0] <= result.began_ms:
                self._last[cell.digest] = (result.began_ms, result.status)

    def known(self, cell: Cell) -> bool:
        """Whether the cell was run before."""
        return cell.digest in self._last

    def predict_s(self, cell: Cell, tier: Tier) -> float:
        """Seconds that a run of the cell takes."""
        for key in ((cell.digest, tier.name), (cell.soc, cell.task, tier.name)):
            if key in self._seconds:
                return statistics.median(self._seconds[key])
        units_per_s = preset(cell.preset).units_per_s
        if profile(cell.soc).scripted_clock:
            return START_UP_S + SCRIPTED_FRAME_S * tier.frames(units_per_s)
        if not tier.paced:
            return START_UP_S
        return START_UP_S + tier.run_s(units_per_s)

    def risk(self, cell: Cell) -> float:
        """1 for a cell that is in order, more for others."""
        weight = 1.0
        last = self._last.get(cell.digest)
        if last is None:
            weight += RISK_NEW
        elif last[1] in (Status.FAIL, Status.ERROR, Status.MISS):
            weight += RISK_FAILED
        if cell.delegate != "cpu":
            weight += RISK_ACCELERATOR
        if cell.precision != "float32":
            weight += RISK_INTEGER
        return weight
