"""``Pool``: where cells are executed. `LocalPool` is this machine, `cluster.ClusterPool` a lab of hosts."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from .execute import execute
from .lab import Device
from .plan import PlannedCell
from .result import Result
from .tiers import Tier

__all__ = ["Execute", "LocalPool", "Pool", "device_lock"]

Execute = Callable[..., Result]


class Pool(Protocol):
    """Executes cells, ``size`` at a time at most. It never has two cells of a device (beyond its
    ``parallel``) at once from one `run`; that nobody else uses a device is its own care."""

    size: int

    def check(self, cells: Sequence[PlannedCell]) -> None:
        """Raise OptionError for cells that it could never execute, before any is begun."""

    def submit(
        self, planned: PlannedCell, tier: Tier, *, run_id: str, loaded: bool, timeout_s: float | None
    ) -> Future[Result]:
        """Begin a cell. The future raises what is the matrix' own fault."""

    def close(self) -> None:
        """Wait for what runs, and end."""


class LocalPool:
    """A thread per cell, which waits for the cell's own process and holds the device's lock, so that a
    device never runs two cells at a time, also not those of another matrix process with these ``locks``."""

    def __init__(self, locks: Path, size: int | None = None, execute: Execute = execute) -> None:
        self.size = size or max(1, min(8, os.cpu_count() or 1))
        self._locks, self._execute = locks, execute
        self._threads = ThreadPoolExecutor(self.size, thread_name_prefix="cell")

    def check(self, cells: Sequence[PlannedCell]) -> None:
        pass

    def submit(
        self, planned: PlannedCell, tier: Tier, *, run_id: str, loaded: bool, timeout_s: float | None
    ) -> Future[Result]:
        def locked() -> Result:
            with device_lock(planned.device, self._locks):
                return self._execute(planned, tier, run_id=run_id, loaded=loaded, timeout_s=timeout_s)

        return self._threads.submit(locked)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def device_lock(device: Device, folder: Path) -> Iterator[None]:
    """Hold the device, among threads and processes. One of ``device.parallel`` places is taken."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", device.name)
    places = [folder / f"{name}.{place}" for place in range(max(1, device.parallel))]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "a")) for path in places]
        for file in files:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            fcntl.flock(files[0], fcntl.LOCK_EX)  # wait for the first place
        yield
