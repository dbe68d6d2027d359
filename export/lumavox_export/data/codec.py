"""Real encoders over short runs of luma frames: the degradation that streamed video has."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder writes a page to stderr for every clip

import av
import numpy as np
from numpy.typing import NDArray

from lumavox.media.priority import keep_priority

Luma = NDArray[np.uint8]

# CRF offsets to about equal quality, and settings fast enough to make thousands of clips.
ENCODERS: dict[str, tuple[int, dict[str, str]]] = {
    "libx264": (0, {"preset": "veryfast"}),
    "libx265": (1, {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"}),
    "libsvtav1": (8, {"preset": "10", "svtav1-params": "lp=1"}),
}


def encode(
    frames: Sequence[Luma],
    codec: str,
    crf: int,
    gop: int,
    rate: int = 25,
    settings: Mapping[str, str] | None = None,
) -> bytes:
    """A Matroska file of the frames (even height and width), chroma neutral, limited range.

    ``crf`` is on the H.264 scale; ``settings`` are the encoder's options, by default the fast ones.
    """
    offset, options = ENCODERS[codec]
    options = dict(settings or options)
    buffer = io.BytesIO()
    height, width = frames[0].shape
    with keep_priority(), av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(
            codec, rate=rate, options={**options, "crf": str(crf + offset), "g": str(gop)}
        )
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.time_base = Fraction(1, rate)
        for index, luma in enumerate(frames):
            planes = np.full((height * 3 // 2, width), 128, np.uint8)
            planes[:height] = luma
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode(data: bytes) -> list[Luma]:
    """Luma of every frame."""
    with av.open(io.BytesIO(data)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [f.to_ndarray()[: f.height].copy() for f in container.decode(video=0)]


def encode_decode(frames: Sequence[Luma], codec: str, crf: int, gop: int) -> list[Luma]:
    """The frames as a viewer's decoder gives them."""
    out = decode(encode(frames, codec, crf, gop))
    if len(out) != len(frames):
        raise RuntimeError(f"{codec} gave {len(out)} frames for {len(frames)}")
    return out
