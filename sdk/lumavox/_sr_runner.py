"""Runs the network's work on a frame, here or in a thread with a deadline, and keeps count of faults.

`Runner.run` never raises for a fault of the engine: it says whether the luma plane was filled. States in
the telemetry: ``active`` (the last frame was enhanced), ``degraded`` (it failed or was late, the next one
tries again), ``bypass`` (a late call still runs), ``failed`` (given up after ``MAX_FAULTS_IN_ROW``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from lumavox._sr_chain import LumaChain
from lumavox._sr_guard import MAX_FAULTS_IN_ROW
from lumavox.deadline import DeadlineWorker
from lumavox.telemetry import Meter


class Runner:
    """``deadline_ms`` None runs in the caller's thread; else in a worker thread, on buffers of its own,
    since a late call goes on with them after the frame went out."""

    def __init__(self, meter: Meter, deadline_ms: float | None) -> None:
        self._meter = meter
        self._deadline_s = None if deadline_ms is None else deadline_ms / 1e3
        self._worker = None if deadline_ms is None else DeadlineWorker("upscaler")
        self._faults = 0
        self._source = self._target = np.empty((0, 0), np.uint8)
        self.reserve_s = 0.0
        """Time to keep back from the deadline for the conventional path, should it be needed."""

    @property
    def given_up(self) -> bool:
        """True after too many faults in a row."""
        return self._faults >= MAX_FAULTS_IN_ROW

    def run(
        self,
        chain: LumaChain,
        source: np.ndarray,
        target: np.ndarray,
        meanwhile: Callable[[], None],
        started: float,
    ) -> bool:
        """Fill ``target`` from ``source``; call ``meanwhile`` once in any case, where possible while the
        network works. ``started`` is when the deadline began to run. False if the target was not filled."""
        if self.given_up:
            meanwhile()
            return False
        try:
            if self._worker is None:
                try:
                    chain.enlarge(source, target)
                finally:
                    meanwhile()
            elif not self._run_in_time(self._worker, chain, source, target, meanwhile, started):
                return False
        except Exception as error:  # whatever it is: a fault costs quality, never playback
            self._fault("SR.E_ENGINE", str(error) or type(error).__name__)
            return False
        self._faults = 0
        if self._meter.state != "active":
            self._meter.set_state("active")
        return True

    def _run_in_time(
        self,
        worker: DeadlineWorker,
        chain: LumaChain,
        source: np.ndarray,
        target: np.ndarray,
        meanwhile: Callable[[], None],
        started: float,
    ) -> bool:
        if worker.busy:
            meanwhile()
            self._meter.set_state("bypass", "the engine is still busy with a late frame")
            return False
        if self._source.shape != source.shape or self._source.dtype != source.dtype:
            self._source = np.empty(source.shape, source.dtype)
        if self._target.shape != target.shape or self._target.dtype != target.dtype:
            self._target = np.empty(target.shape, target.dtype)
        own_source, own_target = self._source, self._target
        np.copyto(own_source, source)
        worker.submit(lambda: chain.enlarge(own_source, own_target))
        meanwhile()
        assert self._deadline_s is not None
        left_s = self._deadline_s - (time.perf_counter() - started) - self.reserve_s
        if not worker.wait(left_s):
            self._meter.frames_late += 1
            self._fault("SR.E_DEADLINE", f"the network was not ready within {self._deadline_s * 1e3:g} ms")
            return False
        np.copyto(target, own_target)
        return True

    def _fault(self, code: str, reason: str) -> None:
        self._faults += 1
        self._meter.add_error(code)
        if self.given_up:
            self._meter.set_state("failed", f"given up after {self._faults} faults in a row: {reason}")
        else:
            self._meter.set_state("degraded", reason)

    def close(self) -> bool:
        """End the thread, if there is one; False if a call hangs in it."""
        return self._worker is None or self._worker.close()
