"""Between frames and luma planes: what of a picture the network sees, and how the rest follows.

`Surface` serves one pixel format, size and scale, and keeps its buffers. It knows no network. Luma
planes are uint8, or uint16 with samples of 0..1023, whatever the format:

- NV12, I420, GRAY8, I010: the frame's own luma planes, no copy;
- P010: shifted down into a buffer, and the result shifted up in place;
- RGB24, BGR24: the network sees BT.601 luma of 16..235, as in video, rounded to bytes. What it says over the
  conventional enlargement of those bytes is added to the conventional enlargement of the colours:

      out = bicubic(rgb) + 255 / 219 * (network(y) - bicubic(y))

  Both enlargements are kept to 1/16 level, so that the rounding of the luma cancels out of the sum: worth
  0.05 dB on photographs. Luma of 0..255 would cost as much, since networks know video's.
"""

from __future__ import annotations

import numpy as np

from lumavox.errors import FrameError
from lumavox.picture import Frame, PixelFormat
from lumavox.resample_picture import ChromaResizer, PlaneResizer, enlarged_side

_P010_SHIFT = 6
_FRACTION_BITS = 4  # of enlarged colours: 255 levels and a bicubic's overshoot fit a signed word
_LUMA = np.array([65.481, 128.553, 24.966]) / 255  # of R, G, B; 16 more is black (BT.601, clause 2.5.1)
_LEVELS = np.rint(np.arange(256) * (255 / 219) * (1 << _FRACTION_BITS)).astype(np.int16)  # of luma bytes
_ROWS = 16  # combined at a time, so that they stay in the cache


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
            self._colours = np.empty((*small, 3), np.int16)
            self._colours_large = np.empty((*large, 3), np.int16)
            self._fine = np.empty(small, np.int16)
            self._anchor = np.empty(large, np.int16)
            self._over = np.empty((_ROWS, out_width), np.int16)
            self._sum = np.empty((_ROWS, out_width, 3), np.int16)

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

            weights = _LUMA if self.format is PixelFormat.RGB24 else _LUMA[::-1]
            return cv2.transform(plane, np.append(weights, 16)[None], self._luma)
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
            import cv2

            np.left_shift(frame.planes[0], _FRACTION_BITS, out=self._colours, dtype=np.int16)
            self._resizer.resize(self._colours, self._colours_large)
            self._resizer.resize(cv2.LUT(self._luma, _LEVELS, self._fine), self._anchor)
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
            for row in range(0, len(self._target), _ROWS):
                self._add_luma(slice(row, row + _ROWS), out.planes[0])
        out.colour, out.pts = frame.colour, frame.pts

    def _add_luma(self, rows: slice, out: np.ndarray) -> None:
        """What the target's rows say over the anchor, to the enlarged colours of them."""
        import cv2

        anchor = self._anchor[rows]
        over, colours = self._over[: len(anchor)], self._sum[: len(anchor)]
        np.subtract(cv2.LUT(self._target[rows], _LEVELS, over), anchor, out=over)
        # OpenCV copies channels of unsigned words only; the bits are the same.
        cv2.cvtColor(over.view(np.uint16), cv2.COLOR_GRAY2RGB, colours.view(np.uint16))
        np.add(colours, self._colours_large[rows], out=colours)
        np.add(colours, 1 << (_FRACTION_BITS - 1), out=colours)
        np.right_shift(colours, _FRACTION_BITS, out=colours)
        np.maximum(colours, 0, out=colours)
        np.minimum(colours, 255, out=out[rows], casting="unsafe")


_CONVERTED = (PixelFormat.P010, PixelFormat.RGB24, PixelFormat.BGR24)
