"""``run``: the cells of a plan on their devices, in parallel, resumable.

    summary = run(made.cells, store, tier("smoke"), workers=4)

Each cell runs in a process of its own behind a link; devices work beside each other, and each of them one
cell at a time. A result is in the store before the next cell of that device begins: after a kill the same
call goes on with what is missing. Whatever a cell does is its own result and never ends the run.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from .cell import Status
from .execute import execute, failed_outside
from .plan import PlannedCell
from .pool import Execute, LocalPool, Pool
from .result import Result
from .store import Store
from .tiers import Tier

__all__ = ["Summary", "missing", "run"]

SETTLED = (Status.PASS, Status.FAIL, Status.DONE, Status.SKIP)
"""Statuses that say something about the product; others are run again."""


@dataclass(frozen=True)
class Summary:
    """What a call of `run` did. ``skipped``: were in the store already."""

    run_id: str
    ran: int
    skipped: int
    statuses: dict[Status, int]


def run(
    cells: Sequence[PlannedCell],
    store: Store,
    tier: Tier,
    *,
    workers: int | None = None,
    pool: Pool | None = None,
    again: bool = False,
    loaded: bool = False,
    timeout_s: float | None = None,
    report: Callable[[Result, int, int], None] | None = None,
    execute: Execute = execute,
) -> Summary:
    """Run the cells that the store has no settled result of in this tier and load (all if ``again``).

    ``pool`` replaces the local one of ``workers`` threads. ``report`` is called after each cell with its
    result, how many are done and how many there are. Raises OptionError, before anything runs, if the pool
    could never run a cell.
    """
    run_id = uuid.uuid4().hex[:12]
    todo = list(cells) if again else missing(cells, store, tier, loaded)
    counts: Counter[Status] = Counter()
    own = None if pool else LocalPool(store.folder / "locks", workers, execute)
    pool = pool or own
    assert pool is not None
    try:
        pool.check(todo)
        for planned, future in _completed(todo, pool, tier, run_id, loaded, timeout_s):
            try:
                result = future.result()
            except Exception as error:  # a fault of the matrix must not end the run
                result = failed_outside(planned, tier, run_id, error, loaded=loaded)
            store.add(result)
            counts[result.status] += 1
            if report:
                report(result, sum(counts.values()), len(todo))
    finally:
        if own:
            own.close()
    return Summary(run_id, sum(counts.values()), len(cells) - len(todo), dict(counts))


def missing(cells: Sequence[PlannedCell], store: Store, tier: Tier, loaded: bool) -> list[PlannedCell]:
    """The cells without a result that says something about the product."""
    have = {
        result.cell.digest
        for result in store.heads()
        if result.status in SETTLED and (result.tier, result.loaded) == (tier.name, loaded)
    }
    return [planned for planned in cells if planned.cell.digest not in have]


def _completed(
    cells: Sequence[PlannedCell], pool: Pool, tier: Tier, run_id: str, loaded: bool, timeout_s: float | None
) -> Iterator[tuple[PlannedCell, Future[Result]]]:
    """Submit the cells in order, at most ``device.parallel`` of a device at a time, so that none waits for a
    device while another one is idle; each is given when it has ended."""
    queues: dict[str, list[PlannedCell]] = {}
    for planned in reversed(cells):
        queues.setdefault(planned.device.name, []).append(planned)
    order = {planned.device.name: None for planned in cells}  # devices by their first, riskiest cell
    running: dict[Future[Result], PlannedCell] = {}
    busy: Counter[str] = Counter()
    while any(queues.values()) or running:
        for name in order:
            while queues[name] and len(running) < pool.size and busy[name] < queues[name][-1].device.parallel:
                planned = queues[name].pop()
                busy[name] += 1
                future = pool.submit(planned, tier, run_id=run_id, loaded=loaded, timeout_s=timeout_s)
                running[future] = planned
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            planned = running.pop(future)
            busy[planned.device.name] -= 1
            yield planned, future
