"""``trends``: where the history of a cell changes its level for good, and which version changed there.

    for trend in trends(judge_all(store.results(), policy)):
        for change in trend.changes: print(trend.points[change.index].cell, change.ratio, change.versions)

A trend goes through all versions of a slot, in one tier and load, and its points are run p99s. Segments of
equal level are found by ``ruptures`` (PELT with the squared error of log p99); a border that Student's test
between its two segments does not confirm, or that is smaller than the floor, is taken out, the weakest
first, as Hunter does (Fleming et al. 2023, arXiv:2301.03034) in place of E-divisive's permutations: so it
is deterministic.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._extras import required
from .cell import Cell, Status
from .changes import VERSIONED
from .judged import Judged, slot_of
from .stats import LEAST_SD_LOG, MIN_RUNS

__all__ = ["LevelChange", "Point", "Trend", "change_points", "trends"]

MAX_P = 0.001
MIN_CHANGE = 0.02
PENALTY = 3.0
"""Of one more segment, in variances times log n; 2 is BIC. With these two, a history of 60 runs without a
change raises an alarm in at most one of a hundred cases (measured in the tests)."""

Levels = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One run."""

    began_ms: int
    run_id: str
    p99_us: float
    cell: Cell
    runtime: str | None


@dataclass(frozen=True)
class LevelChange:
    """From run ``index`` on, p99 is ``ratio`` times what it was before. ``versions``: what changed between
    the two runs, like ``"firmware 1.0 -> 1.1"``; empty if nothing that has a version did."""

    index: int
    ratio: float
    p: float
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Trend:
    """``points`` are those of one slot, tier and load, the oldest first."""

    tier: str
    loaded: bool
    points: tuple[Point, ...]
    changes: tuple[LevelChange, ...]


def trends(cells: Iterable[Judged]) -> list[Trend]:
    """The histories of all slots that have runs with times, in the order of their cells."""
    groups: dict[tuple[object, ...], list[Point]] = defaultdict(list)
    for judged in cells:
        for run in judged.runs:
            if run.p99_us and run.status in (Status.PASS, Status.FAIL, Status.DONE):
                key = (slot_of(judged.cell), run.tier, run.loaded)
                groups[key].append(Point(run.began_ms, run.run_id, run.p99_us, judged.cell, run.runtime))
    return [
        _trend(str(tier), bool(loaded), sorted(points, key=lambda p: p.began_ms))
        for (_, tier, loaded), points in groups.items()
    ]


def change_points(series_us: Sequence[float]) -> list[tuple[int, float, float]]:
    """(index of the first run of a new level, its ratio to the level before, p) of each change."""
    ruptures = required("ruptures", "change points of a history")
    if len(series_us) < 2 * MIN_RUNS:
        return []
    levels = np.log(np.asarray(series_us, np.float64))
    variance = max(_noise(levels), LEAST_SD_LOG) ** 2
    search = ruptures.KernelCPD(kernel="linear", min_size=MIN_RUNS).fit(levels[:, None])
    borders = [0, *search.predict(pen=PENALTY * variance * math.log(len(levels)))]
    while len(borders) > 2:
        found = [_step(levels[a:b], levels[b:c]) for a, b, c in zip(borders, borders[1:], borders[2:])]
        weak = [p > MAX_P or abs(step) < math.log1p(MIN_CHANGE) for step, p in found]
        if not any(weak):
            return [(at, math.exp(step), p) for at, (step, p) in zip(borders[1:], found)]
        weakest = max((i for i, w in enumerate(weak) if w), key=lambda i: (found[i][1], -abs(found[i][0])))
        del borders[weakest + 1]
    return []


def _noise(levels: Levels) -> float:
    """The spread between neighbours: changes of level hardly touch it."""
    steps = np.diff(levels)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2))


def _step(before: Levels, after: Levels) -> tuple[float, float]:
    """Difference of means, and Student's two-sided p (one spread for both: it is the same machine)."""
    stats = required("scipy.stats", "change points of a history")
    n, m = len(before), len(after)
    pooled = (n * before.var() + m * after.var()) / (n + m - 2)
    error = math.sqrt(max(pooled, LEAST_SD_LOG**2) * (1 / n + 1 / m))
    step = float(after.mean() - before.mean())
    return step, float(2 * stats.t.sf(abs(step) / error, n + m - 2))


def _trend(tier: str, loaded: bool, points: Sequence[Point]) -> Trend:
    changes = tuple(
        LevelChange(index, ratio, p, _versions(points[index - 1], points[index]))
        for index, ratio, p in change_points([point.p99_us for point in points])
    )
    return Trend(tier, loaded, tuple(points), changes)


def _versions(before: Point, after: Point) -> tuple[str, ...]:
    pairs = [(axis, getattr(before.cell, axis), getattr(after.cell, axis)) for axis in VERSIONED]
    pairs.append(("lumavox", before.runtime or "unknown", after.runtime or "unknown"))
    shorter = ((axis, *(v[:12] if axis == "model_digest" else v for v in both)) for axis, *both in pairs)
    return tuple(itertools.starmap("{} {} -> {}".format, (s for s in shorter if s[1] != s[2])))
