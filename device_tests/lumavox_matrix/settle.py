"""``settle`` and ``confirm``: what is suspicious is run again, by itself, until it is decided.

`settle` is the second stage of comparing two versions (`stats`): pairs with too few runs and suspects get as
many runs more as `stats.decide` asks for, both arms in turn (ABBA...), until no pair asks for any. `confirm`
runs cells that fail again, so that what fails now and then is told from what fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .difference import Difference, Row
from .plan import PlannedCell
from .result import Result
from .stats import interleaved

__all__ = ["Settled", "confirm", "settle"]

MAX_ROUNDS = 6
"""Two stages need two rounds; more happen where runs were lost or the spread turned out to be larger."""

RunAgain = Callable[[Sequence[PlannedCell]], object]


@dataclass(frozen=True)
class Settled:
    """``runs``: how many were run. ``elsewhere``: pairs that no device at hand has both versions of."""

    difference: Difference
    rounds: int
    runs: int
    elsewhere: tuple[Row, ...]

    @property
    def open(self) -> int:
        """Pairs that still ask for runs."""
        return sum(row.change.more_runs > 0 for row in self.difference.rows)


def settle(
    compare: Callable[[], Difference],
    run_again: RunAgain,
    current: Mapping[str, PlannedCell],
    *,
    max_rounds: int = MAX_ROUNDS,
    report: Callable[[int, int, int], None] | None = None,
) -> Settled:
    """``compare`` reads the store anew, ``run_again`` adds to it, ``current`` are the cells that devices at
    hand can run, by digest. ``report`` is told the round, its pairs and its runs before they begin."""
    found, runs, done = compare(), 0, 0
    while done < max_rounds:
        rows = [row for row in found.rows if row.change.more_runs and _at_hand(row, current)]
        if not rows:
            break
        cells = [planned for row in rows for planned in _in_turn(row, current)]
        if report:
            report(done + 1, len(rows), len(cells))
        run_again(cells)
        before = [(row.change.runs_a, row.change.runs_b) for row in found.rows]
        found, runs, done = compare(), runs + len(cells), done + 1
        if before == [(row.change.runs_a, row.change.runs_b) for row in found.rows]:
            break  # devices give no times: more of the same would not help
    waiting = (row for row in found.rows if row.change.more_runs)
    return Settled(found, done, runs, tuple(row for row in waiting if not _at_hand(row, current)))


def confirm(
    results: Sequence[Result],
    fails: Callable[[Result], bool],
    run_again: Callable[[set[str]], Sequence[Result]],
    times: int,
) -> int:
    """Run the cells (by digest) whose results fail ``times`` times more; one that passes in between is flaky
    and not run further. Returns how many runs that were."""
    runs = 0
    failing = {result.cell.digest for result in results if fails(result)}
    for _ in range(times):
        if not failing:
            break
        fresh = run_again(failing)
        runs += len(fresh)
        failing = {result.cell.digest for result in fresh if fails(result)}
    return runs


def _at_hand(row: Row, current: Mapping[str, PlannedCell]) -> bool:
    return row.a.cell.digest in current and row.b.cell.digest in current


def _in_turn(row: Row, current: Mapping[str, PlannedCell]) -> list[PlannedCell]:
    arms = {"A": current[row.a.cell.digest], "B": current[row.b.cell.digest]}
    return [arms[letter] for letter in interleaved(row.change.more_runs)]
