"""``Histogram`` of latencies, the mergeable part of a telemetry record. Public as ``telemetry.Histogram``.

latencies = Histogram()
latencies.add(1234.5)                     # microseconds
(latencies + others).percentile(99)
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .errors import OptionError

BUCKETS_PER_OCTAVE = 18  # a bucket's centre is within 2**(1/36) - 1 = 1.94 % of all it holds
OCTAVES = 30  # 1 us to 2**30 us = 18 minutes; less or more counts in the first or last bucket
_LAST = BUCKETS_PER_OCTAVE * OCTAVES - 1


class Histogram:
    """Latencies in fixed logarithmic buckets: mergeable, never growing, relative error at most 2 %.

    Bucket ``i`` holds ``2**(i/18)`` to ``2**((i+1)/18)`` microseconds, the same in every process, so that
    histograms of many sessions and devices add up. The largest value is kept exactly.
    """

    __slots__ = ("_counts", "max_us")

    def __init__(self) -> None:
        self._counts = [0] * (_LAST + 1)
        self.max_us = 0.0

    def add(self, value_us: float) -> None:
        """Count one latency in microseconds; what is no positive number counts as less than 1 us."""
        if value_us > self.max_us:
            self.max_us = min(float(value_us), 2.0**OCTAVES)
        if value_us > 1.0:
            octave = min(math.log2(value_us), OCTAVES)
            self._counts[min(int(octave * BUCKETS_PER_OCTAVE), _LAST)] += 1
        else:
            self._counts[0] += 1

    @property
    def count(self) -> int:
        """How many latencies were added."""
        return sum(self._counts)

    def percentile(self, percent: float) -> float:
        """The value that ``percent`` of all latencies do not exceed (nearest rank), in us; NaN if empty."""
        counts = list(self._counts)
        rank = max(1, math.ceil(percent / 100 * sum(counts) - 1e-9))
        below = 0
        for index, count in enumerate(counts):
            below += count
            if below >= rank:
                return min(2.0 ** ((index + 0.5) / BUCKETS_PER_OCTAVE), self.max_us)
        return math.nan

    def __add__(self, other: Histogram) -> Histogram:
        """Both together, as if all latencies had been added to one."""
        both = Histogram()
        both._counts = [a + b for a, b in zip(self._counts, other._counts)]
        both.max_us = max(self.max_us, other.max_us)
        return both

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self._counts == other._counts and self.max_us == other.max_us

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<Histogram of {self.count}, p50 {self.percentile(50):.0f} us, max {self.max_us:.0f} us>"

    def buckets(self) -> tuple[tuple[int, int], ...]:
        """(bucket, count) of each bucket that is not empty."""
        return tuple((index, count) for index, count in enumerate(self._counts) if count)

    @classmethod
    def of(cls, buckets: Iterable[tuple[int, int]], max_us: float) -> Histogram:
        """The inverse of ``buckets``. Raises OptionError for buckets that do not exist or do not rise."""
        made, before = cls(), -1
        for index, count in buckets:
            if not before < index <= _LAST or count < 1:
                raise OptionError(
                    f"bucket {index} with count {count}: buckets rise from 0 to {_LAST}, counts begin at 1"
                )
            made._counts[index] = count
            before = index
        made.max_us = max_us
        return made
