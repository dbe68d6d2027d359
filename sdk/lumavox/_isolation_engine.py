"""An `Engine` whose model runs in a worker process. Tensors are views of shared memory.

It serves `Session`, networks and tests like any engine, with one thing more: a player says until when it
waits.

    engine.window(until, meanwhile)                  # perf_counter; None: as long as the worker is well
    ...engine.input("luma")[...] = x; engine.run()   # WorkerAway, WorkerLate, WorkerFault, EngineError
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ._isolation_channel import Channel
from ._isolation_errors import HANG, WorkerFault, WorkerLate
from ._isolation_keeper import LONGEST_PAUSE_S, Keeper
from .backends.base import named
from .errors import EngineError

if TYPE_CHECKING:
    from .bundle import Variant
    from .crash_marker import CrashMarker
    from .isolation import Isolation, WorkerStatus

__all__ = ["IsolatedEngine"]

_VERDICT_S = 0.5


class IsolatedEngine:
    """Raises `EngineError` if the model cannot be opened."""

    def __init__(
        self,
        policy: Isolation,
        backend: str,
        variant: Variant,
        model: bytes,
        threads: int,
        marker: CrashMarker,
    ) -> None:
        self._policy = policy
        self._inputs = {spec.name: spec.shape for spec in variant.inputs}
        self._shapes = {name: shape for name, shape in self._inputs.items() if min(shape, default=1) > 0}
        self._keeper = Keeper(policy, backend, variant, model, threads, marker)
        try:
            opened = self._keeper.wait_opened()
        except BaseException:
            self._keeper.close()
            raise
        self.description = f"{opened.description}, in a worker process"
        self.placement = (opened.placement[0], opened.placement[1]) if opened.placement else None
        self._until: float | None = None
        self._meanwhile: Callable[[], None] | None = None
        self._channel: Channel | None = None  # of the call that is begun or was run last
        self._begun = False
        self._views: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})

    @property
    def status(self) -> WorkerStatus:
        """How the worker is."""
        return self._keeper.status

    def events(self) -> list[tuple[str, str]]:
        """Codes and reasons of what ended workers since the last call of this."""
        return self._keeper.events()

    def window(self, until: float | None, meanwhile: Callable[[], None] | None = None) -> None:
        """The next runs wait ``until`` that time of ``perf_counter``; the first calls ``meanwhile``."""
        self._until, self._meanwhile = until, meanwhile

    def resize(self, name: str, shape: Sequence[int]) -> None:
        """As in `Engine`; takes effect with the next ``input``."""
        named("worker", "input", self._inputs, name)
        shape = tuple(int(n) for n in shape)
        if self._shapes.get(name) != shape:
            if len(shape) != len(self._inputs[name]) or min(shape) < 1:
                raise EngineError(f"worker: {name!r} of {list(self._inputs[name])} cannot be {list(shape)}")
            self._shapes = {**self._shapes, name: shape}
            self._drop()

    def input(self, name: str) -> np.ndarray:
        """As in `Engine`. Raises `WorkerAway` if there is no worker now."""
        if not self._begun:
            self._begin()
        view: np.ndarray = named("worker", "input", self._views[0], name)
        return view

    def run(self) -> None:
        """As in `Engine`. Raises `WorkerLate`, `WorkerFault`."""
        if not self._begun:
            self._begin()
        channel, self._begun = self._channel, False
        assert channel is not None
        faults = self._policy.faults
        fault = faults.take() if faults is not None else 0
        meanwhile, self._meanwhile = self._meanwhile, None
        until = self._until if self._until is not None else time.perf_counter() + self._policy.hang_s
        try:
            channel.call(fault, until, meanwhile)
        except WorkerFault as error:
            self._condemn(channel, error.code, str(error))
            if self._until is None:  # there is time to ask how it ended
                raise WorkerFault(error.code, self._keeper.verdict(_VERDICT_S) or str(error)) from None
            raise
        except WorkerLate:
            if self._until is not None:
                self._keeper.watch()
                raise
            reason = f"a call hung for {self._policy.hang_s * 1e3:g} ms"
            self._condemn(channel, HANG, reason)
            raise WorkerFault(HANG, reason) from None
        self._keeper.note_answer(channel)

    def output(self, name: str) -> np.ndarray:
        """As in `Engine`."""
        view: np.ndarray = named("worker", "output (of a run)", self._views[1], name)
        return view

    def close(self) -> None:
        """End the worker."""
        self._drop()
        self._keeper.close()

    def _begin(self) -> None:
        self._drop()
        patient_s = self._policy.start_timeout_s + LONGEST_PAUSE_S if self._until is None else 0.0
        channel = self._keeper.channel(self._shapes, patient_s)
        try:
            self._views = channel.begin()
        except WorkerFault as error:
            self._condemn(channel, error.code, str(error))
            raise
        self._channel, self._begun = channel, True

    def _condemn(self, channel: Channel, code: str, reason: str) -> None:
        self._drop()
        self._keeper.condemn(channel, code, reason)

    def _drop(self) -> None:
        """Hold no memory of a worker that may be gone."""
        self._channel, self._begun = None, False
        self._views = ({}, {})
