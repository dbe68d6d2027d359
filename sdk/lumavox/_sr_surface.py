"""Between frames and luma planes: what of a picture the network sees, and how the rest follows.

`Surface` serves one pixel format, size and scale, and keeps its buffers. It knows no network. Luma
planes are uint8, or uint16 with samples of 0..1023, whatever the format:

- NV12, I420, GRAY8, I010: the frame's own luma planes, no copy;
- P010: shifted down into a buffer, and the result shifted up in place;
- RGB24, BGR24: full-range BT.601 luma (an invertible split, not a statement about the colours); chroma
  goes through the conventional filter at full resolution.
"""

from __future__ import annotations

import numpy as np

from lumavox.errors import FrameError
from lumavox.picture import Frame, PixelFormat
from lumavox.resample_picture import ChromaResizer, PlaneResizer, enlarged_side

_P010_SHIFT = 6


class Surface:
    """Use, per frame: ``out``, ``luma``, ``target``, fill the target, ``chroma``, ``finish``."""

    def __init__(self, format: PixelFormat, width: int, height: int, scale: float) -> None:
        self.format = format
        self.size = (width, height)
        out_width, out_height = (enlarged_side(side, scale) for side in self.size)
        self.out_size = (out_width, out_height)
        self._chroma = ChromaResizer(width, height, out_width, out_height, scale)
        small, large = (height, width), (out_height, out_width)
        self._resizer = PlaneResizer(small, large, scale)
        self._luma = np.empty(small if format in _CONVERTED else (0, 0), format.dtype)
        self._low: list[tuple[np.ndarray, np.ndarray]] = []
        if format is PixelFormat.P010:
            shapes = format.plane_shapes(width, height)[1], format.plane_shapes(out_width, out_height)[1]
            self._low = [(np.empty(shapes[0], np.uint16), np.empty(shapes[1], np.uint16))]
        if format.packed_rgb:
            self._target = np.empty(large, np.uint8)
            self._ycc = np.empty((*small, 3), np.uint8)
            self._ycc_large = np.empty((*large, 3), np.uint8)

    def fits(self, frame: Frame) -> bool:
        """Whether this surface is for frames like that one."""
        return frame.format is self.format and (frame.width, frame.height) == self.size

    def out(self, frame: Frame, out: Frame | None) -> Frame:
        """``out`` if it can take the result of ``frame``, a new frame for None. Raises `FrameError`."""
        if out is None:
            return Frame.empty(self.format, *self.out_size)
        out.check_like(self.format, *self.out_size, "out")
        if any(np.may_share_memory(a, b) for a, b in zip(frame.planes, out.planes)):
            raise FrameError("out shares memory with the frame; give it memory of its own")
        return out

    def luma(self, frame: Frame) -> np.ndarray:
        """The luma plane ``(height, width)`` for the network; valid until the next call."""
        plane = frame.planes[0]
        if self.format is PixelFormat.P010:
            return np.right_shift(plane, _P010_SHIFT, out=self._luma)
        if self.format.packed_rgb:
            import cv2

            rgb = self.format is PixelFormat.RGB24
            cv2.cvtColor(plane, cv2.COLOR_RGB2YCrCb if rgb else cv2.COLOR_BGR2YCrCb, dst=self._ycc)
            return cv2.extractChannel(self._ycc, 0, self._luma).reshape(self._luma.shape)
        return plane

    def target(self, out: Frame) -> np.ndarray:
        """Where the enlarged luma plane goes."""
        return self._target if self.format.packed_rgb else out.planes[0]

    def bypass(self, luma: np.ndarray, target: np.ndarray) -> None:
        """The conventional way from one to the other."""
        self._resizer.resize(luma, target)

    def chroma(self, frame: Frame, out: Frame) -> None:
        """Enlarge the chroma of ``frame`` into ``out``; may run while the network works on the luma."""
        if self.format.packed_rgb:
            # Sited like luma; the Y in it is replaced in finish().
            self._resizer.resize(self._ycc, self._ycc_large)
        elif self.format is PixelFormat.P010:
            small, large = self._low[0]
            np.right_shift(frame.planes[1], _P010_SHIFT, out=small)
            self._chroma.resize(small, large)
            np.left_shift(large, _P010_SHIFT, out=out.planes[1])
        else:
            for plane, larger in zip(frame.planes[1:], out.planes[1:]):
                self._chroma.resize(plane, larger)

    def finish(self, frame: Frame, out: Frame) -> None:
        """Bring the filled target into ``out``'s format, with the tags and time of ``frame``."""
        if self.format is PixelFormat.P010:
            np.left_shift(out.planes[0], _P010_SHIFT, out=out.planes[0])
        elif self.format.packed_rgb:
            import cv2

            rgb = self.format is PixelFormat.RGB24
            cv2.insertChannel(self._target, self._ycc_large, 0)
            back = cv2.COLOR_YCrCb2RGB if rgb else cv2.COLOR_YCrCb2BGR
            result = cv2.cvtColor(self._ycc_large, back, dst=out.planes[0])
            if result is not out.planes[0]:
                np.copyto(out.planes[0], result)
        out.colour, out.pts = frame.colour, frame.pts


_CONVERTED = (PixelFormat.P010, PixelFormat.RGB24, PixelFormat.BGR24)
