"""``Evidence``: one run with what it is judged by, and the figures that rules ask for.

Nothing is judged here.

evidence = Evidence(result, profile(result.cell.soc), Policy())
evidence.late_frames, evidence.deadline_us
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from lumavox.telemetry import Histogram

from .cell import Culprit, Status
from .policy import Policy
from .presets import HOP_S, preset
from .profile import ChipsetProfile, EngineSupport
from .result import Result
from .runner.record import Observation, Record
from .tiers import TIERS

__all__ = ["Evidence", "Finding", "late_in", "p99_us"]

BUCKETS_PER_OCTAVE = 18  # of `lumavox.telemetry.Histogram`

Buckets = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Finding:
    """What one rule found wrong: FAIL is the product's fault, ERROR the test's or the lab's."""

    rule: str
    status: Status
    culprit: Culprit
    what: str
    evidence: str  # where it is in the record: an observation, a phase, a histogram
    value: float | None = None
    limit: float | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Evidence:
    """``chipset`` is None where nobody has a profile of that name any more."""

    result: Result
    chipset: ChipsetProfile | None
    policy: Policy

    @property
    def record(self) -> Record | None:
        """The run's record, if one came back."""
        return self.result.record

    @functools.cached_property
    def _observations(self) -> dict[str, Observation]:
        every = self.record.observations if self.record else ()
        return {found.name: found for found in reversed(every)}  # the first of a name counts

    def seen(self, name: str) -> Observation | None:
        """The observation of that name."""
        return self._observations.get(name)

    def failed(self, name: str) -> Observation | None:
        """The observation of that name, if it is beyond its limit."""
        found = self.seen(name)
        return found if found is not None and found.passed is False else None

    @functools.cached_property
    def support(self) -> EngineSupport | None:
        """What the profile says about this engine and delegate."""
        cell = self.result.cell
        return self.chipset.engine(cell.engine, cell.delegate) if self.chipset else None

    @property
    def accelerated(self) -> bool:
        """Whether something else than the CPU was asked for."""
        return self.result.cell.delegate != "cpu"

    @property
    def times_count(self) -> bool:
        """Whether durations say something about the device: never under an emulator."""
        return self.result.rung.times_are_latencies

    @property
    def deadlines_count(self) -> bool:
        """Whether frames came as in a player: paced, or by a scripted clock. What is taken as fast as
        a busy machine can proves order and numbers only."""
        paced = self.result.tier in TIERS and TIERS[self.result.tier].paced
        return self.times_count and (paced or (self.record is not None and self.record.clock == "scripted"))

    @property
    def deadline_us(self) -> float:
        """Of one call of the engine: a frame, or a hop of sound."""
        name = self.result.cell.preset
        ms = self.chipset.budgets.deadline_of(name) if self.chipset else preset(name).interval_ms
        return 1e3 * ms

    @property
    def loop_deadline_us(self) -> float:
        """Of one frame, or of one block of sound: as many hops as may fall into it."""
        chosen = preset(self.result.cell.preset)
        if chosen.task == "sr":
            return self.deadline_us
        return self.deadline_us * math.ceil(chosen.block / chosen.rate / HOP_S)

    @functools.cached_property
    def late_frames(self) -> int:
        """Frames (or blocks) beyond their deadline: those that took longer or that lumavox gave up."""
        record = self.record
        if record is None:
            return 0
        told = record.telemetry.frames_late or 0 if record.telemetry else 0
        return max(late_in(record.loop_us, self.loop_deadline_us), told)

    @property
    def units(self) -> int:
        """Frames (or blocks) that were streamed."""
        return (self.record.units or 0) if self.record else 0

    def median_us(self, kind: str) -> float | None:
        """Median of ``"engine"`` (the bare engine's) or ``"reference"`` calls."""
        if self.record is None:
            return None
        if kind == "engine":
            alone = self.seen("engine_p50")
            return alone.value if alone else None
        if not self.record.reference_us:
            return None
        return Histogram.of(self.record.reference_us, self.record.reference_max_us or 0.0).percentile(50)


def late_in(buckets: Buckets, deadline_us: float) -> int:
    """How many of a histogram's values are above a deadline; a bucket that the deadline divides is not."""
    edge = math.log2(max(deadline_us, 1.0)) * BUCKETS_PER_OCTAVE
    return sum(count for bucket, count in buckets if bucket >= edge)


def p99_us(buckets: Buckets, max_us: float) -> float | None:
    """The 99th percentile with the place inside its bucket (between the values around it, evenly on the
    logarithmic scale): run-to-run comparisons need more than the 4 % of a bucket. None if empty."""
    total = sum(count for _, count in buckets)
    rank, below = 0.99 * total, 0
    for bucket, count in buckets:
        if below + count >= rank:
            inside = (rank - below) / count
            return float(min(2.0 ** ((bucket + inside) / BUCKETS_PER_OCTAVE), max_us or math.inf))
        below += count
    return None
