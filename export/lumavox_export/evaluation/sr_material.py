"""What super-resolution is measured on: stills, and clips that went through real encoders.

Protocol of the literature: the picture is cut so that low and high resolution meet, RGB is reduced by
MATLAB's antialiased bicubic and rounded to bytes, luma is BT.601 studio range. Clips are luma with neutral
chroma: a player that makes RGB of them sees gray (`Pair.rgb` is None, and `sr_peers` makes that gray).

    for group in stills([dataset], scale=2): ...
    group = encoded(clip, 2, "libx264", 26)     # group.bytes is the size of the stream
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lumavox._files import replace_file

from ..data.codec import ENCODERS, decode, encode
from ..data.manifest import Dataset
from ..data.sr_pairs import VIDEO, read_rgb
from ..errors import DatasetError
from ..resize import resize, to_luma

Luma = NDArray[np.uint8]
Truth = NDArray[np.float32]
Size = tuple[int, int]  # height, width
CODECS = {"libx264": (22, 26, 30, 34), "libx265": (22, 30), "libsvtav1": (22, 30)}  # CRF on the H.264 scale
CLIP_FRAMES = 10
CLIP_WIDTH = 1100  # wider clips were encoded before: they are reduced by two first, which hides it
GOP_FRAMES = 48
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class Pair:
    """A low-resolution picture and its truth."""

    low: Luma  # (height, width) luma bytes
    high: Truth  # luma 0..255
    rgb: NDArray[np.uint8] | None = None  # (height, width, 3) low resolution; None: there is only luma


@dataclass(frozen=True, eq=False)
class Group:
    """A still, or the frames of a clip: what counts once."""

    name: str
    kind: str  # "text", "faces", ...; "" if not told
    pairs: tuple[Pair, ...]
    bytes: int = 0  # of the encoded stream


@dataclass(frozen=True, eq=False)
class Clip:
    """High-resolution luma frames of a clip, before they are cut and reduced."""

    name: str
    kind: str
    frames: tuple[Truth, ...]


def sizes(high: Size, scale: float, multiple: int = 1) -> tuple[Size, Size]:
    """Low and high resolution that fit into ``high``: ``high = scale * low``, low of ``multiple`` pixels.

    Raises DatasetError for a picture smaller than one such cell.
    """
    ratio = Fraction(scale).limit_denominator(1000)
    cell = math.lcm(multiple, ratio.denominator)
    height, width = (int(n / (cell * ratio)) * cell for n in high)
    if not height or not width:
        raise DatasetError(f"a picture of {high[1]}x{high[0]} is too small to be reduced by {scale:g}")
    return (height, width), (int(height * ratio), int(width * ratio))


def border(scale: float) -> int:
    """Pixels left out all round, as the literature does."""
    return math.ceil(scale)


def still(rgb: NDArray[np.uint8], name: str, kind: str, scale: float, multiple: int = 1) -> Group:
    """A high-resolution RGB picture ``(height, width, 3)`` and its reduction."""
    small, large = sizes(rgb.shape[:2], scale, multiple)
    rgb = rgb[: large[0], : large[1]]
    low = np.clip(np.rint(resize(rgb, small)), 0, 255).astype(np.uint8)
    return Group(name, kind, (Pair(np.rint(to_luma(low)).astype(np.uint8), to_luma(rgb), low),))


def stills(datasets: Sequence[Dataset], scale: float, multiple: int = 1) -> Iterator[Group]:
    """Every picture that is no frame of a clip."""
    for dataset in datasets:
        for entry in dataset.entries:
            if is_still(entry.file):
                yield still(read_rgb(dataset.path(entry)), entry.file, entry.kind, scale, multiple)


def folder_stills(folder: Path, scale: float, multiple: int = 1) -> Iterator[Group]:
    """Every picture of a folder, by name. Raises DatasetError if there is none."""
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURES) if folder.is_dir() else []
    if not found:
        raise DatasetError(f"--pictures {folder}: no pictures there (looked for {', '.join(PICTURES)})")
    for path in found:
        yield still(read_rgb(path), path.name, "", scale, multiple)


def clips(datasets: Sequence[Dataset], frames: int = CLIP_FRAMES) -> Iterator[Clip]:
    """The first ``frames`` of every clip: a video file, or a folder of pictures below ``clips``."""
    for dataset in datasets:
        folders: dict[str, tuple[str, list[Truth]]] = {}
        for entry in dataset.entries:
            if _is_video(entry.file):
                yield Clip(entry.file, entry.kind, tuple(_video(dataset.path(entry), frames)))
            elif _is_frame(entry.file):
                kept = folders.setdefault(entry.file.rsplit("/", 1)[0], (entry.kind, []))[1]
                if len(kept) < frames:
                    kept.append(to_luma(read_rgb(dataset.path(entry))))
        for name, (kind, kept) in folders.items():
            yield Clip(name, kind, tuple(kept))


def encoded(
    clip: Clip, scale: float, codec: str, crf: int, multiple: int = 1, cache: Path | None = None
) -> Group:
    """The clip reduced, encoded and decoded; ``cache`` keeps streams by the digest of what made them."""
    highs, lows = [], []
    for frame in clip.frames:
        if frame.shape[1] > CLIP_WIDTH:
            frame = np.rint(resize(frame, (frame.shape[0] // 2, frame.shape[1] // 2)))
        small, large = sizes((frame.shape[0], frame.shape[1]), scale, math.lcm(2, multiple))
        highs.append(frame[: large[0], : large[1]])
        lows.append(np.clip(np.rint(resize(highs[-1], small)), 0, 255).astype(np.uint8))
    stream = _stream(lows, codec, crf, cache)
    decoded = decode(stream)
    if len(decoded) != len(lows):
        raise RuntimeError(f"{codec} gave {len(decoded)} frames for {len(lows)}")
    pairs = tuple(Pair(low, high) for low, high in zip(decoded, highs))
    return Group(clip.name, clip.kind, pairs, len(stream))


def _stream(lows: Sequence[Luma], codec: str, crf: int, cache: Path | None) -> bytes:
    if cache is None:
        return encode(lows, codec, crf, GOP_FRAMES)
    import av

    settings = (codec, crf, GOP_FRAMES, ENCODERS[codec], sorted(av.library_versions.items()), lows[0].shape)
    digest = hashlib.sha256(repr(settings).encode())
    for low in lows:
        digest.update(low.tobytes())
    path = cache / f"encoded-{digest.hexdigest()[:24]}.mkv"
    if not path.is_file():
        replace_file(path, encode(lows, codec, crf, GOP_FRAMES))
    return path.read_bytes()


def _video(path: Path, count: int) -> Iterator[Truth]:
    import av

    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0), 1):
            yield to_luma(frame.to_ndarray(format="rgb24"))
            if index == count:
                return


def is_still(file: str) -> bool:
    """Whether a file of a dataset is a picture by itself: no video, no frame in a folder below ``clips``."""
    return not (_is_video(file) or _is_frame(file))


def _is_video(file: str) -> bool:
    return Path(file).suffix.lower() in VIDEO


def _is_frame(file: str) -> bool:
    return "clips" in Path(file).parts[:-1]
