"""Fixed film-like mixes for validation: every voice over music, over effects, and over both.

Unlike the training mixer nothing is random beyond the seed, nothing is equalized or reverberated; a figure
measured on them can be compared between models and over time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .manifest import Dataset
from .sound_bank import read_mono

Sound = NDArray[np.float32]
KINDS = ("music", "effects", "both")


@dataclass(frozen=True, eq=False)
class Mix:
    """One mix and its parts: float32 ``(samples,)``."""

    kind: str  # of background
    voice: str
    dialog: Sound
    background: Sound

    @property
    def mix(self) -> Sound:
        """Dialog and background together."""
        return self.dialog + self.background


def validation_mixes(
    speech: Sequence[Dataset],
    music: Sequence[Dataset],
    effects: Sequence[Dataset],
    *,
    rate_hz: int,
    snr_db: float,
    seconds: float = 6.0,
    seed: int = 5,
) -> Iterator[Mix]:
    """For every speech file, one mix with each kind of background, RMS of dialog ``snr_db`` above it."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate_hz)
    pieces = [read_mono(d.path(e), rate_hz) for d in music for e in d.entries]
    noises = [read_mono(d.path(e), rate_hz) for d in effects for e in d.entries]
    number = 0
    for dataset in speech:
        for entry in dataset.entries:
            dialog = _excerpt(read_mono(dataset.path(entry), rate_hz), samples, rng)
            dialog *= 0.06 / _rms(dialog)
            piece = _excerpt(pieces[number % len(pieces)], samples, rng)
            noise = _excerpt(noises[(3 * number) % len(noises)], samples, rng)
            piece, noise = piece / _rms(piece), noise / _rms(noise)
            for kind, background in zip(KINDS, (piece, noise, piece + noise), strict=True):
                scaled = background * (0.06 * 10 ** (-snr_db / 20) / _rms(background))
                yield Mix(kind, entry.group, dialog, scaled.astype(np.float32))
            number += 1


def _excerpt(x: Sound, samples: int, rng: np.random.Generator) -> Sound:
    offset = int(rng.integers(max(1, len(x) - samples + 1)))
    return np.resize(x[offset : offset + samples], samples)


def _rms(x: Sound) -> float:
    return float(np.sqrt(np.mean(x.astype(np.float64) ** 2)) + 1e-9)
