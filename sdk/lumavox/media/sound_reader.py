"""Decoded audio frames as one continuous run of float samples: `SoundReader`.

Frames have timestamps, a filter wants samples one after another: what is missing is filled with silence,
what comes twice is dropped, and a change of rate or channels within the stream is converted to what it was
at first. Timestamps that jitter by less than `TOLERANCE_S` are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox.media.facts import AudioFacts
from lumavox.media.kinds import import_av

Samples = NDArray[np.float32]

TOLERANCE_S = 0.02  # well below what is noticed between lips and voice, well above jitter of recorders
_FILL_S = 1.0  # silence is given in pieces of this length
_LONGEST_GAP_S = 600.0  # a longer one is a broken timestamp, not a pause


class SoundReader:
    """``read(frame)`` for each decoded frame, then ``finish()``; both give blocks ``(n, channels)``.

    ``start_pts`` is the position of the first sample, in samples.
    """

    def __init__(self, facts: AudioFacts, warn: Callable[[str], None]) -> None:
        self.facts = facts
        self.start_pts = round(facts.start_s * facts.rate_hz)
        self._warn = warn
        self._position = self.start_pts
        self._source: tuple[Any, ...] | None = None
        self._resampler: Any = None
        self._end = None
        if facts.duration_s is not None:  # decoders give whole frames, though the last may be shorter
            self._end = self.start_pts + round(facts.duration_s * facts.rate_hz)

    def read(self, frame: Any) -> Iterator[Samples]:
        """The samples of ``frame``, after the silence or without the samples its timestamp asks for."""
        source = (frame.format.name, frame.layout.name, frame.sample_rate)
        if source != self._source:
            yield from self._changed(source)
        gap = self._gap(frame)
        while gap > 0:
            count = min(gap, round(_FILL_S * self.facts.rate_hz))
            yield self._count(np.zeros((count, self.facts.channels), np.float32))
            gap -= count
        for block in self._blocks(frame):
            yield self._count(block[-gap:])
            gap = min(0, gap + len(block))

    def finish(self) -> Iterator[Samples]:
        """What the converter still holds."""
        if self._resampler is not None:
            for block in self._blocks(None):
                yield self._count(block)

    def _count(self, block: Samples) -> Samples:
        if self._end is not None and 0 < self._position + len(block) - self._end < 4096:
            block = block[: max(0, self._end - self._position)]
        self._position += len(block)
        return block

    def _gap(self, frame: Any) -> int:
        """Samples missing before ``frame``; negative: samples of it that came before."""
        if frame.pts is None:
            return 0
        base: Fraction = frame.time_base or self.facts.time_base
        gap = round(frame.pts * base * self.facts.rate_hz) - self._position
        if abs(gap) <= TOLERANCE_S * self.facts.rate_hz:
            return 0
        if abs(gap) > _LONGEST_GAP_S * self.facts.rate_hz:
            self._warn("the sound has timestamps that cannot be right; its samples were joined")
            return 0
        self._warn("the sound has gaps or overlaps; silence was put in, or the overlap left out")
        return gap

    def _changed(self, source: tuple[Any, ...]) -> Iterator[Samples]:
        first = self._source is None
        if not first:
            yield from self.finish()
            self._warn(
                "the sound changes to {} {} at {} Hz within the stream; ".format(*source)
                + f"converted to {self.facts.layout} at {self.facts.rate_hz} Hz"
            )
        self._source = source
        self._resampler = import_av().AudioResampler(
            format="flt", layout=self.facts.layout, rate=self.facts.rate_hz
        )

    def _blocks(self, frame: Any | None) -> Iterator[Samples]:
        for converted in self._resampler.resample(frame):
            if converted is not None:
                yield converted.to_ndarray().reshape(-1, self.facts.channels)
