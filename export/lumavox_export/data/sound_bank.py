"""Sound files decoded once to 16-bit mono at one rate and mapped from disk, drawn by group.

Voices are drawn evenly, then a file of the voice: one reader with many files must not become most of the
training.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lumavox._files import replace_file

from ..progress import progress
from .manifest import Dataset

CACHE_VERSION = 1


def read_mono(path: Path, rate_hz: int) -> NDArray[np.float32]:
    """A sound file, channels averaged (the mid signal), resampled; ``(samples,)``."""
    import soundfile
    import soxr

    data, native = soundfile.read(path, dtype="float32", always_2d=True)
    mono = data.mean(1)
    return np.asarray(soxr.resample(mono, native, rate_hz, "VHQ") if native != rate_hz else mono, np.float32)


class SoundBank:
    """All files of some datasets at ``rate_hz``."""

    def __init__(self, datasets: Sequence[Dataset], rate_hz: int, cache: Path) -> None:
        key = json.dumps([CACHE_VERSION, rate_hz, [d.digest for d in datasets]])
        self.key = hashlib.sha256(key.encode()).hexdigest()[:16]  # tells what is in it
        folder = cache / f"sound-{self.key}"
        if not (folder / "index.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _decode(datasets, rate_hz, folder)
        self.rate_hz = rate_hz
        self._data = np.memmap(folder / "sound.s16", np.int16, "r")
        self.groups: dict[str, list[tuple[int, int]]] = json.loads((folder / "index.json").read_text())
        self.names = sorted(self.groups)
        lengths = np.array([sum(length for _, length in self.groups[name]) for name in self.names], float)
        self._weights = np.sqrt(lengths) / np.sqrt(lengths).sum()
        self.seconds = sum(length for files in self.groups.values() for _, length in files) / rate_hz

    def draw(
        self, rng: np.random.Generator, samples: int, group: str | None = None, loop: bool = False
    ) -> NDArray[np.float32]:
        """Up to ``samples`` from a random place of a random file of a group.

        Without a group, one is drawn with the square root of its length: a composer with many pieces more
        often than one loop, but no more than that.

        With ``loop`` shorter files are repeated to full length.
        """
        files = self.groups[group or self.names[int(rng.choice(len(self.names), p=self._weights))]]
        lengths = np.array([length for _, length in files], float)
        start, length = files[int(rng.choice(len(files), p=lengths / lengths.sum()))]
        offset = int(rng.integers(max(1, length - samples + 1)))
        stored = self._data[start + offset : start + min(length, offset + samples)]
        out = stored.astype(np.float32) / np.float32(32768)
        if loop and len(out) < samples:
            return np.resize(out, samples).astype(np.float32)
        return out

    def group(self, rng: np.random.Generator) -> str:
        """A random group."""
        return self.names[int(rng.integers(len(self.names)))]


def _decode(datasets: Sequence[Dataset], rate_hz: int, folder: Path) -> None:
    index: dict[str, list[tuple[int, int]]] = {}
    offset = 0
    partial = folder / f"sound.{os.getpid()}"
    with partial.open("wb") as file:
        for dataset in datasets:
            for entry in progress(dataset.entries, f"decoding {dataset.name}"):
                samples = read_mono(dataset.path(entry), rate_hz)
                peak = max(float(np.abs(samples).max(initial=0)), 1e-9)
                data = np.rint(samples * min(1.0, 0.999 / peak) * 32767).astype(np.int16)
                file.write(data.tobytes())
                index.setdefault(entry.group or entry.file, []).append((offset, len(data)))
                offset += len(data)
    partial.replace(folder / "sound.s16")
    replace_file(folder / "index.json", json.dumps(index))
