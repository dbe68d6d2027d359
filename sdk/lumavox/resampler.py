"""Streaming sample-rate conversion with a known, constant delay.

A linear-phase polyphase filter (Kaiser-windowed sinc, 64 taps at the lower rate, -80 dB, flat to 84 % of
the lower Nyquist frequency). General-purpose resamplers hold back 20 ms and more, and a varying number of
samples; this one holds back exactly ``half`` input samples (0.7 ms at 44.1 kHz). Output sample ``m`` sits
at input position ``m * from_hz / to_hz``: there is no shift to correct.

    resampler = Resampler(44100, 48000, channels=2)
    resampler.push(block)                             # (n, 2) float32
    out = resampler.pull(min(720, resampler.available))
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_HALF_TAPS = 32  # at the lower of the two rates
_BETA = 8.0
_CUTOFF = 0.46  # of the lower rate: the stop band begins at its Nyquist frequency
_GROUP = 160  # outputs of one matrix product, about


class Resampler:
    """Converts a stream of ``(n, channels)`` float32 from ``from_hz`` to ``to_hz`` (whole numbers, Hz).

    Equal rates copy. Before its first sample the stream is silent.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        common = math.gcd(from_hz, to_hz)
        self._up, self._down = to_hz // common, from_hz // common
        self._copies = from_hz == to_hz
        self._stretch = max(1.0, from_hz / to_hz)
        self.half = 0 if self._copies else math.ceil(_HALF_TAPS * self._stretch)
        self.channels = channels
        # Whole periods of the filter where they are short: then one matrix serves all groups.
        self._group = self._up * (_GROUP // self._up) or _GROUP
        self._matrices: dict[int, Float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._start = -max(self.half - 1, 0)  # stream position of the first buffered sample
        self._buffer = np.zeros((-self._start, self.channels), np.float32)
        self._pushed = 0
        self._pulled = 0

    @property
    def available(self) -> int:
        """Outputs that can be pulled now."""
        return self.outputs(self._pushed) - self._pulled

    def outputs(self, pushed: int) -> int:
        """Outputs of a stream of which ``pushed`` samples are known."""
        return max(0, -((self.half - pushed) * self._up // self._down))

    def inputs(self, pulled: int) -> int:
        """Samples that must be known for ``pulled`` outputs (at least one)."""
        return (pulled - 1) * self._down // self._up + self.half + 1

    def push(self, block: Float) -> None:
        """Take in the next samples."""
        self._pushed += len(block)
        self._buffer = np.concatenate([self._buffer, block]) if len(self._buffer) else np.array(block)

    def pull(self, count: int) -> Float:
        """The next ``count`` outputs, at most ``available``."""
        if count > self.available:
            raise ValueError(f"{count} samples asked for, {self.available} available")
        out = np.empty((count, self.channels), np.float32)
        if self._copies:
            out[:] = self._buffer[:count]
        else:
            for at in range(0, count, self._group):
                size = min(self._group, count - at)
                position, phase = divmod((self._pulled + at) * self._down, self._up)
                first = position - self.half + 1 - self._start
                last = (phase + (size - 1) * self._down) // self._up + 2 * self.half
                out[at : at + size] = self._matrix(phase)[:size, :last] @ self._buffer[first : first + last]
        self._pulled += count
        keep = self._pulled * self._down // self._up - max(self.half - 1, 0)
        self._buffer = self._buffer[keep - self._start :]
        self._start = keep
        return out

    def _matrix(self, phase: int) -> Float:
        """From input samples to a group of outputs, the first of which is ``phase / up`` after a sample."""
        if phase not in self._matrices:
            positions = (phase + np.arange(self._group) * self._down) / self._up
            span = int(positions[-1]) + 2 * self.half
            offset = (np.arange(span)[None] - (self.half - 1) - positions[:, None]) / self._stretch
            inside = np.sqrt(np.maximum(0.0, 1 - (offset / _HALF_TAPS) ** 2))
            taps = np.sinc(2 * _CUTOFF * offset) * np.i0(_BETA * inside) * (np.abs(offset) < _HALF_TAPS)
            self._matrices[phase] = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
        return self._matrices[phase]
