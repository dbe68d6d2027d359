"""Noise that tells where it belongs: every 20 ms of sound can be found again in the output.

The noise of sample ``i`` is a fixed function of ``i``, so that any piece of it fits one place only. A piece
is located by normalized correlation; lags say delay and drift, weak correlations say loss, a second place
says repetition.

    noise(0, 48_000)                                    # the first second, float32, +-AMPLITUDE
    locate(output, rate_hz=48_000, delay=1440)          # -> [Place], one for each 20 ms
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AMPLITUDE", "PIECE_S", "Listener", "Place", "locate", "noise"]

Float = NDArray[np.float32]

AMPLITUDE = 0.1
PIECE_S = 0.02
"""CTA WAVE's sample length of sound."""

FOUND = 0.5
"""Least normalized correlation of a piece that is there; noise that is not reaches about 0.15."""

_NEAR_S = 0.06
_FAR_S = 0.5


@dataclass(frozen=True)
class Place:
    """Where a piece was found: ``lag`` samples after where it was expected; None if nowhere. ``strength`` is
    the normalized correlation there, ``echo`` that of the best other place."""

    lag: int | None
    strength: float
    echo: float


def noise(start: int, count: int) -> Float:
    """Samples ``start`` to ``start + count`` (SplitMix64 of the sample's number: the same everywhere)."""
    z = np.arange(start, start + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(0x632BE59BD9B4E019)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    unit = (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return unit * np.float32(AMPLITUDE)


class Listener:
    """Finds the pieces of `noise` in a stream of output, keeping about a second of it.

    Piece k is expected at sample ``k * piece + delay``. It looks half a second around at first, then near
    the last lag. ``places`` has one entry for each piece so far.
    """

    def __init__(self, rate_hz: int, *, delay: int = 0, pieces: int | None = None) -> None:
        self._piece, self._delay, self._pieces = piece_samples(rate_hz), delay, pieces
        self._near, self._far = int(_NEAR_S * rate_hz), int(_FAR_S * rate_hz)
        self._heard: Float = np.zeros(0, np.float32)
        self._start = 0  # number of the first sample in _heard
        self._lag: int | None = None
        self.places: list[Place] = []

    def push(self, samples: Float) -> None:
        """The next samples of the output, mono."""
        if self._done:
            return
        self._heard = np.concatenate((self._heard, np.asarray(samples, np.float32)))
        while not self._done and self._expected + self._far + self._piece <= self._start + len(self._heard):
            self._find_next()

    def end(self) -> list[Place]:
        """No more samples come: all places."""
        while not self._done:
            if self._pieces is None and self._expected + self._piece > self._start + len(self._heard):
                break
            self._find_next()
        return self.places

    @property
    def _done(self) -> bool:
        return self._pieces is not None and len(self.places) >= self._pieces

    @property
    def _expected(self) -> int:
        return len(self.places) * self._piece + self._delay

    def _find_next(self) -> None:
        reference = noise(len(self.places) * self._piece, self._piece)
        place = Place(None, 0.0, 0.0)
        if self._lag is not None:
            place = self._search(reference, self._lag - self._near, self._lag + self._near)
        if place.lag is None:
            place = self._search(reference, -self._far, self._far)
        self._lag = place.lag if place.lag is not None else self._lag
        self.places.append(place)
        keep = self._expected - self._far - self._start
        if keep > self._far:  # not with every piece: it copies
            self._heard, self._start = self._heard[keep:].copy(), self._start + keep

    def _search(self, reference: Float, first: int, last: int) -> Place:
        start = max(0, self._expected + first - self._start)
        stop = max(0, self._expected + last + len(reference) - self._start)
        found = _best(self._heard[start:stop], reference)
        if found.lag is None:
            return found
        return Place(found.lag + start + self._start - self._expected, found.strength, found.echo)


def locate(output: Float, *, rate_hz: int, delay: int = 0, pieces: int | None = None) -> list[Place]:
    """Where the first ``pieces`` (default: as many as fit) of `noise` are in a whole ``output`` ``(n,)``."""
    listener = Listener(rate_hz, delay=delay, pieces=pieces)
    listener.push(output)
    return listener.end()


def piece_samples(rate_hz: int) -> int:
    """Samples of a piece."""
    return round(PIECE_S * rate_hz)


def _best(window: Float, reference: Float) -> Place:
    """The best place in ``window``, with its lag counted from there."""
    if len(window) < len(reference):
        return Place(None, 0.0, 0.0)
    size = 1 << (len(window) + len(reference) - 1).bit_length()
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(reference, size))
    correlation = np.fft.irfft(spectrum, size)[: len(window) - len(reference) + 1]
    sums = np.concatenate(([0.0], np.cumsum(np.square(window, dtype=np.float64))))
    energy = sums[len(reference) :] - sums[: -len(reference)]
    own = float(np.sum(np.square(reference, dtype=np.float64)))
    quietest = own * 1e-8  # silence correlates with nothing
    score = np.where(energy > quietest, correlation / np.sqrt(np.maximum(energy, quietest) * own), 0.0)
    best = int(np.argmax(score))
    strength = float(score[best])
    score[max(0, best - len(reference) // 4) : best + len(reference) // 4] = 0
    echo = float(score.max())
    return Place(best if strength >= FOUND else None, strength, echo)
