"""Faults on demand in a worker: what drivers and engines do in the field, for tests, demonstrations and
drills.

    faults = FaultInjection()
    upscaler = Upscaler.open(isolation=Isolation(faults=faults), deadline_ms=14)
    faults.inject("hang")                            # the next frame's call never comes back

They act around any engine, in the worker process only, and only where a `FaultInjection` was given.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Mapping

import numpy as np

from .errors import OptionError

SLOW_S = 0.08

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


def before(kind: str) -> None:
    """What happens in place of, or before, the engine's run."""
    if kind == "kill":
        signal.raise_signal(signal.SIGKILL)
    elif kind == "segv":
        ctypes.string_at(8)
    elif kind == "hang":
        while True:
            time.sleep(3600)
    elif kind == "slow":
        time.sleep(SLOW_S)
    elif kind == "exception":
        raise RuntimeError("a fault on demand")
    elif kind == "memory":
        _exhaust()
    elif kind == "never_starts":
        os._exit(1)


def after(kind: str, outputs: Mapping[str, np.ndarray]) -> None:
    """What happens to the outputs."""
    for out in outputs.values():
        integer = out.dtype.kind in "iu"
        if kind == "nan":
            out[...] = np.iinfo(out.dtype).max if integer else np.nan
        elif kind == "black":
            out[...] = np.iinfo(out.dtype).min if integer else 0


def _exhaust() -> None:
    """Map memory, without touching it, until the limit is met; without one, say that it was."""
    held = []
    for _ in range(1 << 10):
        held.append(np.empty(64 << 20, np.uint8))  # MemoryError at RLIMIT_AS
    raise MemoryError(f"{len(held) * 64} MiB were asked for, and no limit was met")
