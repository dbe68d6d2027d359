"""Fixed-point arithmetic of TFLite's kernels and XNNPACK's sum: the small print of `reference.run_int`.

Not a general fixed-point library; it holds what quantized CONV_2D, ADD, MUL and LOGISTIC need. Names and
rounding follow tensorflow/lite/kernels/internal (common.h, reference/integer_ops) and gemmlowp's
fixedpoint.h. Everything is int64 arrays that hold int32 values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_ONE = (1 << 31) - 1  # 1.0 with no integer bits, saturated


def quantize_multiplier(real: Any) -> tuple[Ints, Ints]:
    """``real`` > 0 as (multiplier in [2**30, 2**31), shift): real = multiplier * 2**(shift - 31)."""
    fraction, shift = np.frexp(np.asarray(real, np.float64))
    multiplier = np.floor(fraction * (1 << 31) + 0.5).astype(np.int64)
    overflow = multiplier == 1 << 31
    multiplier, shift = np.where(overflow, multiplier // 2, multiplier), shift.astype(np.int64) + overflow
    vanishes = shift < -31
    return np.where(vanishes, 0, multiplier), np.where(vanishes, 0, shift)


def high_mul(a: Any, b: Any) -> Ints:
    """SaturatingRoundingDoublingHighMul: a * b / 2**31, ties upwards (the two signs of its nudge agree)."""
    return (np.asarray(a, np.int64) * b + (1 << 30)) >> 31


def rounding_shift(x: Ints, exponent: Any) -> Ints:
    """RoundingDivideByPOT: x / 2**exponent, ties away from zero."""
    mask = (np.int64(1) << np.asarray(exponent, np.int64)) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def rescale(x: Ints, multiplier: Ints, shift: Ints, ties_up: bool = False) -> Ints:
    """MultiplyByQuantizedMultiplier of int32 accumulators (double rounding).

    With ``ties_up`` as the optimized convolutions do it: ties of the second rounding upwards.
    """
    product, exponent = high_mul(x << np.maximum(shift, 0), multiplier), np.maximum(-shift, 0)
    if ties_up:
        return (product + ((np.int64(1) << exponent) >> 1)) >> exponent
    return rounding_shift(product, exponent)


def rescale_wide(x: Ints, multiplier: Ints, shift: Ints) -> Ints:
    """MultiplyByQuantizedMultiplier of int64 accumulators (16x8 convolution): a 16-bit multiplier."""
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    total = 15 - shift
    return (x * reduced + (np.int64(1) << (total - 1))) >> total


def weighted_sum(xs: Sequence[Ints], scales: Sequence[np.float32]) -> Ints:
    """XNNPACK's qs8-vadd: factors of 21 bits for the larger scale, one shift, ties upwards."""
    shift = 21 - int(np.frexp(max(scales))[1])
    total = sum(
        x * np.rint(np.ldexp(np.float64(scale), shift)).astype(np.int64) for x, scale in zip(xs, scales)
    )
    return (np.asarray(total, np.int64) + (1 << (shift - 1))) >> shift


def logistic_int8(x: Ints, scale: float) -> Ints:
    """Sigmoid of x * scale on the scale 1/256, zero point -128: gemmlowp with 4 integer bits."""
    multiplier, shift = quantize_multiplier(np.float32(scale) * 2.0**27)
    radius = int(15 * 2.0**27 / 2.0 ** int(shift))
    q4 = rescale(np.clip(x, -radius, radius), multiplier, shift)
    q23 = rounding_shift(_logistic_q4(q4), 23) - 128
    return np.where(x <= -radius, -128, np.where(x >= radius, 127, np.clip(q23, -128, 127)))


def logistic_int16(x: Ints, scale: float) -> Ints:
    """Sigmoid of x * scale on the scale 1/32768: a table of 256 values up to 10.7, linear between."""
    multiplier, shift = float(np.float32(scale)) * 4096 * 3, 0
    if scale == 2.0**-12:
        multiplier = 3.0
    else:
        while multiplier <= 32767 / 2 and shift <= 30:
            multiplier, shift = multiplier * 2, shift + 1
    steps = (x * int(multiplier) + ((1 << shift) >> 1)) >> shift
    size = np.abs(steps)
    index = np.minimum(size >> 9, 254)
    between = (_TABLE[index] << 9) + (size & 0x1FF) * (_TABLE[index + 1] - _TABLE[index])
    result = np.where(size >> 9 >= 255, 0x7FFF << 10, between)
    return np.where(steps >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1) >> 10


def _logistic_table() -> Ints:
    """The kernel's table: each value is moved by half of what straight lines between values miss halfway."""
    i = np.arange(256.0)
    here, halfway, then = (65536 / (1 + np.exp(-x / 24)) for x in (i, i + 0.5, i + 1))
    missed = halfway - (here + then) / 2
    return np.minimum(np.floor(here + missed / 2 + 0.5), 65535).astype(np.int64)


_TABLE = _logistic_table()


def _logistic_q4(a: Ints) -> Ints:
    """gemmlowp::logistic: raw value with 4 integer bits to raw value with none."""
    positive = _one_over_one_plus(_exp_negative_q4(-np.abs(a)))
    return np.where(a == 0, 1 << 30, np.where(a > 0, positive, _ONE - positive))


def _exp_negative_q4(a: Ints) -> Ints:
    """gemmlowp::exp_on_negative_values: a series for the last quarter, then factors exp(-2**n)."""
    quarter = 1 << 25
    last = (a & (quarter - 1)) - quarter
    result = _exp_last_quarter(last << 4)
    rest = last - a
    for bit, factor in enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401), start=25):
        result = np.where(rest & (1 << bit), high_mul(result, factor), result)
    return np.where(a == 0, _ONE, result)


def _exp_last_quarter(a: Ints) -> Ints:
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3, x4 = high_mul(x2, x), high_mul(x2, x2)
    series = rounding_shift(high_mul(rounding_shift(x4, 2) + x3, 715827883) + x2, 1)
    return 1895147668 + high_mul(1895147668, x + series)


def _one_over_one_plus(a: Ints) -> Ints:
    """gemmlowp::one_over_one_plus_x_for_x_in_0_1: three Newton steps with 2 integer bits."""
    half = (a + _ONE + 1) >> 1
    x = 1515870810 + high_mul(half, -1010580540)
    for _ in range(3):
        x = x + np.clip(high_mul(x, (1 << 29) - high_mul(half, x)) << 2, -(1 << 31), _ONE)
    return np.clip(x << 1, -(1 << 31), _ONE)
