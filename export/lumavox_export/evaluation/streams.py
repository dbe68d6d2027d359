"""Clips as a service sends them and a viewer's decoder gives them, kept so that the next model is quick.

    for clip in footage(datasets, frames=48): ...
    sent = stream(luma_frames, "libx264", crf=26, gop=48, rate_hz=25.0, cache=work.cache)
    sent.frames, sent.frame_types, sent.kbps

Luma only: chroma is neutral 128 and costs next to no bits, so rates are those of luma.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lumavox._files import replace_file

from ..data.codec import ENCODERS, encode
from ..data.manifest import Dataset
from ..data.sr_pairs import VIDEO
from ..errors import DatasetError, StageError
from ..resize import resize, to_luma
from .sr_material import CLIP_WIDTH, Pair, sizes

Luma = NDArray[np.uint8]
LEAST_FRAMES = 16  # a shorter clip is one I frame and little else


@dataclass(frozen=True, eq=False)
class Footage:
    """Luma frames of a clip, 0..255, not rounded."""

    name: str
    rate_hz: float
    frames: tuple[NDArray[np.float32], ...]

    def pairs(self, scale: float, multiple: int = 1) -> list[Pair]:
        """Every frame cut to sizes that meet (all even, for 4:2:0), and reduced by antialiased bicubic."""
        pairs = []
        for frame in self.frames:
            small, large = even_sizes((frame.shape[0], frame.shape[1]), scale, multiple)
            high = frame[: large[0], : large[1]]
            pairs.append(Pair(np.clip(np.rint(resize(high, small)), 0, 255).astype(np.uint8), high))
        return pairs


@dataclass(frozen=True, eq=False)
class Stream:
    """An encoded clip after decoding, in the order of display."""

    frames: tuple[Luma, ...]
    frame_types: tuple[str, ...]  # I, P, B
    bytes: int  # of the packets, without the container
    rate_hz: float

    @property
    def kbps(self) -> float:
        """Mean rate in 1000 bits per second."""
        return self.bytes * 8 * self.rate_hz / len(self.frames) / 1000


def even_sizes(
    high: tuple[int, int], scale: float, multiple: int = 1
) -> tuple[tuple[int, int], tuple[int, int]]:
    """`sizes` with all four numbers even: both resolutions are encoded as 4:2:0."""
    cell = next(n for n in range(multiple, 100 * multiple, multiple) if n % 2 == 0 and n * scale % 2 == 0)
    return sizes(high, scale, cell)


def footage(datasets: Sequence[Dataset], frames: int) -> Iterator[Footage]:
    """The first ``frames`` of every video file that has at least ``LEAST_FRAMES``.

    Files wider than ``CLIP_WIDTH`` are reduced by two first: they were encoded before, and that hides it.
    """
    for dataset in datasets:
        for entry in dataset.entries:
            if Path(entry.file).suffix.lower() in VIDEO:
                clip = read_clip(dataset.path(entry), frames, CLIP_WIDTH)
                if len(clip.frames) >= LEAST_FRAMES:
                    yield clip


def read_clip(path: Path, frames: int, reduce_above: int | None = None) -> Footage:
    """The first ``frames`` of a video file, reduced by two if wider than ``reduce_above`` pixels.

    Raises DatasetError if it is not there or not video.
    """
    import av

    kept: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path)) as container:
            rate_hz = float(container.streams.video[0].average_rate or 25)
            for frame in container.decode(video=0):
                luma = to_luma(frame.to_ndarray(format="rgb24"))
                if reduce_above is not None and luma.shape[1] > reduce_above:
                    luma = resize(luma, (luma.shape[0] // 2, luma.shape[1] // 2))
                kept.append(luma)
                if len(kept) == frames:
                    break
    except (OSError, IndexError, av.FFmpegError) as error:
        raise DatasetError(f"cannot read the clip {path}: {error or 'it has no video'}") from error
    return Footage(path.name, rate_hz, tuple(kept))


def stream(
    frames: Sequence[Luma],
    codec: str,
    crf: int,
    gop: int,
    rate_hz: float,
    cache: Path,
    settings: Mapping[str, str] | None = None,
) -> Stream:
    """Encode and decode ``frames``; the file is kept below ``cache`` by the digest of all that made it."""
    import av

    options = ENCODERS[codec][0], sorted((settings or ENCODERS[codec][1]).items())
    digest = hashlib.sha256(
        f"{codec} {crf} {gop} {round(rate_hz)} {options} {frames[0].shape} {av.library_versions}".encode()
    )
    for frame in frames:
        digest.update(np.ascontiguousarray(frame).data)
    path = cache / "streams" / f"{digest.hexdigest()}.mkv"
    if not path.is_file():
        replace_file(path, encode(frames, codec, crf, gop, round(rate_hz), settings))
    found = _decode(path.read_bytes(), rate_hz)
    if len(found.frames) != len(frames):
        raise StageError(f"{codec} gave {len(found.frames)} frames for {len(frames)} ({path})")
    return found


def _decode(data: bytes, rate_hz: float) -> Stream:
    import av
    from av.video.frame import PictureType

    frames, types, size = [], [], 0
    with av.open(io.BytesIO(data)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for packet in container.demux(video=0):
            size += packet.size
            for frame in packet.decode():
                frames.append(frame.to_ndarray()[: frame.height].copy())
                types.append(PictureType(frame.pict_type).name)
    return Stream(tuple(frames), tuple(types), size, rate_hz)
