"""From nothing to a worker that answers: starts a process, has the model opened, prepares for sizes.

What the worker says on the way is not believed further than it can be checked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from . import _isolation_order as wire
from ._isolation_channel import Channel
from ._isolation_forkserver import Forkserver
from ._isolation_link import Link, WorkerEnded
from ._isolation_memory import Segment, sealed_file
from ._parse import dump_json, load_json, parse, plain
from .errors import EngineError, LumavoxError

if TYPE_CHECKING:
    from .bundle import Variant
    from .isolation import Isolation

Shapes = Mapping[str, tuple[int, ...]]


class Starter:
    """Serves one model. For one thread."""

    def __init__(self, policy: Isolation, backend: str, variant: Variant, model: bytes, threads: int) -> None:
        self._policy, self._variant = policy, variant
        self._backend = backend
        # Made once: a restart should not keep the interpreter from the player.
        self._order = plain(policy.order(backend, variant, threads))
        self._order_bytes = dump_json(self._order)
        self._model_fd = sealed_file(model)
        self._server = Forkserver.acquire()
        self._generation = 0

    def start(self) -> Link:
        """A new process, which begins to open the model. Raises `WorkerEnded`."""
        faults = self._policy.faults
        stillborn = faults is not None and faults.take_stillborn()
        order = dump_json({**self._order, "never_starts": True}) if stillborn else self._order_bytes
        order_fd = sealed_file(order)
        try:
            self._server.prepare(self._backend)
            return self._server.spawn(order_fd, self._model_fd, self._policy.start_timeout_s)
        finally:
            os.close(order_fd)

    def opened(self, link: Link) -> wire.Opened | str:
        """What the worker says about the open model, or why the engine refused it. Raises `WorkerEnded`."""
        message = link.receive(self._patience())
        if message is None:
            raise WorkerEnded(f"the worker did not start within {self._policy.start_timeout_s:g} s")
        if message[:1] == wire.REFUSED:
            return message[1:].decode(errors="replace")
        try:
            return parse(wire.Opened, load_json(message[1:], "worker"), "worker")
        except LumavoxError as error:
            raise WorkerEnded(str(error)) from error

    def prepare(self, link: Link, shapes: Shapes, *, warm: bool, answered: int) -> Channel:
        """A channel for inputs of ``shapes``; ``warm`` runs the model once before.

        Raises `WorkerEnded`; `EngineError` if the engine does not take these shapes.
        """
        until = self._patience()
        link.send(wire.pack(wire.CONFIGURE, {"shapes": dict(shapes), "warm": warm}))
        answer = _answer(link, until)
        if answer[:1] == wire.NO_SHAPES:
            raise EngineError(answer[1:].decode(errors="replace"))
        dtypes = {spec.name: spec.dtype for spec in self._variant.inputs}
        inputs = {name: (dtypes[name], tuple(shape)) for name, shape in shapes.items()}
        outputs = _outputs(answer, self._variant)
        self._generation += 1
        segment, fd = Segment.create(inputs, outputs, self._generation)
        try:
            link.send(wire.pack(wire.ATTACH, {"outputs": outputs, "generation": self._generation}), [fd])
        finally:
            os.close(fd)
        if _answer(link, until)[:1] != wire.ATTACHED:
            raise WorkerEnded("the worker did not take the shared memory")
        return Channel(link, segment, shapes, answered)

    def close(self) -> None:
        """Give back what all starts shared."""
        self._server.release()
        os.close(self._model_fd)

    def _patience(self) -> float:
        return time.perf_counter() + self._policy.start_timeout_s


def _answer(link: Link, until: float) -> bytes:
    """The next message that is not the end of a late call. Raises `WorkerEnded`."""
    while (message := link.receive(until)) is not None:
        if message[:1] != wire.DONE:
            return message
    raise WorkerEnded("the worker did not answer while it prepared for a size")


def _outputs(answer: bytes, variant: Variant) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The outputs as the worker says, if they are those of the variant. Raises `EngineError`."""
    said = load_json(answer[1:], "worker", EngineError)
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for spec in variant.outputs:
        try:
            dtype, shape = said[spec.name]
            fits = np.dtype(dtype) == np.dtype(spec.dtype) and all(
                isinstance(n, int) and n > 0 for n in shape
            )
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise EngineError(f"the worker says nothing sensible about output {spec.name!r}")
        found[spec.name] = spec.dtype, tuple(shape)
    return found
