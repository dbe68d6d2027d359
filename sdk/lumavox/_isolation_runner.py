"""What `_sr_runner.Runner` does, for networks whose engines are in worker processes: no thread, no copies.

The worker is what may be late or gone; the player's thread waits for it until the frame's deadline, less
what the conventional path needs. What ended a worker is told by the telemetry and is not held against the
network: the worker's keeper has a limit of its own. After `MAX_FAULTS_IN_ROW` of the network itself it rests
for `REST_FRAMES` and is tried again, since nothing that it does can do harm. States as there; ``bypass`` also
while it rests and while a worker starts again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lumavox._isolation_engine import IsolatedEngine
from lumavox._isolation_errors import WorkerAway, WorkerFault, WorkerLate
from lumavox._sr_chain import LumaChain
from lumavox._sr_guard import MAX_FAULTS_IN_ROW
from lumavox.telemetry import Meter

REST_FRAMES = 180  # 3 s at 60 frames per second


class IsolatedRunner:
    """Same promise as `Runner`."""

    def __init__(self, meter: Meter, deadline_ms: float | None) -> None:
        self._meter = meter
        self._deadline_s = None if deadline_ms is None else deadline_ms / 1e3
        self._faults = self._rest = 0
        self.reserve_s = 0.0

    def run(
        self,
        chain: LumaChain,
        source: np.ndarray,
        target: np.ndarray,
        meanwhile: Callable[[], None],
        started: float,
    ) -> bool:
        """As `Runner.run`."""
        if self._rest:
            self._rest -= 1
            meanwhile()
            return False
        until = None if self._deadline_s is None else started + self._deadline_s - self.reserve_s
        once = _Once(meanwhile)
        engines = [n.session.engine for n in chain.networks if isinstance(n.session.engine, IsolatedEngine)]
        for engine in engines:
            engine.window(until, once)
        try:
            chain.enlarge(source, target)
        except WorkerAway as error:
            self._tell(engines)
            self._meter.set_state("bypass", str(error))
            return False
        except WorkerLate:
            assert self._deadline_s is not None
            self._meter.frames_late += 1
            self._fault(
                "SR.E_DEADLINE", f"the network was not ready within {self._deadline_s * 1e3:g} ms", count=True
            )
            return False
        except WorkerFault as error:
            self._fault(f"SR.{error.code}", str(error), count=False)
            return False
        except Exception as error:  # whatever it is: a fault costs quality, never playback
            self._fault("SR.E_ENGINE", str(error) or type(error).__name__, count=True)
            return False
        finally:
            once()
        self._tell(engines)
        self._faults = 0
        if self._meter.state != "active":
            self._meter.set_state("active")
        return True

    def _tell(self, engines: list[IsolatedEngine]) -> None:
        """What ended workers, also between frames."""
        for engine in engines:
            for code, _ in engine.events():
                self._meter.add_error(f"SR.{code}")

    def _fault(self, code: str, reason: str, *, count: bool) -> None:
        self._faults += count
        self._meter.add_error(code)
        if self._faults < MAX_FAULTS_IN_ROW:
            self._meter.set_state("degraded", reason)
        else:
            self._meter.set_state("bypass", f"resting after {self._faults} faults in a row: {reason}")
            self._faults, self._rest = 0, REST_FRAMES

    def close(self) -> bool:
        """Nothing to end: the engines end their workers."""
        return True


class _Once:
    """Calls ``job`` at its first call."""

    def __init__(self, job: Callable[[], None]) -> None:
        self._job: Callable[[], None] | None = job

    def __call__(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job()
