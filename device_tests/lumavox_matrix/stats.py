"""``decide``: which cells of B are slower than those of A? Concluded from runs, never from frames.

    interleaved(10)                                # in this order a drift of the room hits both arms alike
    changes = decide([Arms(a_us, b_us), ...], Regression())     # run p99s in microseconds, a cell each
    changes[0].what, changes[0].more_runs          # "suspected", 22: run that many more of each arm

Frames of one run are alike because the run is the same: tests on frames call noise a change in more than half
of all cases. A run's p99 is one number, and Welch's test compares the logarithms of those of both arms.

It goes in two stages. The first runs of every cell only choose suspects. Suspects are run again, and those
fresh runs alone decide: significant after correction over the suspects, and above the effect floor. So the
chance of any false alarm is bounded however many cells are screened, at a third of the runs that one stage
would need. `selftest` measures it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import OptionError

from ._extras import required
from .policy import Regression

__all__ = ["Arms", "Change", "adjusted", "compare", "decide", "interleaved", "runs_needed"]

MIN_RUNS = 3
DEFAULT_SD_LOG = 0.036
"""Run-to-run spread of log p99 where nothing is known: 3 % between runs, and what p99 of 300 frames adds."""

SD_MARGIN = 1.1
"""The spread of twenty runs is underestimated in half of the cases; asking for a few runs more is cheaper."""

LEAST_SD_LOG = 1e-4
"""A scripted clock has no noise at all; this keeps the test defined."""

What = Literal["slower", "faster", "same", "suspected", "unknown"]


@dataclass(frozen=True)
class Arms:
    """The run p99s of one cell in microseconds, the oldest first."""

    a_us: tuple[float, ...]
    b_us: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(not value > 0 for value in (*self.a_us, *self.b_us)):
            raise OptionError("run p99s must be above 0 microseconds")


@dataclass(frozen=True)
class Change:
    """B against A in one cell. ``ratio`` of geometric means of all runs, with its interval at 99 %; ``p`` of
    the stage that decided, corrected if that is the second; ``more_runs`` of each arm to say more."""

    what: What
    runs_a: int
    runs_b: int
    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    more_runs: int


@dataclass(frozen=True)
class Welch:
    """Of many cells at once: one-sided p-values, and the spread of a run."""

    effect: NDArray[np.float64]
    error: NDArray[np.float64]
    free: NDArray[np.float64]
    sd_log: NDArray[np.float64]
    p_slower: NDArray[np.float64]
    p_faster: NDArray[np.float64]


def interleaved(runs: int) -> str:
    """The order of ``runs`` runs of each of two arms: ABBABAAB..., so that no drift favours an arm, steady or
    turning."""
    if runs % 2:
        return interleaved(runs - 1) + "AB"
    return ("ABBABAAB" * (runs // 4 + 1))[: 2 * runs]


def decide(cells: Sequence[Arms], rule: Regression) -> list[Change]:
    """Conclude of each cell, in their order."""
    screens, shown = _screen_runs(cells, rule), _intervals(cells)
    ready = [i for i, n in enumerate(screens) if shown[i].runs >= n]
    first = welch([Arms(cells[i].a_us[: screens[i]], cells[i].b_us[: screens[i]]) for i in ready])
    changes: dict[int, Change] = {}
    for i in set(range(len(cells))) - set(ready):
        changes[i] = shown[i].change("unknown", None, screens[i] - shown[i].runs)
    for sign, p_values in (("slower", first.p_slower), ("faster", first.p_faster)):
        suspects = [(i, k) for k, i in enumerate(ready) if p_values[k] <= rule.screen]
        direction: Literal["slower", "faster"] = "slower" if sign == "slower" else "faster"
        changes |= _confirm(cells, suspects, screens, shown, first, direction, rule)
    for k, i in enumerate(ready):
        if i not in changes:
            changes[i] = shown[i].change("same", float(min(first.p_slower[k], first.p_faster[k])), 0)
    return [changes[i] for i in range(len(cells))]


def compare(cell: Arms) -> Change:
    """One cell alone, with all its runs and without a conclusion ("unknown"): for showing."""
    return _intervals([cell])[0].change("unknown", None, 0)


def welch(cells: Sequence[Arms]) -> Welch:
    """Welch's test on log p99 for cells of at least ``MIN_RUNS`` runs in each arm."""
    t = _scipy_stats().t
    moments = np.array([[*_moments(c.a_us), *_moments(c.b_us)] for c in cells]).reshape(-1, 6).T
    n_a, mean_a, var_a, n_b, mean_b, var_b = moments
    error_a, error_b = np.maximum(var_a, LEAST_SD_LOG**2) / n_a, np.maximum(var_b, LEAST_SD_LOG**2) / n_b
    error = np.sqrt(error_a + error_b)
    free = (error_a + error_b) ** 2 / (error_a**2 / (n_a - 1) + error_b**2 / (n_b - 1))
    effect = mean_b - mean_a
    sd_log = np.sqrt((var_a + var_b) / 2)
    return Welch(effect, error, free, sd_log, t.sf(effect / error, free), t.cdf(effect / error, free))


