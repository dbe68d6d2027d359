"""``run``: the cells of a plan on their devices, in parallel, resumable.

    summary = run(made, store, tier("smoke"), workers=4)

Each cell runs in a process of its own behind a link; a thread waits for it, holding the device's lock, so
that a device never runs two cells at a time (also not those of another `run`). A result is in the store
before the next cell of that device begins: after a kill the same call goes on with what is missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from .cell import Status
from .execute import execute, failed_outside
from .lab import Device
from .plan import PlannedCell
from .result import Result
from .store import Store
from .tiers import Tier

__all__ = ["Summary", "run"]

Execute = Callable[..., Result]


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
    again: bool = False,
    loaded: bool = False,
    timeout_s: float | None = None,
    report: Callable[[Result, int, int], None] | None = None,
    execute: Execute = execute,
) -> Summary:
    """Run the cells that the store has no result of in this tier and load (all of them if ``again``).

    A MISS or ERROR in the store is run again. ``report`` is called after each cell with its result, how many
    are done and how many there are.
    """
    run_id = uuid.uuid4().hex[:12]
    todo = list(cells) if again else missing(cells, store, tier, loaded)
    counts: Counter[Status] = Counter()
    mutex = threading.Lock()

    def one(planned: PlannedCell) -> None:
        try:
            with device_lock(planned.device, store.folder):
                result = execute(planned, tier, run_id=run_id, loaded=loaded, timeout_s=timeout_s)
        except Exception as error:  # a fault of the matrix must not end the run
            result = failed_outside(planned, tier, run_id, error)
        store.add(result)
        with mutex:
            counts[result.status] += 1
            if report:
                report(result, sum(counts.values()), len(todo))

    _by_device(todo, one, workers or max(1, min(8, (os.cpu_count() or 1))))
    return Summary(run_id, sum(counts.values()), len(cells) - len(todo), dict(counts))


def missing(cells: Sequence[PlannedCell], store: Store, tier: Tier, loaded: bool) -> list[PlannedCell]:
    """The cells without a result that says something about the product."""
    settled = (Status.PASS, Status.FAIL, Status.DONE, Status.SKIP)
    have = {
        r.cell.digest
        for r in store.results()
        if r.status in settled and (r.tier, r.loaded) == (tier.name, loaded)
    }
    return [planned for planned in cells if planned.cell.digest not in have]


@contextlib.contextmanager
def device_lock(device: Device, folder: Path) -> Iterator[None]:
    """Hold the device, among threads and processes. One of ``device.parallel`` places is taken."""
    import fcntl

    locks = folder / "locks"
    locks.mkdir(exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", device.name)
    places = [locks / f"{name}.{place}" for place in range(max(1, device.parallel))]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "a")) for path in places]
        for file in files:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            fcntl.flock(files[0], fcntl.LOCK_EX)  # wait for the first place
        yield


def _by_device(cells: Sequence[PlannedCell], one: Callable[[PlannedCell], None], workers: int) -> None:
    """Call ``one`` for every cell in order, at most ``device.parallel`` of a device at a time, so that no
    worker waits for a device while another device is idle."""
    waiting = list(cells)
    busy: Counter[str] = Counter()
    with ThreadPoolExecutor(workers, thread_name_prefix="cell") as pool:
        running: dict[Future[None], str] = {}
        while waiting or running:
            for planned in list(waiting):
                if len(running) >= workers:
                    break
                device = planned.device
                if busy[device.name] < device.parallel:
                    waiting.remove(planned)
                    busy[device.name] += 1
                    running[pool.submit(one, planned)] = device.name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                busy[running.pop(future)] -= 1
                future.result()
