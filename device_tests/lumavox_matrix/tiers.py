"""``Tier``: how long a cell is run, and which percentile that many frames can prove.

A percentile claim ("99.9 % of frames are in time") at 99 % confidence needs enough frames: of ``n`` frames
at most ``t`` may be late, so that ``P(Binomial(n, 1 - p) <= t) <= 0.01``. That is the early-stopping rule
of MLPerf Inference; with one late frame allowed it gives 662 frames for p99 and 6,636 for p99.9.

    tier("gate").frames(60)                    # 7200
    provable_percentile(600)                   # 95.0
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

from lumavox.errors import OptionError

__all__ = ["PERCENTILES", "TIERS", "Tier", "frames_for_percentile", "provable_percentile", "tier"]

CONFIDENCE = 0.99
LATE_ALLOWED = 1
PERCENTILES = (90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Tier:
    """``seconds`` of content; never fewer than ``min_frames``. ``paced``: frames come at the preset's rate,
    as in a player, and not as fast as they are taken."""

    name: str
    seconds: float
    min_frames: int
    paced: bool
    budget_s: float | None = None  # a run that is not paced ends after so long, with fewer frames
    quality: bool = True  # measure quality against the float32 reference

    def frames(self, units_per_s: float) -> int:
        """Frames (or hops) of a run at that rate."""
        return max(self.min_frames, math.ceil(self.seconds * units_per_s))

    def run_s(self, units_per_s: float) -> float:
        """How long a paced run takes; one that is not paced may take less or more."""
        return self.frames(units_per_s) / units_per_s


TIERS = MappingProxyType(
    {
        t.name: t
        for t in (
            # Outputs to compare bit for bit, for emulators.
            Tier("numerics", 0.0, 8, paced=False, budget_s=1.0, quality=False),
            # Order and numbers only, for scripted devices and tests.
            Tier("glance", 0.0, 96, paced=False, budget_s=30.0),
            Tier("smoke", 10.0, 130, paced=True),
            Tier("gate", 120.0, 6_636, paced=True),
            Tier("sustained", 1_800.0, 6_636, paced=True),
            Tier("soak", 7_200.0, 6_636, paced=True),
        )
    }
)


def tier(name: str) -> Tier:
    """The tier of that name. Raises OptionError naming the nearest."""
    if name not in TIERS:
        raise OptionError.unknown("tier", name, TIERS)
    return TIERS[name]


def frames_for_percentile(
    percent: float, late_allowed: int = LATE_ALLOWED, confidence: float = CONFIDENCE
) -> int:
    """The fewest frames that prove the percentile with that many of them late."""
    if not 0 < percent < 100 or late_allowed < 0 or not 0 < confidence < 1:
        raise OptionError(f"no number of frames proves p{percent:g} at confidence {confidence:g}")
    low, high = late_allowed + 1, 2 * (late_allowed + 1)
    while not _proves(high, late_allowed, percent, confidence):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if _proves(middle, late_allowed, percent, confidence):
            high = middle
        else:
            low = middle + 1
    return low


def provable_percentile(frames: int, late_allowed: int = LATE_ALLOWED) -> float | None:
    """The highest of ``PERCENTILES`` that this many frames can prove, None if not even the lowest."""
    proven = [p for p in PERCENTILES if frames >= frames_for_percentile(p, late_allowed)]
    return max(proven, default=None)


def _proves(n: int, late: int, percent: float, confidence: float) -> bool:
    """Whether ``P(X <= late) <= 1 - confidence`` for X late frames of n at exactly that percentile."""
    chance = 1 - percent / 100
    log_terms = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(chance) + (n - k) * math.log1p(-chance)
        for k in range(late + 1)
    ]  # fmt: skip
    return math.fsum(map(math.exp, log_terms)) <= 1 - confidence
