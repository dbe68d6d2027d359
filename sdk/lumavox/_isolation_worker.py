"""The worker process: opens one model as ordered, then runs calls on shared memory until the player is gone.

It ends itself after memory ran out and after a request that was spoilt; everything else that an engine
raises is an answer. It writes no files and prints nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any

from . import _isolation_faults as faults
from . import _isolation_landlock, _isolation_seccomp, backends
from . import _isolation_limits as limits
from . import _isolation_order as wire
from ._bundle_schema import Golden, TensorSpec, Variant
from ._isolation_memory import SLOTS, Segment, read_file
from ._isolation_order import Order
from ._parse import dump_json, load_json, parse, plain
from .backends.base import Engine
from .errors import EngineError, LumavoxError
from .fault_injection import KINDS

_SPOILT = "corrupt"
_MEMORY_WORDS = ("bad_alloc", "failed to allocate", "cannot allocate", "out of memory")
_LAST_WORDS = {wire.EXHAUSTED: wire.EXIT_EXHAUSTED, wire.CORRUPT: wire.EXIT_CORRUPT}


def main(channel_fd: int, order_fd: int, model_fd: int) -> None:
    """Live as a worker on these descriptors."""
    channel = socket.socket(fileno=channel_fd)
    order = parse(Order, load_json(read_file(order_fd), "order"), "order")
    os.close(order_fd)
    if order.never_starts and order.faults:
        time.sleep(3600)
    try:
        engine, opened = _open(order, model_fd)
    except LumavoxError as error:
        channel.send(wire.text(wire.REFUSED, str(error)))
        return
    except MemoryError:
        channel.send(wire.text(wire.REFUSED, f"the model needs more than {order.memory_mib} MiB"))
        return
    channel.send(wire.pack(wire.OPENED, plain(opened)))
    with contextlib.suppress(OSError):  # the player is gone
        _Worker(channel, order, engine).serve()


def warm_up(backend: str) -> None:
    """In the server, before the first fork: what every worker would else import and work out anew."""
    backends.get(backend).probe()
    tensor = TensorSpec("x", (1, 1), "float32", "NHWC")
    variant = Variant(
        "x", "variants/x", "virtual", "float32", "any", False, (tensor,), (tensor,),
        Golden("golden/x.npz", max_abs=1.0),
    )  # fmt: skip
    parse(Order, load_json(dump_json(plain(Order(backend, variant))), "x"), "x")  # types are looked up once


def _open(order: Order, model_fd: int) -> tuple[Engine, wire.Opened]:
    began = time.perf_counter()
    backend = backends.get(order.backend)
    backend.probe()  # loads the library, where the server has not
    done = limits.schedule(order.cpus, order.nice, order.idle) + limits.limit_memory(order.memory_mib)
    model = read_file(model_fd)
    os.close(model_fd)
    if order.sandbox:
        done.append(_tried("landlock", order))
    engine = backend.open(model, order.variant, threads=order.threads)
    if order.sandbox:
        done.append(_tried("seccomp", order))
    placement = getattr(engine, "placement", None) or ()
    load_ms = (time.perf_counter() - began) * 1e3
    return engine, wire.Opened(engine.description, load_ms, tuple(done), tuple(placement))


def _tried(what: str, order: Order) -> str:
    """What came of restricting this process; a kernel that cannot is no reason to go without the model."""
    try:
        if what == "landlock":
            return _isolation_landlock.restrict(order.readable)
        return _isolation_seccomp.deny()
    except OSError as error:
        return f"no {what}: {error.strerror or error}"


def _out_of_memory(error: Exception) -> bool:
    """Whether an engine that wraps errors means that: what heals a leak is a new worker, not a new try."""
    words = str(error).lower()
    return isinstance(error.__cause__, MemoryError) or any(word in words for word in _MEMORY_WORDS)


class _Worker:
    def __init__(self, channel: socket.socket, order: Order, engine: Engine) -> None:
        self._channel, self._engine = channel, engine
        self._variant: Variant = order.variant
        self._faults = order.faults
        self._dtypes = {spec.name: spec.dtype for spec in (*order.variant.inputs, *order.variant.outputs)}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._segment: Segment | None = None

    def serve(self) -> None:
        while True:
            message, fds, _, _ = socket.recv_fds(self._channel, wire.MAX_MESSAGE_BYTES, 1)
            kind, body = message[:1], message[1:]
            if not message:
                return
            if kind == wire.CALL:
                status, sentence = self._call(*wire.CALL_WORDS.unpack(body))
                self._channel.send(sentence)
                if status in _LAST_WORDS:
                    os._exit(_LAST_WORDS[status])
            elif kind == wire.CONFIGURE:
                self._channel.send(self._configure(load_json(body, "configure")))
            elif kind == wire.ATTACH:
                self._attach(load_json(body, "attach"), fds[0])
                self._channel.send(wire.ATTACHED)

    def _configure(self, request: dict[str, Any]) -> bytes:
        """Give the inputs their shapes; the outputs' follow, where need be from a run."""
        self._segment = None
        try:
            self._shapes = {name: tuple(shape) for name, shape in request["shapes"].items()}
            for name, shape in self._shapes.items():
                self._engine.resize(name, shape)
            if request["warm"]:
                self._warm()
            try:
                shapes = self._output_shapes()
            except EngineError:  # known only after a run
                self._warm()
                shapes = self._output_shapes()
        except (LumavoxError, MemoryError) as error:
            return wire.text(wire.NO_SHAPES, str(error) or type(error).__name__)
        return wire.pack(wire.SHAPES, shapes)

    def _warm(self) -> None:
        for spec in self._variant.inputs:
            self._engine.input(spec.name)[...] = spec.zero_point or 0
        self._engine.run()

    def _output_shapes(self) -> dict[str, Any]:
        shapes = {}
        for spec in self._variant.outputs:
            view = self._engine.output(spec.name)
            shapes[spec.name] = [view.dtype.name, list(view.shape)]
        return shapes

    def _attach(self, request: dict[str, Any], fd: int) -> None:
        inputs = {name: (self._dtypes[name], shape) for name, shape in self._shapes.items()}
        outputs = {name: (dtype, tuple(shape)) for name, (dtype, shape) in request["outputs"].items()}
        try:
            self._segment = Segment(fd, inputs, outputs, request["generation"])
        finally:
            os.close(fd)

    def _call(self, sequence: int, fault: int) -> tuple[int, bytes]:
        kind = KINDS[fault - 1] if self._faults and 0 < fault <= len(KINDS) else ""
        segment = self._segment
        sentence = ""
        if segment is None:
            status, sentence = wire.FAILED, "the worker has no shared memory yet"
        elif spoilt := segment.request_fault(sequence):
            status, sentence = wire.CORRUPT, spoilt
        else:
            try:
                self._run(segment, sequence % SLOTS, kind)
                status = wire.OK
            except MemoryError:
                status, sentence = wire.EXHAUSTED, "the worker's memory ran out"
            except Exception as error:  # whatever an engine raises is an answer
                status = wire.EXHAUSTED if _out_of_memory(error) else wire.FAILED
                sentence = str(error) or type(error).__name__
            segment.reply(sequence, status)
            if kind == _SPOILT:
                segment.spoil()
        return status, wire.text(wire.DONE + wire.DONE_WORDS.pack(sequence, status), sentence)

    def _run(self, segment: Segment, slot: int, fault: str) -> None:
        if fault:
            faults.before(fault)
        engine, inputs, outputs = self._engine, segment.inputs[slot], segment.outputs[slot]
        if hasattr(engine, "use"):
            engine.use(inputs, outputs)
            engine.run()
        else:
            for name, view in inputs.items():
                engine.input(name)[...] = view
            engine.run()
            for name, view in outputs.items():
                view[...] = engine.output(name)
        if fault:
            faults.after(fault, outputs)
