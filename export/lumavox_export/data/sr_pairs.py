"""Training pairs for super-resolution: low-resolution and high-resolution luma, made once and kept.

``clean`` pairs are antialiased reductions. ``streamed`` pairs come out of real encoders: every picture is
made into a short pan, every clip cut into runs of frames, reduced by one of three kernels, encoded by H.264,
HEVC or AV1 at one of several quality levels, and decoded; frames are taken at random phases of the group of
pictures.

A cache folder holds ``pairs.u8`` (all planes end to end) and ``pairs.json`` (their places); it is named by
the digest of the settings and the data, so that nothing stale is ever used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox._files import replace_file

from ..errors import DatasetError
from ..progress import progress
from ..resize import KERNELS, resize, to_luma
from .codec import encode_decode
from .manifest import Dataset

Luma = NDArray[np.uint8]
VIDEO = {".mkv", ".mp4", ".webm", ".ts"}
RUN_FRAMES = 12  # frames of one encode
CACHE_VERSION = 3  # raise when the making of pairs changes


@dataclass(frozen=True)
class PairSettings:
    """Recipe section ``[contents.data.pairs]``."""

    content: str = "clean"  # "clean" | "streamed"
    clean_share: float = 0.15  # of the "streamed" pairs
    codecs: tuple[str, ...] = ("libx264", "libx265", "libsvtav1")
    crf: tuple[int, ...] = (20, 24, 28, 32, 36)  # H.264 scale; other codecs are offset to like quality
    views: int = 3  # encodes of each picture
    frames: int = 3  # frames kept of each encode
    view_height: int = 256  # low-resolution pixels
    view_width: int = 352
    blur_share: float = 0.0  # of the pans: out of focus, so that soft pictures are left soft
    clip_reduction: float = 2.0  # clips were encoded before: reduced, they hide it
    smaller_views: int = (
        0  # "clean": every picture that often again, reduced to 0.45..0.8: sharper than a lens
    )
    seed: int = 1


def pairs(settings: PairSettings, scale: float, datasets: Sequence[Dataset], cache: Path) -> Pairs:
    """The pairs of these settings, from the cache or made now (minutes)."""
    key = json.dumps([CACHE_VERSION, asdict(settings), scale, [d.digest for d in datasets]], sort_keys=True)
    folder = cache / f"pairs-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not (folder / "pairs.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, _make(settings, scale, datasets))
    return Pairs(folder, scale)


class Pairs:
    """A cached set of pairs, read into memory."""

    def __init__(self, folder: Path, scale: float) -> None:
        self.scale = Fraction(scale)
        places = json.loads((folder / "pairs.json").read_text())
        data = np.fromfile(folder / "pairs.u8", np.uint8)
        self.items: list[tuple[Luma, Luma]] = []
        for start, height, width in places:
            low = height * width
            tall, wide = int(height * self.scale), int(width * self.scale)
            lr = data[start : start + low].reshape(height, width)
            hr = data[start + low : start + low + tall * wide].reshape(tall, wide)
            self.items.append((lr, hr))
        self.guides: list[NDArray[np.uint16]] = []  # a teacher's high resolution of each, in 1/256 level
        self.least_side = min(min(lr.shape) for lr, _ in self.items)  # low-resolution pixels
        sizes = np.array([lr.size for lr, _ in self.items], float)
        self._weights = np.cumsum(sizes / sizes.sum())

    def batch(
        self, rng: np.random.Generator, size: int, patch: int, candidates: int = 1
    ) -> tuple[NDArray[Any], ...]:
        """Random crops, flipped and turned: ``(size, patch, patch)`` low, ``scale`` times that high.

        If there are ``guides``, the same crops of them follow. At a scale of n/d crops begin at multiples of
        d, where low and high resolution meet. Of every ``candidates`` successive crops the one with the most
        detail is kept: sky teaches little.
        """
        if candidates > 1:
            crops = self.batch(rng, size * candidates, patch)
            best = detail(crops[1]).reshape(size, candidates).argmax(1) + np.arange(size) * candidates
            return tuple(plane[best] for plane in crops)
        grid = self.scale.denominator
        high_patch = int(patch * self.scale)
        lows = np.empty((size, patch, patch), np.uint8)
        highs = np.empty((size, high_patch, high_patch), np.uint8)
        guides = np.empty(highs.shape if self.guides else (0, 0, 0), np.uint16)
        for i, item in enumerate(np.searchsorted(self._weights, rng.random(size) * 0.999999)):
            lr, hr = self.items[item]
            y, x = (int(rng.integers((n - patch) // grid + 1)) * grid for n in lr.shape)
            top, left = int(y * self.scale), int(x * self.scale)
            low = np.s_[y : y + patch, x : x + patch]
            high = np.s_[top : top + high_patch, left : left + high_patch]
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            lows[i] = _turned(lr[low], turns, flip)
            highs[i] = _turned(hr[high], turns, flip)
            if self.guides:
                guides[i] = _turned(self.guides[item][high], turns, flip)
        return (lows, highs, guides) if self.guides else (lows, highs)


def _turned(plane: NDArray[Any], turns: int, flip: bool) -> NDArray[Any]:
    return np.rot90(plane[:, ::-1] if flip else plane, turns)


def detail(pictures: Luma) -> NDArray[np.float32]:
    """Mean absolute step from pixel to pixel, both ways: ``(n, height, width)`` to ``(n,)``."""
    values = pictures.astype(np.float32)
    down, right = np.abs(np.diff(values, axis=1)), np.abs(np.diff(values, axis=2))
    return np.asarray(down.mean((1, 2)) + right.mean((1, 2)), np.float32)


def whole(hr: NDArray[np.float32], scale: float, cells: int = 1) -> NDArray[np.float32]:
    """The picture cut so that its reduction is a whole number of ``cells`` of pixels each way."""
    unit = Fraction(scale) * math.lcm(cells, Fraction(scale).denominator)
    height, width = (n // unit.numerator * unit.numerator for n in hr.shape)
    return hr[:height, :width]


def reduce(hr: NDArray[np.float32], scale: float, kernel: str) -> Luma:
    """Antialiased reduction, rounded to bytes; sizes as `whole` leaves them."""
    size = (int(hr.shape[0] / Fraction(scale)), int(hr.shape[1] / Fraction(scale)))
    return np.asarray(np.clip(np.rint(resize(hr, size, kernel)), 0, 255), np.uint8)


def read_rgb(path: Path) -> Luma:
    """A picture file, ``(height, width, 3)``. Raises DatasetError if it is not one."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{path} is not a picture that OpenCV reads")
    return np.asarray(image[..., ::-1], np.uint8)


