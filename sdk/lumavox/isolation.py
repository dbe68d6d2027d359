"""``Isolation``: how an engine is kept in a process of its own, so that no fault of it reaches the player.

    Upscaler.open("base", isolation="process", deadline_ms=14)
    DialogEnhancer.open(isolation=Isolation(cpus=(3,), nice=5), deadline_ms=10)
    isolation.probe()                                # what the kernel offers for it

A crash, hang, leak or kill of the worker costs the enhancement of some frames, never a frame: those come
out by the conventional path, in time, while a new worker starts. A model that keeps crashing on this exact
configuration is set aside (`crash_marker`). Docs: docs/isolation.md.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BackendUnavailableError, EngineError, OptionError

if TYPE_CHECKING:
    from ._isolation_engine import IsolatedEngine
    from ._isolation_order import Order
    from .backends.base import Backend
    from .bundle import Bundle, Variant
    from .device_identity import DeviceIdentity
    from .fault_injection import FaultInjection

__all__ = ["Isolation", "IsolationProbe", "Restart", "WorkerStatus", "probe"]

MODES = ("none", "process")


@dataclass(frozen=True)
class Isolation:
    """What a worker may use, and how much patience it meets. The defaults are for any player.

    ``cpus``: cores it keeps to (empty: any). ``nice`` 0..19; ``idle``: it runs only when nothing else wants
    to (SCHED_IDLE). ``memory_mib``: address space beyond what is mapped before the model is opened; None:
    no limit. ``sandbox``: Landlock and seccomp where the kernel has them; ``readable``: further paths that
    a driver reads.

    ``hang_ms``: a call that takes longer is ended with its worker (None: ten deadlines and at least 1 s, so
    that a busy machine is not taken for a hung one, or 10 s where there is no deadline; players never wait
    for it). ``start_timeout_s``: as long may a worker take to load and prepare. ``crash_limit``: so many
    crashes without ``healthy_calls`` calls between set the model aside; None: never. ``device``: what the
    marker takes for this machine; ``state``: its folder. ``faults``: faults on demand.
    """

    cpus: tuple[int, ...] = ()
    nice: int = 0
    idle: bool = False
    memory_mib: int | None = 1024
    sandbox: bool = True
    readable: tuple[str, ...] = ()
    hang_ms: float | None = None
    start_timeout_s: float = 10.0
    crash_limit: int | None = 5
    healthy_calls: int = 18_000
    device: DeviceIdentity | None = None
    state: Path | None = None
    faults: FaultInjection | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.nice <= 19:
            raise OptionError(f"isolation: nice is 0..19, got {self.nice}")
        for name in ("memory_mib", "hang_ms", "start_timeout_s", "crash_limit", "healthy_calls"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"isolation: {name} is above 0, got {value!r}")

    @property
    def hang_s(self) -> float:
        """``hang_ms`` in seconds; 10 where it is not set."""
        return 10.0 if self.hang_ms is None else self.hang_ms / 1e3

    @classmethod
    def of(cls, asked: str | Isolation, deadline_ms: float | None = None) -> Isolation | None:
        """What ``isolation=`` of an ``open`` means; None for "none". Raises `OptionError` for an unknown
        word,
        `BackendUnavailableError` where there can be no worker."""
        if isinstance(asked, str):
            if asked not in MODES:
                raise OptionError.unknown("isolation", asked, MODES)
            if asked == "none":
                return None
            asked = cls()
        found = probe()
        if not found.usable:
            raise BackendUnavailableError(f'isolation="process" is not possible here: {found.reason}')
        if asked.hang_ms is None:
            asked = replace(asked, hang_ms=10_000.0 if deadline_ms is None else max(1000.0, 10 * deadline_ms))
        return asked

    def order(self, backend: str, variant: Variant, threads: int) -> Order:
        """What a worker is told."""
        from ._isolation_order import Order

        return Order(
            backend, variant, threads, self.cpus, self.nice, self.idle, self.memory_mib, self.sandbox,
            self.readable, self.faults is not None,
        )  # fmt: skip

    def open_engine(self, backend: Backend, bundle: Bundle, variant: Variant, threads: int) -> IsolatedEngine:
        """``backend.open`` in a worker. Raises `EngineError`, also if the model is set aside."""
        from ._isolation_engine import IsolatedEngine
        from .crash_marker import Configuration, CrashMarker, state_folder
        from .device_identity import DeviceIdentity

        device = self.device or DeviceIdentity.here()
        version = backend.probe().version or "not known"
        configuration = Configuration(
            bundle.digest, variant.name, backend.name, version, device.driver, device.firmware, device.soc
        )
        marker = CrashMarker(self.state or state_folder(), configuration, self.crash_limit)
        if marker.set_aside:
            raise EngineError(f"{bundle.id}: {marker.set_aside}")
        return IsolatedEngine(self, backend.name, variant, bundle.read(variant.file), threads, marker)


@dataclass(frozen=True)
class Restart:
    """A worker that was lost: why, when, and when the next one was ready (``perf_counter``; None: not yet);
    ``load_ms`` is what that one took to open the model, with the time of starts before it that failed."""

    code: str
    cause: str
    at: float
    back_at: float | None = None
    load_ms: float | None = None


@dataclass(frozen=True)
class WorkerStatus:
    """How a worker is: ``state`` is starting, ready, away (starting again), failed or closed.

    ``crashes`` are those that the marker counts; ``limits`` what was applied to the worker, in words;
    ``problem`` what keeps crashes from being remembered; ``recent`` the last restarts.
    """

    state: str
    reason: str
    pid: int | None
    restarts: int
    crashes: int
    limits: tuple[str, ...]
    problem: str | None
    recent: tuple[Restart, ...]


@dataclass(frozen=True)
class IsolationProbe:
    """Whether workers are possible here, and what kernel and user allow of what makes them safer."""

    usable: bool
    reason: str
    landlock_abi: int = 0
    seccomp: bool = False
    affinity: bool = False
    sched_idle: bool = False
    memory_limit: bool = False

    @property
    def text(self) -> str:
        """In one line."""
        if not self.usable:
            return self.reason
        parts = [f"landlock ABI {self.landlock_abi}" if self.landlock_abi else "no landlock"]
        parts += [
            name if offered else f"no {name}"
            for name, offered in (
                ("seccomp", self.seccomp),
                ("affinity", self.affinity),
                ("SCHED_IDLE", self.sched_idle),
                ("RLIMIT_AS", self.memory_limit),
            )
        ]
        return f"{self.reason}; {', '.join(parts)}"


def probe() -> IsolationProbe:
    """Ask the kernel; changes nothing."""
    if not sys.platform.startswith("linux"):
        return IsolationProbe(False, "workers need Linux")
    needed = ("memfd_create", "pidfd_open", "eventfd")
    if absent := [name for name in needed if not hasattr(os, name)]:
        return IsolationProbe(False, f"this Python has no {', '.join(absent)}")
    try:
        os.close(os.pidfd_open(os.getpid()))
        os.close(os.memfd_create("lumavox"))
    except OSError as error:
        return IsolationProbe(False, f"the kernel refuses pidfd or memfd: {error.strerror}")
    from . import _isolation_landlock, _isolation_seccomp

    return IsolationProbe(
        True,
        "worker processes with pidfd and sealed shared memory",
        _isolation_landlock.abi(),
        _isolation_seccomp.available(),
        hasattr(os, "sched_setaffinity"),
        hasattr(os, "SCHED_IDLE"),
        True,
    )
