"""Small synthetic datasets: enough to run every stage in a minute, not to make a good model.

    root = make_debug_data(Path("debug"))       # pictures and sounds, manifests in root / "datasets"

Everything is computed from a seed; nothing is anyone's work, so the licence is CC0.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .manifest import COLUMNS

RATE_HZ = 16000
Sound = NDArray[np.float32]


def make_debug_data(root: Path, seed: int = 1) -> Path:
    """Write the datasets below ``root`` and return it."""
    import cv2
    import soundfile

    rng = np.random.default_rng(seed)
    files: dict[str, list[tuple[str, str]]] = {}
    for number in range(8):
        name = f"pictures/{number}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), _picture(rng))
        files.setdefault("debug-pictures", []).append((name, name))
    makers = {"speech": _speech, "music": _music, "effects": _effects, "singing": _singing}
    for kind, make in makers.items():
        for group in range(3):
            name = f"{kind}/{group}.wav"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / name, make(rng, group), RATE_HZ)
            files.setdefault(f"debug-{kind}", []).append((name, f"{kind}{group}"))
    _manifests(root, files)
    return root


def _manifests(root: Path, files: Mapping[str, list[tuple[str, str]]]) -> None:
    folder = root / "datasets"
    folder.mkdir(exist_ok=True)
    for name, entries in files.items():
        evidence = "computed by lumavox_export.data.debug"
        header = f'name = "{name}"\ntitle = "Synthetic {name[6:]}"\nevidence = "{evidence}"\n'
        (folder / f"{name}.toml").write_text(header)
        with (folder / f"{name}.csv").open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            for path, group in entries:
                digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
                rate = RATE_HZ if path.endswith(".wav") else ""
                rows.writerow([path, "CC0 1.0", "Lumavox", digest, group, rate])


def _picture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Slopes, discs, bars and fine texture, ``(144, 192, 3)``."""
    y, x = np.mgrid[0:144, 0:192].astype(float)
    out = np.zeros((144, 192, 3))
    for channel in range(3):
        plane = 80 + 0.4 * x * rng.random() + 0.4 * y * rng.random()
        for _ in range(6):
            cx, cy, r = rng.uniform(0, 192), rng.uniform(0, 144), rng.uniform(5, 30)
            plane = np.where((x - cx) ** 2 + (y - cy) ** 2 < r * r, rng.uniform(0, 255), plane)
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(3, 12)
        bars = np.sign(np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / pitch))
        out[..., channel] = np.where(x > 120, plane + 40 * bars, plane) + rng.normal(0, 4, x.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


def _tone(f0: NDArray[np.floating], partials: int, tilt: float) -> Sound:
    phase = 2 * np.pi * np.cumsum(f0) / RATE_HZ
    return sum(np.sin(k * phase) / k**tilt for k in range(1, partials + 1)).astype(np.float32)  # type: ignore[union-attr]


def _speech(rng: np.random.Generator, group: int) -> Sound:
    """Syllables: a gliding voice through moving resonances, with pauses and hiss between."""
    samples = 6 * RATE_HZ
    t = np.arange(samples) / RATE_HZ
    pitch = 110 * 1.35**group * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6)))
    rhythm = np.clip(np.sin(2 * np.pi * 3.1 * t) + 0.4, 0, 1) * (np.sin(2 * np.pi * 0.35 * t) > -0.6)
    hiss = rng.standard_normal(samples) * np.clip(-np.sin(2 * np.pi * 3.1 * t) - 0.6, 0, 1) * 0.3
    return (0.1 * (_tone(pitch, 18, 1.0) * rhythm + hiss)).astype(np.float32)


def _music(rng: np.random.Generator, group: int) -> Sound:
    """Chords that change every half second."""
    notes = 220 * 2 ** (rng.integers(-12, 13, (16, 3)) / 12)
    out = sum(_tone(np.repeat(notes[:, i], RATE_HZ // 2), 6, 1.5) for i in range(3))
    return np.asarray(0.05 * out, np.float32)


def _effects(rng: np.random.Generator, group: int) -> Sound:
    """Coloured noise with bursts."""
    spectrum = np.fft.rfft(rng.standard_normal(5 * RATE_HZ))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** (0.25 * (group + 1))
    noise = np.fft.irfft(spectrum)
    bursts = np.repeat(rng.random(50) ** 3, len(noise) // 50)
    return (0.1 * noise[: len(bursts)] * (0.2 + bursts) / noise.std()).astype(np.float32)


def _singing(rng: np.random.Generator, group: int) -> Sound:
    """Long notes with vibrato."""
    t = np.arange(4 * RATE_HZ) / RATE_HZ
    steps = np.repeat(260 * 2 ** (rng.integers(-5, 6, 4) / 12), RATE_HZ)
    return (0.08 * _tone(steps * (1 + 0.02 * np.sin(2 * np.pi * 5.5 * t)), 12, 1.0)).astype(np.float32)
