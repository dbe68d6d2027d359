"""``ratio`` and ``compare``: rates with intervals from sums over sets. Pure functions; the set is the unit.

    ratio(Sums(sets=3, x=6.0, n=60.0, xx=14.0, xn=120.0, nn=1400.0))     # Ratio(value=0.1, low=..., high=...)

A rate is the ratio of two sums over sets, x events among n frames or sessions. Sessions of one set are alike,
so its variance comes from the spread *between sets* (the ratio estimator by the delta method; Deng, Knoblich,
Lu, "Applying the Delta Method in Metric Analytics", KDD 2018, section 3): a test on sessions or frames as if
each were independent calls noise a difference in most cases.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ._extras import required

__all__ = ["Effect", "Ratio", "Sums", "compare", "ratio"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sums:
    """Over sets: of events x and chances n, of their squares and of their products."""

    sets: int
    x: float
    n: float
    xx: float
    xn: float
    nn: float

    def __add__(self, other: Sums) -> Sums:
        """Of both together, where they have no set in common."""
        mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
        return Sums(mine[0] + others[0], *(a + b for a, b in zip(mine[1:], others[1:])))


@dataclass(frozen=True)
class Ratio:
    """``value`` with its 95 % interval; ``variance`` of the value; NaN bounds where one set says nothing."""

    value: float
    low: float
    high: float
    variance: float
    sets: int
    events: float


@dataclass(frozen=True)
class Effect:
    """B minus A, compared within strata and pooled; ``crude`` is without strata and may be an artefact of who
    is in which arm. ``p`` is two-sided; ``p_adjusted`` is set by whoever tests several."""

    a: Ratio
    b: Ratio
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    crude: float
    strata: int


def ratio(sums: Sums, *, share: bool = True) -> Ratio | None:
    """The rate of a group, None if nothing is known. A ``share`` is not negative; where no event was seen its
    upper bound is that of sets with any event (exact binomial)."""
    if sums.sets < 1 or not sums.n > 0:
        return None
    value = sums.x / sums.n
    if sums.sets < 2:
        return Ratio(value, math.nan, math.nan, math.nan, sums.sets, sums.x)
    spread = max(sums.xx - 2 * value * sums.xn + value * value * sums.nn, 0.0)
    variance = sums.sets / (sums.sets - 1) * spread / sums.n**2
    half = _t(sums.sets - 1) * math.sqrt(variance)
    low, high = value - half, value + half
    if share:
        low = max(low, 0.0)
        high = high if sums.x else 1 - ((1 - CONFIDENCE) / 2) ** (1 / sums.sets)
    return Ratio(value, low, high, variance, sums.sets, sums.x)


def compare(strata: Sequence[tuple[Sums, Sums]], *, share: bool = True) -> Effect | None:
    """B against A over ``strata`` of (A, B), such as one chipset and firmware each. Weights are
    n_A n_B / (n_A + n_B) sets (Mantel and Haenszel), so a stratum with one arm only says nothing. None if
    none says anything."""
    found, weights = [], []
    for a_sums, b_sums in strata:
        a, b = ratio(a_sums, share=share), ratio(b_sums, share=share)
        if a is not None and b is not None and math.isfinite(a.variance + b.variance):
            found.append((b.value - a.value, a.variance + b.variance, a_sums, b_sums))
            weights.append(a.sets * b.sets / (a.sets + b.sets))
    if not found:
        return None
    total = sum(weights)
    difference = sum(w * f[0] for w, f in zip(weights, found)) / total
    error = math.sqrt(sum((w / total) ** 2 * f[1] for w, f in zip(weights, found)))
    a = ratio(_all([f[2] for f in found]), share=share)
    b = ratio(_all([f[3] for f in found]), share=share)
    assert a is not None and b is not None  # their parts are known
    half = _normal().isf((1 - CONFIDENCE) / 2) * error
    p = float(2 * _normal().sf(abs(difference) / error)) if error else float(difference == 0)
    return Effect(a, b, difference, difference - half, difference + half, p, p, b.value - a.value, len(found))


def _all(parts: Sequence[Sums]) -> Sums:
    first, *others = parts
    for other in others:
        first = first + other
    return first


@functools.lru_cache(maxsize=4096)
def _t(free: int) -> float:
    return float(_scipy().t.isf((1 - CONFIDENCE) / 2, free))


def _normal() -> Any:
    return _scipy().norm


def _scipy() -> Any:
    return required("scipy.stats", "intervals of a fleet's rates")
