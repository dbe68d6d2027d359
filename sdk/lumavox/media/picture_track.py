"""The moving picture of a file through the `Upscaler`: `PictureTrack`.

Takes decoded PyAV frames, gives PyAV frames ready to encode, with timestamps, colour tags and order kept.
The planes of both are handed over as numpy views: what the decoder wrote is what the network reads, what
is written is what the encoder reads. Only pixel formats that Lumavox does not know are converted first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lumavox.media.facts import VideoFacts
from lumavox.media.kinds import import_av
from lumavox.picture import ColourTags, Frame, PixelFormat
from lumavox.resample_picture import enlarged_side
from lumavox.video import Upscaler

# By PyAV's name. All others, semi-planar ones too (few encoders take them), are converted first.
_FORMATS = {
    "yuv420p": PixelFormat.I420,
    "yuvj420p": PixelFormat.I420,  # the same memory; full range is said by the tag
    "yuv420p10le": PixelFormat.I010,
}


class PictureTrack:
    """One video stream being enhanced.

    ``warn`` is called with a sentence when something about the stream cannot be kept.
    """

    def __init__(self, facts: VideoFacts, upscaler: Upscaler, warn: Callable[[str], None]) -> None:
        self.facts = facts
        self.upscaler = upscaler
        self.frames = 0
        self._warn = warn
        self._last_pts: int | None = None
        self.pixel_format = "yuv420p" if facts.bit_depth == 8 else "yuv420p10le"
        if facts.pixel_format not in _FORMATS:
            warn(f"the pixel format {facts.pixel_format} was converted to {self.pixel_format} first")
        if facts.interlaced:
            warn("the picture is interlaced; it was treated as if it were not")
        # Encoders of 4:2:0 want even sizes; one row or column more shows nothing new.
        width, height = (enlarged_side(side, upscaler.scale) for side in (facts.width, facts.height))
        self.enhanced_size = (width, height)
        self.coded_size = (width + width % 2, height + height % 2)
        if self.coded_size != self.enhanced_size:
            coded = "{}x{}".format(*self.coded_size)
            warn(f"the enhanced size {width}x{height} is odd; encoded as {coded}, the last line repeated")

    @property
    def frame_bytes(self) -> int:
        """Memory of one enhanced frame."""
        width, height = self.coded_size
        return width * height * 3 // 2 * (2 if self.facts.bit_depth > 8 else 1)

    def enhance(self, frame: Any) -> tuple[Any, Any]:
        """The pair (source, enhanced) of ``av.VideoFrame`` for a decoded one."""
        frame = self._as_expected(frame)
        target = import_av().VideoFrame(*self.coded_size, self.pixel_format)
        _copy_tags(frame, target, self.facts)
        source, out = wrap(frame, self.facts.width, self.facts.height), wrap(target, *self.enhanced_size)
        self.upscaler.process(source, out=out)
        self.frames += 1
        if self.coded_size != self.enhanced_size:
            _pad(target, *self.enhanced_size)
        return frame, target

    def _as_expected(self, frame: Any) -> Any:
        """``frame`` in the format and size of the first one, with a timestamp later than the last."""
        facts, pts = self.facts, frame.pts
        if (frame.width, frame.height) != (facts.width, facts.height):
            self._warn(
                f"the frame size changes to {frame.width}x{frame.height} within the stream; "
                f"scaled to {facts.width}x{facts.height}"
            )
        if (frame.width, frame.height) != (facts.width, facts.height) or frame.format.name not in _FORMATS:
            converted = frame.reformat(facts.width, facts.height, self.pixel_format, interpolation="BICUBIC")
            converted.duration = frame.duration
            frame = converted
        elif _FORMATS[frame.format.name] is not _FORMATS[self.pixel_format]:
            frame = frame.reformat(format=self.pixel_format)
        if self._last_pts is not None and (pts is None or pts <= self._last_pts):
            step = 1 if facts.rate is None else max(1, round(1 / facts.rate / facts.time_base))
            pts = self._last_pts + (step if pts is None else 1)
            self._warn("some frames had no timestamp, or one before the last; they were given the next one")
        frame.pts = self._last_pts = 0 if pts is None else pts
        return frame


def wrap(frame: Any, width: int, height: int) -> Frame:
    """The planes of a PyAV frame as a `Frame` of ``width`` x ``height``, without a copy."""
    format = _FORMATS[frame.format.name]
    planes = []
    for plane, (rows, columns) in zip(frame.planes, format.plane_shapes(width, height)):
        samples = np.frombuffer(plane, format.dtype).reshape(plane.height, -1)
        planes.append(samples[:rows, :columns])
    colour = ColourTags(
        range={1: "limited", 2: "full"}.get(int(frame.color_range)),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
    )
    return Frame.wrap(format, width, height, planes, colour, frame.pts)


def _copy_tags(source: Any, target: Any, facts: VideoFacts) -> None:
    target.pts = source.pts
    target.duration = source.duration
    target.time_base = facts.time_base
    target.color_range, target.color_primaries, target.color_trc, target.colorspace = facts.colour


def _pad(frame: Any, width: int, height: int) -> None:
    """Repeat the last luma column and row of ``width`` x ``height`` into the even size of ``frame``.

    Chroma needs none: its size is that of the even size already.
    """
    luma = wrap(frame, frame.width, frame.height).planes[0]
    luma[:, width:] = luma[:, width - 1 : width]
    luma[height:] = luma[height - 1 : height]
