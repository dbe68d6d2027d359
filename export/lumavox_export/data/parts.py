"""Dialogs and backgrounds made once and mapped from disk, to be mixed anew for every step.

Making a part (rooms, equalizers, codecs) takes many times longer than a training step may wait; mixing two of
them takes almost nothing, and every dialog meets new backgrounds at new levels each time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..progress import progress

Sound = NDArray[np.float32]
Make = Callable[[np.random.Generator], Sound]


class Parts:
    """``count`` sounds of ``samples`` each, 16-bit at their own scale."""

    def __init__(self, name: str, make: Make, count: int, samples: int, key: str, cache: Path) -> None:
        """``key`` tells all that the sounds depend on; the folder in ``cache`` is named after it."""
        digest = hashlib.sha256(json.dumps([name, count, samples, key]).encode()).hexdigest()[:16]
        folder = cache / f"{name}-{digest}"
        if not (folder / "peaks.npy").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _make(name, make, count, samples, folder)
        self._data = np.memmap(folder / "parts.s16", np.int16, "r").reshape(count, samples)
        self._peaks = np.load(folder / "peaks.npy")

    def draw(self, rng: np.random.Generator, samples: int) -> Sound:
        """An excerpt of a random one, from a random place."""
        row = int(rng.integers(len(self._data)))
        offset = int(rng.integers(self._data.shape[1] - samples + 1))
        return self._data[row, offset : offset + samples] * np.float32(self._peaks[row] / 32767)


def _make(name: str, make: Make, count: int, samples: int, folder: Path) -> None:
    """Number ``n`` depends on ``n`` alone; a file that another process makes meanwhile is the same."""
    partial = folder / f"parts.{os.getpid()}"
    peaks = np.zeros(count, np.float32)
    with partial.open("wb") as file:
        for number in progress(range(count), f"making {name}", count):
            sound = make(np.random.default_rng(number))[:samples]
            peaks[number] = float(np.abs(sound).max()) + 1e-9
            file.write(np.rint(sound / peaks[number] * 32767).astype(np.int16).tobytes())
    partial.replace(folder / "parts.s16")
    with (folder / f"peaks.{os.getpid()}").open("wb") as file:
        np.save(file, peaks)
    (folder / f"peaks.{os.getpid()}").replace(folder / "peaks.npy")