def adjusted(p_values: Sequence[float], correction: Literal["holm", "bh"]) -> list[float]:
    """p-values corrected for their number: Holm bounds the chance of any false alarm, Benjamini-Hochberg the
    share of false ones among the alarms."""
    p = np.asarray(p_values, np.float64)
    if not len(p):
        return []
    if correction == "bh":
        return [float(v) for v in _scipy_stats().false_discovery_control(p, method="bh")]
    order = np.argsort(p, kind="stable")
    result = np.empty(len(p))
    result[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(v) for v in result]


@functools.lru_cache(maxsize=4096)
def runs_needed(sd_log: float, alpha: float, rule: Regression) -> int:
    """Runs of each arm to find a change of the target effect at level ``alpha`` and above the floor, with the
    share of ``rule.power`` that falls to one of two stages. Noncentral t; at most ``rule.max_runs``."""
    stats = _scipy_stats()
    target, floor = math.log1p(rule.target_effect), math.log1p(rule.effect_floor)
    power = math.sqrt(rule.power)
    for n in range(MIN_RUNS, rule.max_runs):
        error = max(sd_log, LEAST_SD_LOG) * math.sqrt(2 / n)
        free = 2 * (n - 1)
        found = stats.nct.sf(stats.t.ppf(1 - alpha, free), free, target / error)
        if min(found, stats.norm.sf((floor - target) / error)) >= power:
            return n
    return rule.max_runs


def _confirm(
    cells: Sequence[Arms], suspects: Sequence[tuple[int, int]], screens: Sequence[int],
    shown: Sequence[_Interval], first: Welch, direction: Literal["slower", "faster"], rule: Regression,
) -> dict[int, Change]:  # fmt: skip
    """The second stage: fresh runs only, corrected over all suspects, also those that still wait for runs."""
    level = rule.alpha / max(1, len(suspects))
    fresh: dict[int, Arms] = {}
    changes: dict[int, Change] = {}
    for i, k in suspects:
        needed = runs_needed(_rounded(float(first.sd_log[k])), level, rule)
        a, b = (arm[screens[i] : screens[i] + needed] for arm in (cells[i].a_us, cells[i].b_us))
        if min(len(a), len(b)) < needed:
            p = float(min(first.p_slower[k], first.p_faster[k]))
            changes[i] = shown[i].change("suspected", p, needed - min(len(a), len(b)))
        else:
            fresh[i] = Arms(a, b)
    second = welch(list(fresh.values()))
    raw = second.p_slower if direction == "slower" else second.p_faster
    corrected = adjusted([*raw, *[1.0] * len(changes)], rule.correction)
    for (i, _), effect, p in zip(fresh.items(), second.effect, corrected):
        size = effect if direction == "slower" else -effect
        alarm = p <= rule.alpha and size >= math.log1p(rule.effect_floor)
        changes[i] = shown[i].change(direction if alarm else "same", p, 0)
    return changes


def _screen_runs(cells: Sequence[Arms], rule: Regression) -> list[int]:
    """Runs of each arm in the first stage, by the spread of those that there are."""
    usual = runs_needed(DEFAULT_SD_LOG, rule.screen, rule)
    enough = [i for i, cell in enumerate(cells) if min(len(cell.a_us), len(cell.b_us)) >= usual]
    spreads = welch([Arms(cells[i].a_us[:usual], cells[i].b_us[:usual]) for i in enough]).sd_log
    found = dict.fromkeys(range(len(cells)), usual)
    found |= {i: runs_needed(_rounded(float(sd)), rule.screen, rule) for i, sd in zip(enough, spreads)}
    return list(found.values())


@dataclass(frozen=True)
class _Interval:
    """Ratio of geometric means of all runs of a cell, and its interval at 99 %, where they can be told."""

    runs_a: int
    runs_b: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def runs(self) -> int:
        return min(self.runs_a, self.runs_b)

    def change(self, what: What, p: float | None, more_runs: int) -> Change:
        return Change(what, self.runs_a, self.runs_b, self.ratio, self.low, self.high, p, more_runs)


def _intervals(cells: Sequence[Arms]) -> list[_Interval]:
    """Of many cells at once: scipy's calls cost more than what they compute."""
    found = [_Interval(len(cell.a_us), len(cell.b_us)) for cell in cells]
    for i, made in enumerate(found):
        if 0 < made.runs < MIN_RUNS:
            effect = float(np.mean(np.log(cells[i].b_us)) - np.mean(np.log(cells[i].a_us)))
            found[i] = _Interval(made.runs_a, made.runs_b, math.exp(effect))
    enough = [i for i, made in enumerate(found) if made.runs >= MIN_RUNS]
    if enough:
        tested = welch([cells[i] for i in enough])
        half = _scipy_stats().t.ppf(0.995, tested.free) * tested.error
        for i, low, ratio, high in zip(
            enough, *(np.exp(tested.effect + shift) for shift in (-half, 0.0, half))
        ):
            found[i] = _Interval(found[i].runs_a, found[i].runs_b, float(ratio), float(low), float(high))
    return found


def _moments(values_us: Sequence[float]) -> tuple[float, float, float]:
    """Number, mean and variance of the logarithms."""
    logs = np.log(values_us)
    return len(logs), float(logs.mean()), float(logs.var(ddof=1))


def _rounded(sd_log: float) -> float:
    """With its margin, in steps of a tenth of a per cent, so that few sizes are computed."""
    return math.ceil(1e3 * SD_MARGIN * sd_log) / 1e3


def _scipy_stats() -> Any:
    return required("scipy.stats", "comparing versions")
