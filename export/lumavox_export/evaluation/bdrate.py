"""Bjontegaard delta rate: how many percent more or fewer bits one curve needs for the quality of another.

    found = bd_rate(anchor, test)      # curves of RatePoint
    found.percent                      # -20: four fifths of the bits of the anchor
    found.reason                       # or why there is no number

G. Bjontegaard, VCEG-M33 (2001), with the piecewise cubic (PCHIP) interpolation of log rate over quality that
the standardization groups use (JCTVC-L1100, JVET-T2010). Curves are compared where both have points and
nowhere else: nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Curve = Sequence[tuple[float, float]]  # (kbps, quality)
LEAST_POINTS = 4


@dataclass(frozen=True)
class BdRate:
    """Mean difference of rate at equal quality."""

    percent: float | None  # of the anchor's rate; None: see reason
    quality: tuple[float, float]  # lowest and highest quality that both curves reach
    overlap: float  # that range, as a share of the whole range of both
    reason: str = ""


def bd_rate(anchor: Curve, test: Curve) -> BdRate:
    """Compare ``test`` with ``anchor``.

    A point that costs more than another and is no better is left out: log rate must be a function of quality.
    There is no number if a curve then has fewer than ``LEAST_POINTS``, or if the curves do not overlap.
    """
    (rates_a, quality_a), (rates_t, quality_t) = _ascending(anchor), _ascending(test)
    low, high = max(quality_a[0], quality_t[0]), min(quality_a[-1], quality_t[-1])
    whole = max(quality_a[-1], quality_t[-1]) - min(quality_a[0], quality_t[0])
    overlap = max(high - low, 0.0) / whole if whole else 0.0
    fewest = min(len(rates_a), len(rates_t))
    if fewest < LEAST_POINTS:
        reason = f"{fewest} points of rising quality, {LEAST_POINTS} are needed"
    elif overlap == 0:
        reason = (
            f"no overlap: {quality_a[0]:.2f}..{quality_a[-1]:.2f} and {quality_t[0]:.2f}..{quality_t[-1]:.2f}"
        )
    else:
        area = _integral(quality_t, np.log(rates_t), low, high) - _integral(
            quality_a, np.log(rates_a), low, high
        )
        return BdRate(float(np.expm1(area / (high - low)) * 100), (float(low), float(high)), float(overlap))
    return BdRate(None, (float(low), float(high)), float(overlap), reason)


def _ascending(curve: Curve) -> tuple[Array, Array]:
    """Rates and qualities, both strictly rising."""
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(curve, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    rates, qualities = np.array(kept, np.float64).T
    return rates, qualities


def pchip_slopes(x: Array, y: Array) -> Array:
    """Slopes of the monotone piecewise cubic at its knots (Fritsch and Butland, SISC 5(2), 1984)."""
    step = np.diff(x)
    chord = np.diff(y) / step
    slopes = np.zeros(len(x))
    # Inside: the weighted harmonic mean of both chords, zero at an extremum.
    left, right = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    same = chord[:-1] * chord[1:] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (left + right) / (left / chord[:-1] + right / chord[1:])
    slopes[1:-1] = np.where(same, mean, 0.0)
    # At the ends: the parabola through three points, kept monotone.
    for end, near, far in ((0, 0, 1), (-1, -1, -2)):
        slope = ((2 * step[near] + step[far]) * chord[near] - step[near] * chord[far]) / (
            step[near] + step[far]
        )
        if slope * chord[near] <= 0:
            slope = 0.0
        elif chord[near] * chord[far] <= 0 and abs(slope) > 3 * abs(chord[near]):
            slope = 3 * chord[near]
        slopes[end] = slope
    return slopes


def _integral(x: Array, y: Array, low: float, high: float) -> float:
    """Of the piecewise cubic through the points, from ``low`` to ``high``.

    Exact: Simpson's rule on each piece of a cubic.
    """
    edges = np.unique(np.concatenate([[low, high], x[(x > low) & (x < high)]]))
    middle = (edges[1:] + edges[:-1]) / 2
    knots, between = pchip(x, y, edges), pchip(x, y, middle)
    return float(np.sum(np.diff(edges) * (knots[:-1] + 4 * between + knots[1:]) / 6))


def pchip(x: Array, y: Array, at: Array) -> Array:
    """The piecewise cubic through three or more points, ``x`` rising, at places within them."""
    slopes = pchip_slopes(x, y)
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    step = x[piece + 1] - x[piece]
    t = (at - x[piece]) / step
    return (
        (1 + 2 * t) * (1 - t) ** 2 * y[piece]
        + t * (1 - t) ** 2 * step * slopes[piece]
        + t**2 * (3 - 2 * t) * y[piece + 1]
        + t**2 * (t - 1) * step * slopes[piece + 1]
    )
