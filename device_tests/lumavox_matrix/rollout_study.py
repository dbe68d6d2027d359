"""``study``: many simulated rollouts of every rule and model: sets that meet a bad model, and false stops.

    found = study(RolloutPolicy(), Fleet(), replicas=200, bad_replicas=50, seed=1)
    print(found.table().text())
    found.holds                 # the bars of the product: 2 % of the sets, 1 % false stops, both with
    confidence

Shares of replicas come with the exact binomial interval of Clopper and Pearson (95 %, two-sided).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lumavox._parse import plain

from ._extras import required
from ._tables import Interval, Intervals, Table
from .rollout_policy import RolloutPolicy
from .rollout_simulator import BAD, GOOD, RULES, Fleet, Model, Outcome, simulate

__all__ = ["Row", "Study", "binomial_interval", "study"]

MAX_MET_SHARE, MAX_FALSE_STOPS = 0.02, 0.01
HELD_MODEL = "crash +1 %"  # the bar is about this one


@dataclass(frozen=True)
class Row:
    """One rule and one model. ``within``: replicas that were stopped before 2 % of the sets met the model.
    ``low`` and ``high``: interval of the share of replicas that were stopped."""

    rule: str
    model: str
    bad: bool
    replicas: int
    stopped: int
    low: float
    high: float
    within: int
    within_low: float
    met_median: float
    met_p95: float
    met_max: int
    hours_median: float


@dataclass(frozen=True)
class Study:
    """What was found."""

    sets: int
    seed: int
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether our rule keeps both bars, the false stops with the upper bound of their interval."""
        mine = {row.model: row for row in self.rows if row.rule == "lumavox"}
        good, bad = mine[GOOD.name], mine[HELD_MODEL]
        return good.high <= MAX_FALSE_STOPS and bad.within == bad.replicas

    @property
    def verdict(self) -> str:
        """The two bars in a sentence."""
        mine = {row.model: row for row in self.rows if row.rule == "lumavox"}
        good, bad = mine[GOOD.name], mine[HELD_MODEL]
        return (
            f"A harmless model was stopped in {good.stopped} of {good.replicas:,} rollouts (with 97.5 % "
            f"confidence at most {good.high:.2%}; the bar is {MAX_FALSE_STOPS:.0%}). {HELD_MODEL!r} was "
            f"stopped before {MAX_MET_SHARE:.0%} of the sets met it in {bad.within} of {bad.replicas:,} "
            f"rollouts (at least {bad.within_low:.1%}), {bad.met_max:,} sets at most. "
            + ("Both hold." if self.holds else "NOT held.")
        )

    def table(self) -> Table:
        """For people."""
        header = (
            "rule", "model", "rollouts", "stopped", "95 % interval", "stopped before 2 % of sets",
            "sets met, median", "95 % of rollouts", "most", "hours, median",
        )  # fmt: skip
        return Table(f"Rollouts to a fleet of {self.sets:,} sets", header, tuple(map(_cells, self.rows)), 8)

    def plot(self) -> Intervals:
        """Sets that met each bad model."""
        rows = [
            Interval(f"{row.model}: {row.rule}", row.met_median, row.met_median, row.met_p95)
            for row in sorted(self.rows, key=lambda row: (row.model, row.rule))
            if row.bad
        ]
        return Intervals(
            "Sets that met a bad model before it was stopped: median (dot) to 95 % of the rollouts",
            f"sets; dashed: {MAX_MET_SHARE:.0%} of the fleet", tuple(rows), MAX_MET_SHARE * self.sets,
            log=True,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """The rows as JSON values."""
        return {
            "schema": 1,
            "sets": self.sets,
            "seed": self.seed,
            "holds": self.holds,
            "rows": plain(self.rows),
        }


def study(
    policy: RolloutPolicy, fleet: Fleet, *, replicas: int, bad_replicas: int, seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Study:  # fmt: skip
    """``replicas`` rollouts of an unchanged model and ``bad_replicas`` of each bad one, for every rule. Naive
    rules are not repeated more often than bad models: their false stops are no matter of a per cent."""
    rows = []
    for rule, model in _pairs():
        many = replicas if model == GOOD and rule == "lumavox" else bad_replicas
        progress(f"{rule}: {model.name}, {many} rollouts")
        made = [simulate(policy, fleet, model, RULES[rule], seed=seed + i) for i in range(many)]
        rows.append(_row(rule, model, fleet.sets, made))
    return Study(fleet.sets, seed, tuple(rows))


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson, 1934)."""
    beta = required("scipy.stats", "intervals of shares").beta
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.isf(tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def _pairs() -> Iterator[tuple[str, Model]]:
    for rule in RULES:
        for model in (GOOD, *BAD.values()):
            yield rule, model


def _row(rule: str, model: Model, sets: int, made: Sequence[Outcome]) -> Row:
    stopped = sum(outcome.stopped for outcome in made)
    within = sum(outcome.stopped and outcome.met < MAX_MET_SHARE * sets for outcome in made)
    met = np.array([outcome.met for outcome in made])
    low, high = binomial_interval(stopped, len(made))
    return Row(
        rule, model.name, model != GOOD, len(made), stopped, low, high, within,
        binomial_interval(within, len(made))[0], float(np.median(met)), float(np.quantile(met, 0.95)),
        int(met.max()), float(np.median([outcome.hours for outcome in made])),
    )  # fmt: skip


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.rule, row.model, f"{row.replicas:,}", f"{row.stopped / row.replicas:.2%}",
        f"{row.low:.2%} to {row.high:.2%}", f"{row.within / row.replicas:.1%}" if row.bad else "-",
        f"{row.met_median:,.0f}", f"{row.met_p95:,.0f}", f"{row.met_max:,}", f"{row.hours_median:.0f}",
    )  # fmt: skip
