"""The conventional filters: what a picture plane goes through where no network is used.

Luma is enlarged by a bicubic (what comes out when the network cannot, and the last step to scales that
no network has), and averaged over areas when made smaller. Bicubic rather than Lanczos: a tenth of the time
for about 0.1 dB, and it must come out when a deadline is near. Chroma is always enlarged bilinearly, in
the right place (see `ChromaResizer`).

Planes are uint8, or uint16 with samples of 0..1023. Results are written into ``out``.
"""

from __future__ import annotations

import numpy as np

__all__ = ["ChromaResizer", "resize_luma"]

_TEN_BIT_MAX = 1023


def resize_luma(source: np.ndarray, out: np.ndarray) -> None:
    """``source`` ``(h, w)`` or ``(h, w, c)`` to the size of ``out``; pixel areas keep their place."""
    import cv2

    smaller = out.shape[0] <= source.shape[0] and out.shape[1] <= source.shape[1]
    _resize(source, out, cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    if out.dtype == np.uint16:
        np.minimum(out, _TEN_BIT_MAX, out=out)  # a bicubic overshoots


class ChromaResizer:
    """Enlarges the chroma of 4:2:0 pictures of one size; keeps its buffers.

    Chroma samples sit on the left of their two luma columns and between their two rows (as in MPEG-2,
    H.264 and HEVC by default). After a plain centre-aligned enlargement by ``s`` they would sit
    ``0.25 - 0.25 / s`` chroma samples too far right, so the plane is first moved by that fraction: a
    three-tap (quadratic) interpolation on the small plane, far cheaper than a resampler with an offset.
    If a size is odd, the plane covers half a sample more than the picture, so it is enlarged by the
    picture's factor and cut (to 0.3 of a sample where that factor and an odd size do not go together).
    """

    def __init__(self, width: int, height: int, out_width: int, out_height: int) -> None:
        self._wanted = (out_height + 1) // 2, (out_width + 1) // 2
        rows, columns = (height + 1) // 2, (width + 1) // 2
        self._full = (
            max(self._wanted[0], round(rows * out_height / height)),
            max(self._wanted[1], round(columns * out_width / width)),
        )
        shift = 0.25 - 0.25 * width / out_width
        taps = [shift * (shift - 1) / 2, 1 - shift * shift, shift * (shift + 1) / 2]  # Lagrange
        self._kernel = np.array([taps], np.float32)
        self._small = np.empty(0, np.uint8)
        self._large = np.empty(0, np.uint8)

    def resize(self, source: np.ndarray, out: np.ndarray) -> None:
        """``source`` ``(ch, cw)`` or interleaved ``(ch, cw, 2)`` into ``out`` of the enlarged size."""
        import cv2

        if self._small.shape != source.shape or self._small.dtype != source.dtype:
            self._small = np.empty(source.shape, source.dtype)
            self._large = np.empty((*self._full, *source.shape[2:]), source.dtype)
        moved = cv2.filter2D(source, -1, self._kernel, self._small, borderType=cv2.BORDER_REPLICATE)
        small = moved.reshape(source.shape)
        if small.dtype == np.uint16:
            np.minimum(small, _TEN_BIT_MAX, out=small)
        if self._full == self._wanted:
            _resize(small, out, cv2.INTER_LINEAR)
        else:
            _resize(small, self._large, cv2.INTER_LINEAR)
            np.copyto(out, self._large[: out.shape[0], : out.shape[1]])


def _resize(source: np.ndarray, out: np.ndarray, filter: int) -> None:
    import cv2

    height, width = out.shape[:2]
    result = cv2.resize(source, (width, height), dst=out, interpolation=filter)
    if result is not out:  # OpenCV made its own array (a layout it does not write to)
        np.copyto(out, result.reshape(out.shape))
