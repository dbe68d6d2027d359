"""What a worker process may use: cores, priority, memory. Applied by the worker to itself.

Each function returns in words what was done, or why not: a limit that a kernel refuses is no reason to go
without the model.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def die_with_parent(name: str) -> None:
    """End this process when its parent ends, and give it a ``name`` for ``ps``."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def schedule(cpus: tuple[int, ...], nice: int, idle: bool) -> list[str]:
    """Keep to ``cpus`` (empty: any), be ``nice`` (0..19), or run only when nothing else does (``idle``)."""
    done = []
    if cpus:
        try:
            os.sched_setaffinity(0, cpus)
            done.append(f"cores {', '.join(map(str, sorted(os.sched_getaffinity(0))))}")
        except OSError as error:
            done.append(f"no affinity to {cpus}: {error.strerror}")
    if idle:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            done.append("SCHED_IDLE")
        except OSError as error:
            done.append(f"no SCHED_IDLE: {error.strerror}")
    elif nice:
        done.append(f"nice {os.nice(nice)}")
    return done


def limit_memory(mib: int | None) -> list[str]:
    """Allow ``mib`` MiB of address space beyond what is mapped now; no core dumps, which take seconds."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if mib is None:
        return []
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    limit = mapped + (mib << 20)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (OSError, ValueError) as error:
        return [f"no RLIMIT_AS: {error}"]
    return [f"RLIMIT_AS {limit >> 20} MiB"]
