"""Applies `RuntimeFaults`: what a wrong runtime would do, between the source and the checks.

Only virtual chipsets have any. The faults act on what is sent in, on time and on memory, so that the checks
see them in the output alone, as they would see the real ones.
"""

from __future__ import annotations

import signal
import time

import numpy as np

from .job import RuntimeFaults

__all__ = ["Faulty"]


class Faulty:
    """Made for one stream of units (frames or blocks) of ``interval_s`` seconds."""

    def __init__(self, faults: RuntimeFaults, interval_s: float) -> None:
        self._faults, self._interval_s = faults, interval_s
        self._kept: list[np.ndarray] = []

    def number(self, n: int) -> int:
        """The frame that comes out in place of frame ``n``."""
        faults = self._faults
        if n in faults.drop or n in faults.repeat:
            n = n - 1
        elif n in faults.swap:
            n = n + 1
        elif n - 1 in faults.swap:
            n = n - 1
        return max(0, n - round(self.shift_s(n) / self._interval_s))

    def shift_s(self, n: int) -> float:
        """How much later than it should unit ``n`` comes."""
        faults = self._faults
        return (faults.delay_ms + faults.delay_growth_ms_per_s * n * self._interval_s) / 1e3

    def wall_s(self, n: int, frames: int) -> float:
        """The wall clock's error after unit ``n``."""
        return self._faults.clock_jump_ms / 1e3 if n >= frames // 2 else 0.0

    def work(self, n: int) -> None:
        """What the runtime does beside: takes time, keeps memory, crashes."""
        faults = self._faults
        if faults.slow_ms:
            time.sleep(faults.slow_ms / 1e3)
        if faults.leak_kib:
            self._kept.append(np.ones(faults.leak_kib << 10, np.uint8))
        if faults.crash_at == n:
            signal.raise_signal(signal.SIGSEGV)

    def spoil(self, luma: np.ndarray) -> None:
        """A seam across the middle of a finished picture, in place."""
        if self._faults.seam:
            half = luma[luma.shape[0] // 2 :]
            half[...] = np.clip(half.astype(np.int32) + self._faults.seam, 0, 255)
