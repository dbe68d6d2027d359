"""Dialogs and backgrounds made once and mapped from disk, to be mixed anew for every step.

Making a part (rooms, equalizers, codecs) takes many times longer than a training step may wait; mixing two of
them takes almost nothing, and every dialog meets new backgrounds at new levels each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..progress import progress

Sound = NDArray[np.float32]
Make = Callable[[np.random.Generator], Sound]


class Parts:
    """``count`` sounds of ``samples`` each, 16-bit at their own scale.

    Number ``n`` depends on ``n`` alone, so more of them begin with the ones that are there already.
    """

    def __init__(self, name: str, make: Make, count: int, samples: int, key: str, cache: Path) -> None:
        """``key`` tells all that a sound depends on; the folder in ``cache`` is named after it."""
        digest = hashlib.sha256(json.dumps([name, samples, key]).encode()).hexdigest()[:16]
        folder = cache / f"{name}-{digest}"
        if not _peaks(folder, count).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _make(name, make, count, samples, folder)
        self._data = np.memmap(_sounds(folder, count), np.int16, "r").reshape(count, samples)
        self._peaks = np.load(_peaks(folder, count))

    def draw(self, rng: np.random.Generator, samples: int) -> Sound:
        """An excerpt of a random one, from a random place."""
        row = int(rng.integers(len(self._data)))
        offset = int(rng.integers(self._data.shape[1] - samples + 1))
        return self._data[row, offset : offset + samples] * np.float32(self._peaks[row] / 32767)


def _sounds(folder: Path, count: int) -> Path:
    return folder / f"{count}.s16"


def _peaks(folder: Path, count: int) -> Path:
    return folder / f"{count}.npy"


def _make(name: str, make: Make, count: int, samples: int, folder: Path) -> None:
    """Both files of ``count`` sounds; another process that makes them meanwhile writes the same."""
    there = max((n for path in folder.glob("*.npy") if (n := int(path.stem)) < count), default=0)
    peaks = np.zeros(count, np.float32)
    partial = folder / f"sounds.{os.getpid()}"
    with partial.open("wb") as file:
        if there:
            peaks[:there] = np.load(_peaks(folder, there))
            with _sounds(folder, there).open("rb") as known:
                shutil.copyfileobj(known, file)
        for number in progress(range(there, count), f"making {name}", count - there):
            sound = make(np.random.default_rng(number))[:samples]
            peaks[number] = float(np.abs(sound).max()) + 1e-9
            file.write(np.rint(sound / peaks[number] * 32767).astype(np.int16).tobytes())
    partial.replace(_sounds(folder, count))
    partial = folder / f"peaks.{os.getpid()}"
    with partial.open("wb") as file:
        np.save(file, peaks)
    partial.replace(_peaks(folder, count))
