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

from lumavox.audio import DialogEnhancer, Stems
from lumavox.downmix import Downmix
from lumavox.loudness import LoudnessMeter
from lumavox.media.stem_files import StemFiles

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

    With ``stems``, dialog and background are written there; with a ``downmix``, what comes out is stereo.
    ``process_s`` is the time spent in the enhancer.
    """

    def __init__(
        self,
        enhancer: DialogEnhancer,
        rate_hz: int,
        channels: int,
        stems: StemFiles | None = None,
        downmix: Downmix | None = None,
    ) -> None:
        self.enhancer = enhancer
        self.rate_hz = rate_hz
        self.channels = channels
        self.out_channels = channels if downmix is None else 2
        self.speech_s: list[tuple[float, float]] = []
        self._stems, self._downmix = stems, downmix
        self._stems_to_drop, self._stems_given = enhancer.delay_samples, 0
        self.samples = 0
        self.process_s = 0.0
        self._to_drop = enhancer.delay_samples + (downmix.delay_samples if downmix is not None else 0)
        self._given = 0
        self._before = LoudnessMeter(rate_hz, channels)
        self._after = LoudnessMeter(rate_hz, self.out_channels)

    def feed(self, block: Samples) -> Samples:
        """The enhanced samples that are complete by now; fewer than ``block`` has, while the delay fills."""
        if not len(block):
            return block
        self.samples += len(block)
        self._before.add(block)
        began = time.perf_counter()
        if self._stems is None:
            enhanced = np.asarray(self.enhancer.process(block), np.float32)
        else:
            enhanced = self._taken_apart(self.enhancer.process_stems(block))
        self.process_s += time.perf_counter() - began
        return self._aligned(enhanced if self._downmix is None else self._downmix.process(enhanced))

    def finish(self) -> Samples:
        """The rest, so that as many samples came out as went in; the stems are complete, too."""
        began = time.perf_counter()
        if self._stems is None:
            tail = np.asarray(self.enhancer.flush(), np.float32)
        else:
            tail = self._taken_apart(self.enhancer.flush_stems())
            self._stems.finish()
        self.process_s += time.perf_counter() - began
        self.speech_s = [(a / self.rate_hz, b / self.rate_hz) for a, b in self.enhancer.speech_spans()]
        if self._downmix is not None:
            tail = np.concatenate([self._downmix.process(tail), self._downmix.flush()])
        return self._aligned(tail)

    def _taken_apart(self, parts: Stems) -> Samples:
        """The remix; dialog and background go to their files, aligned."""
        assert self._stems is not None
        dropped = min(self._stems_to_drop, len(parts.remix))
        self._stems_to_drop -= dropped
        span = slice(dropped, dropped + self.samples - self._stems_given)
        dialog, background = parts.dialog[span], parts.background[span]
        self._stems_given += len(dialog)
        self._stems.write(dialog, background)
        return np.asarray(parts.remix, np.float32)

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
