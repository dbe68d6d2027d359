"""Deadline misses, told apart: a lone hiccup needs no answer, an overload needs a cheaper network.

Misses at most ``GAP_FRAMES`` frames apart are one burst. From ``PERSISTENT_FROM`` misses on all misses of a
burst are persistent, before that they are transient. If a share of 1 % of all frames was late for reasons
of its own, such a burst would come by chance once in hours at 60 frames per second; an engine that misses
every third frame is found out within a dozen frames.
"""

from __future__ import annotations

GAP_FRAMES = 5
PERSISTENT_FROM = 4


class MissCounter:
    """Counts misses of one stream. ``transient`` + ``persistent`` is the number of misses."""

    def __init__(self) -> None:
        self.transient = self.persistent = 0
        self._burst = 0
        self._since = GAP_FRAMES + 1  # frames since the last miss

    def add(self, late: bool) -> bool:
        """Count one frame. True if it is late, and its burst is persistent."""
        if not late:
            self._since += 1
            return False
        self._burst = self._burst + 1 if self._since < GAP_FRAMES else 1
        self._since = 0
        if self._burst < PERSISTENT_FROM:
            self.transient += 1
            return False
        if self._burst == PERSISTENT_FROM:
            self.transient -= PERSISTENT_FROM - 1
            self.persistent += PERSISTENT_FROM - 1
        self.persistent += 1
        return True

    def forget(self) -> None:
        """Begin a new burst with the next miss: another network runs from now on."""
        self._since = GAP_FRAMES + 1
