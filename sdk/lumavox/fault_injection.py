"""``FaultInjection``: faults on demand in a worker process, for tests, demonstrations and drills.

    faults = FaultInjection()
    upscaler = Upscaler.open(isolation=Isolation(faults=faults), deadline_ms=14)
    faults.inject("hang")                            # the next frame's call never comes back

They act around any engine, in its worker only, and only where a `FaultInjection` was given.
"""

from __future__ import annotations

import threading

from .errors import OptionError

__all__ = ["KINDS", "FaultInjection"]

KINDS = (
    "kill",  # SIGKILL, as the system's memory killer sends it
    "segv",  # a wild pointer
    "hang",  # the call never returns
    "nan",  # outputs are not numbers (integers: their largest value)
    "black",  # outputs are at their lowest value
    "slow",  # the call takes 80 ms more
    "exception",  # the engine raises
    "memory",  # memory is asked for until there is none
    "corrupt",  # headers and guard words in the shared memory are overwritten
    "never_starts",  # the worker ends, and the next one does not come up
)


class FaultInjection:
    """Holds the next fault. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = ""
        self._stillborn = False

    def inject(self, kind: str) -> None:
        """Show a fault of ``kind`` in the next call. Raises `OptionError` for an unknown one."""
        if kind not in KINDS:
            raise OptionError.unknown("fault", kind, KINDS)
        with self._lock:
            self._next = kind

    @property
    def pending(self) -> bool:
        """Whether the last one was not shown yet."""
        return bool(self._next)

    def take(self) -> int:
        """The number of the fault of this call, 0 for none; for the engine."""
        with self._lock:
            kind, self._next = self._next, ""
            self._stillborn |= kind == "never_starts"
        return KINDS.index(kind) + 1 if kind else 0

    def take_stillborn(self) -> bool:
        """Whether the worker that is started now shall never come up; for its keeper."""
        with self._lock:
            stillborn, self._stillborn = self._stillborn, False
        return stillborn
