"""The network of a `DialogEnhancer` with everything that can go wrong with it: mask, or a reason for none.

It loads the session (also in a thread), steps it under a deadline, and checks what comes out. Nothing here
raises while a stream runs: a frame without a mask stays dry, and the meter says why.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ._isolation_errors import WorkerAway, WorkerFault, WorkerLate
from .bundle import Bundle
from .deadline import DeadlineWorker
from .errors import BundleFormatError, LumavoxError
from .isolation import Isolation
from .session import Session, fitting
from .streaming import StreamingNetwork
from .telemetry import Meter, ModelInfo, config_digest

if TYPE_CHECKING:
    from ._isolation_engine import IsolatedEngine

Float = NDArray[np.float32]

MAX_FAULTS_IN_ROW = 5  # after which the network rests
REST_FRAMES = 200  # 3 s at a hop of 15 ms, then it is tried again
_MASK_MARGIN = 0.01  # quantized sigmoids may end a little outside 0..1


class DialogNetwork:
    """``mask(features)`` of a bundle's network, or None. Used by one thread at a time."""

    def __init__(self, bundle: Bundle, bands: int, backend: str, threads: int, meter: Meter) -> None:
        self.bundle = bundle
        self.session: Session | None = None
        self.load_error: LumavoxError | None = None
        self._bands = bands
        self._backend, self._threads = backend, threads
        self._meter = meter
        self._network: StreamingNetwork | None = None
        self._loaded = threading.Event()
        self._loader: threading.Thread | None = None
        self._worker: DeadlineWorker | None = None
        self._isolation: Isolation | None = None
        self._faults = 0
        self._rest = 0
        self._stale = False  # the states have missed frames
        self._closed = False
        fitting(bundle)
        meter.model = ModelInfo(bundle.id, bundle.digest, bundle.version)
        meter.ep_requested = backend
        meter.set_state("warming", "the model is being loaded")

    def load(self, background: bool, isolation: Isolation | None = None) -> None:
        """Open the session, in a thread if ``background``; else raises what is wrong. With ``isolation`` the
        network runs in a worker process, its states stay here."""
        self._isolation = isolation
        if isolation is None and self._meter.deadline_us is not None:
            self._worker = DeadlineWorker("dialog")
        if background:
            self._loader = threading.Thread(target=self._load, name="lumavox-load", daemon=True)
            self._loader.start()
            return
        self._load()
        if self.load_error is not None:
            raise self.load_error

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the load to end; whether the network can be used."""
        self._loaded.wait(timeout_s)
        return self._network is not None

    def reset(self) -> None:
        """The stream begins anew."""
        self._stale = True

    def skip(self) -> None:
        """Leave out a frame whose mask would have no effect."""
        self._stale = True
        if self._network is not None and self._meter.state != "off":
            self._meter.set_state("off", "the controls leave the sound as it is")

    def mask(self, features: Float) -> Float | None:
        """The mask ``(bands,)``, each value 0..1; None if there is none for this frame."""
        network = self._network
        if network is None or self._closed:
            return None
        if self._rest:
            self._rest -= 1
            return None
        if self._worker is not None and self._worker.busy:
            self._meter.frames_late += 1
            self._meter.set_state("bypass", "the engine is still busy with a late frame")
            return None
        if self._stale:
            network.reset()
            self._stale = False
        try:
            mask = self._timely(network, features)
        except WorkerAway as error:
            self._stale = True
            self._tell_ends()
            self._meter.set_state("bypass", str(error))
            return None
        except WorkerFault as error:
            self._fault(f"DE.{error.code}", str(error), count=False)
            return None
        except Exception as error:  # whatever it is: a fault costs quality, never playback
            self._fault("DE.E_ENGINE", str(error) or type(error).__name__)
            return None
        if mask is None:
            self._meter.frames_late += 1
            self._fault("DE.E_DEADLINE", f"the mask was not ready within {self._meter.deadline_us:g} us")
            return None
        low, high = float(mask.min()), float(mask.max())
        if not (low >= -_MASK_MARGIN and high <= 1 + _MASK_MARGIN):  # also if NaN
            self._fault("DE.E_OUTPUT", f"the mask is not within 0..1 but {low:g}..{high:g}")
            return None
        self._faults = 0
        self._tell_ends()
        if self._meter.state != "active":
            self._meter.set_state("active")
        return np.clip(mask, 0.0, 1.0)

    def close(self) -> None:
        """Free the engine; a call that hangs is left behind. May be called twice."""
        self._closed = True
        if self._loader is not None:
            self._loader.join(timeout=1.0)
        # An engine must not be freed while it runs; one that hangs is left to the thread it hangs in.
        ended = self._worker is None or self._worker.close()
        if self.session is not None and ended:
            self.session.close()

    def _timely(self, network: StreamingNetwork, features: Float) -> Float | None:
        """The network's output, or None if it is late."""
        if self._isolation is not None:
            return self._isolated(network, features)
        if self._worker is None or self._meter.deadline_us is None:
            return network.step(features)
        result: list[Float] = []
        self._worker.submit(lambda: result.append(network.step(features)))
        return result[0] if self._worker.wait(self._meter.deadline_us / 1e6) else None

    def _isolated(self, network: StreamingNetwork, features: Float) -> Float | None:
        limit_us = self._meter.deadline_us
        if self._engine is not None:
            self._engine.window(None if limit_us is None else time.perf_counter() + limit_us / 1e6)
        try:
            return network.step(features)
        except WorkerLate:
            return None

    def _tell_ends(self) -> None:
        """What ended workers, also between frames."""
        if self._engine is not None:
            for code, _ in self._engine.events():
                self._meter.add_error(f"DE.{code}")

    @property
    def _engine(self) -> IsolatedEngine | None:
        """The engine, if it is in a worker."""
        if self._isolation is None or self.session is None:
            return None
        return cast("IsolatedEngine", self.session.engine)

    def _fault(self, code: str, reason: str, *, count: bool = True) -> None:
        self._stale = True
        self._faults += count
        self._meter.add_error(code)
        if self._faults < MAX_FAULTS_IN_ROW:
            self._meter.set_state("degraded", reason)
        else:
            self._faults = 0
            self._rest = REST_FRAMES
            self._meter.set_state("bypass", f"resting after {MAX_FAULTS_IN_ROW} faults in a row: {reason}")

    def _load(self) -> None:
        try:
            session = Session.open(
                self.bundle, backend=self._backend, threads=self._threads, isolation=self._isolation
            )
            network = StreamingNetwork(session.engine, session.variant)
            if network.bands != self._bands:
                session.close()
                raise BundleFormatError(
                    f"bundle {self.bundle.id}: variant {session.variant.name!r} has {network.bands} bands, "
                    f"its front-end {self._bands}"
                )
        except LumavoxError as error:
            self.load_error = error
            self._meter.add_error("DE.E_LOAD")
            self._meter.set_state("failed", str(error))
        else:
            self.session = session
            session.tell(self._meter)
            self._meter.config_digest = config_digest(
                self.bundle.digest, session.variant.name, session.backend.name, session.engine.description,
                self._threads,
            )  # fmt: skip
            self._meter.set_state("warming", "no sound came yet")
            self._network = network  # from now on masks come
            if self._closed:
                session.close()
        finally:
            self._loaded.set()