def clip_runs(dataset: Dataset, reduction: float, multiple: int) -> Iterator[list[NDArray[np.float32]]]:
    """Luma of runs of ``RUN_FRAMES`` successive frames of every clip: motion as cameras see it."""
    import av

    for entry in dataset.entries:
        path = dataset.path(entry)
        if path.suffix.lower() not in VIDEO:
            continue
        run: list[NDArray[np.float32]] = []
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                luma = to_luma(frame.to_ndarray(format="rgb24"))
                size = tuple(int(n / reduction) // multiple * multiple for n in luma.shape)
                run.append(np.clip(resize(luma, (size[0], size[1]), "bicubic"), 0, 255))
                if len(run) == RUN_FRAMES:
                    yield run
                    run = []


def pictures(dataset: Dataset, clips: bool = True) -> Iterator[NDArray[np.float32]]:
    """Luma of every picture of a dataset, and with ``clips`` of a few frames of every clip."""
    for entry in progress(dataset.entries, f"{dataset.name}"):
        path = dataset.path(entry)
        if path.suffix.lower() in VIDEO:
            if not clips:
                continue
            import av

            with av.open(str(path)) as container:
                for index, frame in enumerate(container.decode(video=0)):
                    if index % 10 == 0:
                        yield to_luma(frame.to_ndarray(format="rgb24"))
            continue
        yield to_luma(read_rgb(path))


def _make(settings: PairSettings, scale: float, datasets: Sequence[Dataset]) -> Iterator[tuple[Luma, Luma]]:
    rng = np.random.default_rng(settings.seed)
    for dataset in datasets:
        if settings.content == "streamed":
            for run in clip_runs(dataset, settings.clip_reduction, int(2 * scale)):
                for _ in range(settings.views):
                    yield from _encoded(settings, scale, run, rng)
        for picture in pictures(dataset, clips=settings.content == "clean"):
            hr = whole(picture, scale)
            if settings.content == "clean":
                yield reduce(hr, scale, "bicubic"), np.rint(hr).astype(np.uint8)
                for _ in range(settings.smaller_views):
                    yield _smaller(hr, scale, float(rng.uniform(0.45, 0.8)))
                continue
            for _ in range(settings.views):
                soft = rng.random() < settings.blur_share
                yield from _streamed(settings, scale, _defocused(hr, rng) if soft else hr, rng)


def _smaller(hr: NDArray[np.float32], scale: float, share: float) -> tuple[Luma, Luma]:
    size = (max(128, round(hr.shape[0] * share)), max(128, round(hr.shape[1] * share)))
    small = whole(np.clip(resize(hr, size, "bicubic"), 0, 255), scale)
    return reduce(small, scale, "bicubic"), np.rint(small).astype(np.uint8)


def _defocused(hr: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.GaussianBlur(hr, (0, 0), float(rng.uniform(0.7, 2.5))), np.float32)


def _streamed(
    settings: PairSettings, scale: float, hr: NDArray[np.float32], rng: np.random.Generator
) -> Iterator[tuple[Luma, Luma]]:
    """Frames of one encoded pan over a picture."""
    count = RUN_FRAMES
    reach = int(5 * scale * count)  # high-resolution pixels that the longest pan travels
    unit = int(2 * scale)
    height = min(int(settings.view_height * scale), hr.shape[0]) // unit * unit
    width = min(int(settings.view_width * scale), max(hr.shape[1] - reach // 3, hr.shape[1] // 2))
    width = width // unit * unit
    room = np.array([hr.shape[0] - height, hr.shape[1] - width], float)
    start, end = rng.random(2) * room, rng.random(2) * room
    step = end - start
    longest = np.abs(step).max()
    if longest > reach:
        end = start + step * reach / longest
    places = [np.rint(start + (end - start) * t / (count - 1)).astype(int) for t in range(count)]
    yield from _encoded(settings, scale, [hr[y : y + height, x : x + width] for y, x in places], rng)


def _encoded(
    settings: PairSettings, scale: float, run: Sequence[NDArray[np.float32]], rng: np.random.Generator
) -> Iterator[tuple[Luma, Luma]]:
    """Some frames of a run, reduced and encoded, with their truth."""
    kernel = str(rng.choice(list(KERNELS), p=[0.5, 0.3, 0.2]))
    lows = [reduce(view, scale, kernel) for view in run]
    if rng.random() >= settings.clean_share:
        crf = int(rng.choice(settings.crf)) + int(rng.integers(-1, 2))
        lows = encode_decode(lows, str(rng.choice(settings.codecs)), crf, int(rng.integers(6, 30)))
    for index in rng.choice(len(run), settings.frames, replace=False):
        yield lows[index], np.rint(run[index]).astype(np.uint8)


def _write(folder: Path, made: Iterator[tuple[Luma, Luma]]) -> None:
    places, offset = [], 0
    partial = folder / f"pairs.u8.{os.getpid()}"
    with partial.open("wb") as file:
        for lr, hr in made:
            places.append((offset, *lr.shape))
            for plane in (lr, hr):
                file.write(np.ascontiguousarray(plane).tobytes())
                offset += plane.size
    partial.replace(folder / "pairs.u8")
    replace_file(folder / "pairs.json", json.dumps(places))
