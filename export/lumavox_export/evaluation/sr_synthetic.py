"""Synthetic material for kinds that validation data seldom has: rendered text, and film grain on stills.

Computed from a fixed seed, the same on every machine with the same OpenCV; figures on it are kept apart from
those on real pictures and are called synthetic. Pans over stills show how a kind fares once it is encoded.

    group = still(text_picture(), "text", "text (synthetic)", scale=2)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.manifest import Dataset
from ..data.sr_pairs import read_rgb
from ..resize import to_luma
from .sr_material import Clip, Group, Truth, is_still, still

Rgb = NDArray[np.uint8]
TEXT, GRAIN = "text (synthetic)", "grain (synthetic)"
GRAINED = 3  # pictures that are given grain
TEXT_SIZE = (720, 1024)
PAN_FRAMES = 6
PAN_SIZE = (512, 768)  # high-resolution pixels
PAN_STEP = (2, 3)
_SEED = 20
_WORDS = (
    "NEWS 21:45 Wind 14 km/h - subtitles, menus & credits: quick brown fox jumps over lazy dogs 0123456789"
)


def text_picture() -> Rgb:
    """Menus and credits: six fonts in five sizes, light on dark, dark on light and coloured."""
    import cv2

    fonts = (0, 2, 3, 4, 6, 7)  # cv2.FONT_HERSHEY_*: simplex, duplex, complex, triplex, script
    colours = [
        ((18, 18, 22), (240, 240, 240)),
        ((245, 243, 238), (25, 25, 30)),
        ((30, 60, 120), (250, 220, 90)),
    ]
    height, width = TEXT_SIZE
    picture = np.empty((height, width, 3), np.uint8)
    rows = len(colours)
    for index, (back, front) in enumerate(colours):
        top, bottom = height * index // rows, height * (index + 1) // rows
        picture[top:bottom] = back
        y, line = top, 0
        while True:
            size = (0.4, 0.55, 0.75, 1.0, 1.5)[line % 5]
            y += round(30 * size) + 10
            if y > bottom - 8:
                break
            words = _WORDS[(7 * line) % 40 :] + " " + _WORDS
            font = fonts[(line + 2 * index) % len(fonts)]
            thick = 1 + (size > 0.7)
            cv2.putText(picture, words, (12, y), font, size, front, thick, cv2.LINE_AA)
            line += 1
    return picture


def with_grain(rgb: NDArray[np.generic], deviation: float = 7.0, frame: int = 0) -> Rgb:
    """The picture with grain: strongest in mid-tones, about two pixels across, alike in R, G and B."""
    import cv2

    height, width = rgb.shape[:2]
    noise = np.random.default_rng([_SEED, frame]).normal(0, 1, (height, width)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.7)
    noise *= deviation / float(noise.std())
    values = np.asarray(rgb, np.float32)
    strength = 0.35 + 0.65 * np.sin(np.pi * values / 255)
    grained = values + (noise[..., None] if values.ndim == 3 else noise) * strength
    return np.asarray(np.clip(np.rint(grained), 0, 255), np.uint8)


def pan(rgb: Rgb, name: str, kind: str, grain: bool = False) -> Clip:
    """A slow pan over a still, luma; ``grain`` is drawn anew for every frame, as film has it."""
    height, width = (
        min(size, n - step * (PAN_FRAMES - 1)) for size, n, step in zip(PAN_SIZE, rgb.shape, PAN_STEP)
    )
    y0 = (rgb.shape[0] - height - PAN_STEP[0] * (PAN_FRAMES - 1)) // 2
    x0 = (rgb.shape[1] - width - PAN_STEP[1] * (PAN_FRAMES - 1)) // 2
    frames: list[Truth] = []
    for index in range(PAN_FRAMES):
        y, x = y0 + index * PAN_STEP[0], x0 + index * PAN_STEP[1]
        view = rgb[y : y + height, x : x + width]
        frames.append(to_luma(with_grain(view, frame=index) if grain else view))
    return Clip(name, kind, tuple(frames))


def extra_stills(datasets: Sequence[Dataset], scale: float, multiple: int = 1) -> Iterator[Group]:
    """Rendered text, and grain on the first pictures of the datasets."""
    yield still(text_picture(), "rendered text", TEXT, scale, multiple)
    for _, (name, rgb) in zip(range(GRAINED), _pictures(datasets)):
        yield still(with_grain(rgb), f"{name} with grain", GRAIN, scale, multiple)


def pans(datasets: Sequence[Dataset], have: Collection[str]) -> Iterator[Clip]:
    """A pan over the first still of every kind that is not in ``have``; rendered text; grain."""
    done = {"", *have}
    for dataset in datasets:
        for entry in dataset.entries:
            if is_still(entry.file) and entry.kind not in done:
                done.add(entry.kind)
                yield pan(read_rgb(dataset.path(entry)), f"{entry.file} pan", entry.kind)
    yield pan(text_picture(), "rendered text pan", TEXT)
    for _, (name, rgb) in zip(range(1), _pictures(datasets)):
        yield pan(rgb, f"{name} with grain pan", GRAIN, grain=True)


def _pictures(datasets: Sequence[Dataset]) -> Iterator[tuple[str, Rgb]]:
    """Stills that are no text, faces first: there grain is seen."""
    entries = [(d, e) for d in datasets for e in d.entries if is_still(e.file) and e.kind != "text"]
    for dataset, entry in sorted(entries, key=lambda found: found[1].kind != "faces"):
        yield entry.file, read_rgb(dataset.path(entry))
