"""One background thread that runs one job at a time, and may be waited for until a deadline.

A job that is late is not stopped (no engine can be stopped safely): its result is dropped by whoever
waited, and the thread is `busy` until the job returns by itself. The thread is a daemon, so an engine that
hangs for ever does not keep the process from ending.

    worker = DeadlineWorker("upscaler")
    worker.submit(job)
    if not worker.wait(timeout_s=0.02): ...          # late
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from lumavox.errors import OptionError

__all__ = ["DeadlineWorker", "check_deadline"]


def check_deadline(deadline_ms: float | None) -> None:
    """Raises OptionError for a deadline that no call can keep."""
    if deadline_ms is not None and not deadline_ms > 0:
        raise OptionError(f"deadline_ms must be above 0, or None for no deadline; got {deadline_ms!r}")


class DeadlineWorker:
    """Runs jobs for one owner. ``submit`` and ``wait`` are called by one thread."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._loop, name=f"lumavox-{name}", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """True while a job runs, be it a late one."""
        return not self._idle.is_set()

    def submit(self, job: Callable[[], None]) -> None:
        """Start ``job``; only when not `busy`."""
        assert not self.busy, "one job at a time"
        self._error = None
        self._idle.clear()
        self._jobs.put(job)

    def wait(self, timeout_s: float) -> bool:
        """True when the job has ended in time, False if it is late. Raises what the job raised."""
        if not self._idle.wait(max(0.0, timeout_s)):
            return False
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def close(self, timeout_s: float = 1.0) -> bool:
        """End the thread; False if a job still runs after ``timeout_s``. May be called twice."""
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self._error = error
            del job  # it refers to buffers
            self._idle.set()
