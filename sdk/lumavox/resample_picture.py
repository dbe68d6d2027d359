"""The conventional filters: what a picture plane goes through where no network is used.

Luma is enlarged by a bicubic (what comes out when the network cannot, and the last step to scales that
no network has), and averaged over areas when made smaller. Bicubic rather than Lanczos: a tenth of the time
for about 0.1 dB, and it must come out when a deadline is near. Chroma is always enlarged bilinearly, in
the right place (see `ChromaResizer`).

Planes are uint8, or uint16 with samples of 0..1023. Results are written into ``out``.

The size of an enlarged picture is `enlarged_side` of each side. Where that was rounded (an odd side times
1.5), the picture is not stretched to fit: it is padded by repeating its edge, enlarged by exactly the scale,
and cut, as a network's is. So the conventional picture lies exactly over the enhanced one.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

__all__ = ["ChromaResizer", "PlaneResizer", "cell_of", "enlarged_side"]

_TEN_BIT_MAX = 1023
_MOST_PIXELS = 16  # along a cell


def enlarged_side(side: int, scale: float) -> int:
    """``side * scale`` rounded to whole pixels, a half upwards: no pixel of the picture is cut off."""
    return max(1, math.floor(side * scale + 0.5))


def cell_of(scale: float) -> tuple[int, int] | None:
    """The fewest pixels that become a whole number of pixels, and that number: (2, 3) for 1.5.

    None if that takes more than 16 pixels (a scale such as 2.249).
    """
    found = Fraction(scale).limit_denominator(_MOST_PIXELS)
    if abs(found - Fraction(scale)) > 1e-9:
        return None
    return found.denominator, found.numerator


class PlaneResizer:
    """Resizes planes of one size, ``(rows, columns)``, by exactly ``scale``; keeps its buffers.

    ``out_shape`` is at most the plane times the scale, rounded up; what is beyond is cut.
    """

    def __init__(self, shape: tuple[int, int], out_shape: tuple[int, int], scale: float) -> None:
        cell = cell_of(scale)
        if cell is None:
            self._padded = shape
            self._full = (
                max(out_shape[0], round(shape[0] * scale)),
                max(out_shape[1], round(shape[1] * scale)),
            )
        else:
            pixels, enlarged = cell
            rows, columns = (-(-side // pixels) for side in shape)
            self._padded = rows * pixels, columns * pixels
            self._full = rows * enlarged, columns * enlarged
        self._smaller = scale < 1
        self._source = np.empty(0, np.uint8)
        self._large = np.empty(0, np.uint8)

    def resize(self, source: np.ndarray, out: np.ndarray) -> None:
        """By a bicubic, or averaged over areas if ``scale`` is below 1.

        ``source`` is ``(rows, columns)``, or has channels at the end.
        """
        import cv2

        self._resize(source, out, cv2.INTER_AREA if self._smaller else cv2.INTER_CUBIC)
        if out.dtype == np.uint16:
            np.minimum(out, _TEN_BIT_MAX, out=out)  # a bicubic overshoots

    def linear(self, source: np.ndarray, out: np.ndarray) -> None:
        """Bilinearly. Samples may use all 16 bits, with or without sign."""
        import cv2

        self._resize(source, out, cv2.INTER_LINEAR)

    def _resize(self, source: np.ndarray, out: np.ndarray, filter: int) -> None:
        channels = source.shape[2:]
        if source.shape[:2] != self._padded:
            source = self._pad(source)
        if self._full == out.shape[:2]:
            _resize(source, out, filter)
            return
        if self._large.shape != (*self._full, *channels) or self._large.dtype != source.dtype:
            self._large = np.empty((*self._full, *channels), source.dtype)
        _resize(source, self._large, filter)
        np.copyto(out, self._large[: out.shape[0], : out.shape[1]])

    def _pad(self, source: np.ndarray) -> np.ndarray:
        """``source`` with its last row and column repeated."""
        shape = (*self._padded, *source.shape[2:])
        if self._source.shape != shape or self._source.dtype != source.dtype:
            self._source = np.empty(shape, source.dtype)
        rows, columns = source.shape[:2]
        self._source[:rows, :columns] = source
        self._source[:rows, columns:] = source[:, -1:]
        self._source[rows:] = self._source[rows - 1]
        return self._source


class ChromaResizer:
    """Enlarges the chroma of 4:2:0 pictures of one size; keeps its buffers.

    Chroma samples sit on the left of their two luma columns and between their two rows (as in MPEG-2,
    H.264 and HEVC by default). After a plain centre-aligned enlargement by ``s`` they would sit
    ``0.25 - 0.25 / s`` chroma samples too far right, so the plane is first moved by that fraction: a
    three-tap (quadratic) interpolation on the small plane, far cheaper than a resampler with an offset.
    If a size is odd, the plane covers half a sample more than the picture, so it is enlarged by the
    picture's factor and cut.
    """

    def __init__(self, width: int, height: int, out_width: int, out_height: int, scale: float) -> None:
        shape, wanted = ((height + 1) // 2, (width + 1) // 2), ((out_height + 1) // 2, (out_width + 1) // 2)
        self._resizer = PlaneResizer(shape, wanted, scale)
        shift = 0.25 - 0.25 / scale
        taps = [shift * (shift - 1) / 2, 1 - shift * shift, shift * (shift + 1) / 2]  # Lagrange
        self._kernel = np.array([taps], np.float32)
        self._moved = np.empty(0, np.uint8)

    def resize(self, source: np.ndarray, out: np.ndarray) -> None:
        """``source`` ``(ch, cw)`` or interleaved ``(ch, cw, 2)`` into ``out`` of the enlarged size."""
        import cv2

        if self._moved.shape != source.shape or self._moved.dtype != source.dtype:
            self._moved = np.empty(source.shape, source.dtype)
        moved = cv2.filter2D(source, -1, self._kernel, self._moved, borderType=cv2.BORDER_REPLICATE)
        moved = moved.reshape(source.shape)
        if moved.dtype == np.uint16:
            np.minimum(moved, _TEN_BIT_MAX, out=moved)
        self._resizer.linear(moved, out)


def _resize(source: np.ndarray, out: np.ndarray, filter: int) -> None:
    import cv2

    height, width = out.shape[:2]
    result = cv2.resize(source, (width, height), dst=out, interpolation=filter)
    if result is not out:  # OpenCV made its own array (a layout it does not write to)
        np.copyto(out, result.reshape(out.shape))
