"""Ten-bit luma through a network of eight bits, without its steps.

The network sees the upper eight bits (rounded) and answers in steps of four 10-bit levels. What it says over
an anchor, the same bilinear enlargement of what it was given, is added to that enlargement of all ten bits:

    out = linear(y10) + soften(4 * network(y8) - linear(4 * y8))

Where the picture is smooth, that residual is nothing but the rounding of input and output: on a ramp it
jumps by a whole step (and some networks overshoot by one), which is what is seen as bands. `soften` removes
residuals of up to `THRESHOLD` levels, lets those of twice as much pass, and rises linearly in between (firm
shrinkage, Gao and Bruce, 1997). So a ramp stays the ramp that it was, and where there is detail the result
is the network's, plus the low bits of the input. Figures: ``benchmarks/bench_ten_bit.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lumavox.resample_picture import PlaneResizer

THRESHOLD = 5
"""10-bit levels: a step of the network's output (4), and what rounding its input adds. With 4, ramps fall
back here and there; 6 and more costs detail (0.02 dB on photographs, 5 costs 0.01)."""

_FRACTION_BITS = 4  # anchors are kept to 1/16 level; the largest, 1023 * 16, fits a signed word
_ROWS = 64  # combined at a time, so that they stay in the cache


class TenBitLuma:
    """Serves planes of one size. Samples are 0..1023 in uint16; more is taken as 1023."""

    def __init__(self, shape: tuple[int, int], out_shape: tuple[int, int], scale: float) -> None:
        self.shape, self.out_shape = shape, out_shape
        self._resizer = PlaneResizer(shape, out_shape, scale)
        self._word = np.empty(shape, np.uint16)
        self._fixed = np.empty(shape, np.int16)
        self._small = np.empty(shape, np.uint8)
        self._large = np.empty(out_shape, np.uint8)
        self._fine = np.empty(out_shape, np.int16)
        self._coarse = np.empty(out_shape, np.int16)
        self._residual = np.empty((_ROWS, out_shape[1]), np.int16)
        self._clipped = np.empty((_ROWS, out_shape[1]), np.int16)

    def enlarge(
        self, source: np.ndarray, out: np.ndarray, network: Callable[[np.ndarray, np.ndarray], None]
    ) -> None:
        """``source`` to ``out``; ``network`` fills its second argument from its first, both uint8."""
        word, small, fixed = self._word, self._small, self._fixed
        np.minimum(source, 1023, out=word)
        np.left_shift(word, _FRACTION_BITS, out=fixed, casting="unsafe")
        self._resizer.linear(fixed, self._fine)
        np.add(word, 2, out=word)
        np.right_shift(word, 2, out=word)
        np.minimum(word, 255, out=small, casting="unsafe")
        network(small, self._large)
        np.left_shift(small, 2 + _FRACTION_BITS, out=fixed, dtype=np.int16)
        self._resizer.linear(fixed, self._coarse)
        for row in range(0, len(out), _ROWS):
            rows = slice(row, row + _ROWS)
            self._combine(self._large[rows], self._fine[rows], self._coarse[rows], out[rows])

    def _combine(self, eight: np.ndarray, fine: np.ndarray, coarse: np.ndarray, out: np.ndarray) -> None:
        residual, clipped = self._residual[: len(out)], self._clipped[: len(out)]
        np.left_shift(eight, 2 + _FRACTION_BITS, out=residual, dtype=np.int16)
        np.subtract(residual, coarse, out=residual)
        # soften(r) = r + clip(r, -2t, 2t) - 2 * clip(r, -t, t), added to the anchor piece by piece.
        small = THRESHOLD << _FRACTION_BITS
        np.add(fine, residual, out=fine)
        residual.clip(-small, small, out=clipped)
        np.left_shift(clipped, 1, out=clipped)
        np.subtract(fine, clipped, out=fine)
        residual.clip(-2 * small, 2 * small, out=clipped)
        np.add(fine, clipped, out=fine)
        np.add(fine, 1 << (_FRACTION_BITS - 1), out=fine)
        np.right_shift(fine, _FRACTION_BITS, out=fine)
        fine.clip(0, 1023, out=out, casting="unsafe")
