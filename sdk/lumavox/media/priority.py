"""``keep_priority``: an encoder does not change how this process is scheduled.

SVT-AV1 makes its threads, and the one that opens it, real-time ones of the highest priority where it may (as
root): the whole program, and every process that it starts, then starves all else on its cores.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

REAL_TIME = {getattr(os, name) for name in ("SCHED_FIFO", "SCHED_RR") if hasattr(os, name)}


@contextlib.contextmanager
def keep_priority() -> Iterator[None]:
    """Threads that become real-time ones inside, or are born so, are put back; a no-op beside Linux."""
    before = _policies()
    ordinary = before.get(os.getpid(), (getattr(os, "SCHED_OTHER", 0), 0))
    try:
        yield
    finally:
        for thread, (policy, _) in _policies().items():
            wanted = before.get(thread, ordinary)
            if policy in REAL_TIME and wanted[0] not in REAL_TIME:
                with contextlib.suppress(OSError):  # the thread has ended
                    os.sched_setscheduler(thread, wanted[0], os.sched_param(wanted[1]))


def _policies() -> dict[int, tuple[int, int]]:
    """Policy and priority of every thread of this process, by its number."""
    found: dict[int, tuple[int, int]] = {}
    if not hasattr(os, "sched_getscheduler"):
        return found
    with contextlib.suppress(OSError):  # no /proc
        for name in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):
                thread = int(name)
                found[thread] = (os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority)
    return found
