"""The sound of a file through the `DialogEnhancer`: `SoundTrack`.

Blocks of float samples in, the same number out in the end, none later than they were: the enhancer's
algorithmic delay is cut off at the start and its tail appended at the end. Loudness and true peak are
measured on both sides.
"""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
from numpy.typing import NDArray

from lumavox.audio import DialogEnhancer
from lumavox.loudness import LoudnessMeter

Samples = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Loudness:
    """Integrated loudness in LUFS and true peak in dBTP; None where there is none.

    Silence has neither, and sound of less than 0.4 s no loudness.
    """

    integrated_lufs: float | None
    true_peak_dbtp: float | None


class SoundTrack:
    """One sound stream being enhanced: ``feed`` each block ``(n, channels)``, then ``finish``.

    ``process_s`` is the time spent in the enhancer.
    """

    def __init__(self, enhancer: DialogEnhancer, rate_hz: int, channels: int) -> None:
        self.enhancer = enhancer
        self.rate_hz = rate_hz
        self.channels = channels
        self.samples = 0
        self.process_s = 0.0
        self._to_drop = enhancer.delay_samples
        self._given = 0
        self._before = LoudnessMeter(rate_hz, channels)
        self._after = LoudnessMeter(rate_hz, channels)

    def feed(self, block: Samples) -> Samples:
        """The enhanced samples that are complete by now; fewer than ``block`` has, while the delay fills."""
        if not len(block):
            return block
        self.samples += len(block)
        self._before.add(block)
        began = time.perf_counter()
        enhanced = self.enhancer.process(block)
        self.process_s += time.perf_counter() - began
        return self._aligned(np.asarray(enhanced, np.float32))

    def finish(self) -> Samples:
        """The rest, so that as many samples came out as went in."""
        began = time.perf_counter()
        tail = self.enhancer.flush()
        self.process_s += time.perf_counter() - began
        return self._aligned(np.asarray(tail, np.float32))

    def _aligned(self, enhanced: Samples) -> Samples:
        dropped = min(self._to_drop, len(enhanced))
        self._to_drop -= dropped
        aligned = enhanced[dropped : dropped + self.samples - self._given]
        self._given += len(aligned)
        self._after.add(aligned)
        return aligned

    @property
    def seconds(self) -> float:
        """Length of the sound so far."""
        return self.samples / self.rate_hz

    @property
    def realtime_factor(self) -> float | None:
        """Seconds of work in the enhancer per second of sound: below 1 is faster than real time."""
        return self.process_s / self.seconds if self.samples else None

    def loudness(self) -> tuple[Loudness, Loudness]:
        """Before and after."""
        return _read(self._before), _read(self._after)


def _read(meter: LoudnessMeter) -> Loudness:
    return Loudness(_finite(meter.integrated_lufs), _finite(meter.true_peak_dbtp))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
