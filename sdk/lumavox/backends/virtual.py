"""A scripted engine for tests: exact arithmetic, and faults on demand. It is not an inference library.

Its model file is a small JSON object. What it computes:

    {"op": "nearest", "scale": 2}         each output pixel repeats the nearest input pixel (a picture
                                          network); with 1.5, sizes must be even
    {"op": "mask", "value": 1.0}          every output is that value, quantized by the variant's scale

    offset            added to every "nearest" output, in output steps (tells two variants apart)

State outputs return the matching state input. What goes wrong, by call number; call 0 is the golden
vector that `Session` runs, so that call n is the n-th frame:

    fail_open         true: opening the model raises
    fail_at           [calls] that raise;  fail_every: n raises on calls n, 2n, ...
    delay_ms          sleep that long in each call;  delay_every: n only in calls n, 2n, ...
    hang_at           [calls] that hang until the engine is closed, at most hang_ms (default 10000)
    nan_at            [calls] whose outputs are NaN (float outputs; integers get their largest value)
    black_at          [calls] whose outputs are all at the lowest value
    wrong_at          [calls] whose outputs are reversed in sign (a negative picture)
    faults            {...}: what chipsets do to a model, see `_virtual_faults`

As strict as the strictest real engine: it refuses to run while a view of its tensors is alive.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from lumavox._parse import parse
from lumavox._virtual_faults import Disturbance, Faults
from lumavox.backends.base import Engine, Probe, concrete, engine_errors, named
from lumavox.errors import EngineError, OptionError

if TYPE_CHECKING:
    from lumavox.bundle import TensorSpec, Variant

__all__ = ["BACKEND", "Script", "VirtualBackend"]

_OPS = ("nearest", "mask")


@dataclass(frozen=True)
class Script:
    """The model file of a virtual variant; see the module's docstring for each member."""

    op: str
    scale: float = 2
    value: float = 1.0
    offset: int = 0
    fail_open: bool = False
    fail_at: tuple[int, ...] = ()
    fail_every: int = 0
    delay_ms: float = 0.0
    delay_every: int = 1
    hang_at: tuple[int, ...] = ()
    hang_ms: float = 10_000.0
    nan_at: tuple[int, ...] = ()
    black_at: tuple[int, ...] = ()
    wrong_at: tuple[int, ...] = ()
    faults: Faults = field(default_factory=Faults)

    @classmethod
    def parse(cls, model: bytes) -> Script:
        """Raises `OptionError` for an unknown key or op, `ValueError` if it is not a JSON object."""
        data = json.loads(model)
        if not isinstance(data, dict):
            raise ValueError(f"a virtual model is a JSON object, this is a {type(data).__name__}")
        known = {field.name for field in fields(cls)}
        for key in data:
            if key not in known:
                raise OptionError.unknown("key", key, known, "a virtual model")
        if data.get("op") not in _OPS:
            raise OptionError.unknown("op", data.get("op"), _OPS, "a virtual model")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        if "faults" in values:
            values["faults"] = parse(Faults, values["faults"], "a virtual model", key="faults")
        return cls(**values)


class _VirtualEngine:
    description = "virtual (scripted, for tests)"

    def __init__(self, script: Script, variant: Variant) -> None:
        self._script = script
        self._variant = variant
        self._calls = 0
        self._disturbance = Disturbance(script.faults)
        self.placement = self._disturbance.placement
        self._closed = threading.Event()
        self._inputs = {spec.name: _filled(spec, concrete(spec.shape)) for spec in variant.inputs}
        self._outputs: dict[str, np.ndarray] = {}
        self._shape_outputs()

    def _shape_outputs(self) -> None:
        states = {state.output: state.input for state in self._variant.states}
        for spec in self._variant.outputs:
            if spec.name in states:
                shape = self._inputs[states[spec.name]].shape
            elif self._script.op == "nearest":
                n, h, w, c = _nhwc(self._inputs[self._variant.inputs[0].name].shape, spec.layout)
                up = (n, int(h * self._script.scale), int(w * self._script.scale), c)
                shape = up if spec.layout == "NHWC" else (n, c, up[1], up[2])
            else:
                shape = concrete(spec.shape)
            self._outputs[spec.name] = _filled(spec, shape)

    def resize(self, name: str, shape: Sequence[int]) -> None:
        old = named("virtual", "input", self._inputs, name)
        if len(shape) != old.ndim or min(shape) < 1:
            raise EngineError(f"virtual: {name!r} of {list(old.shape)} cannot become {list(shape)}")
        if old.shape != tuple(shape):
            self._inputs[name] = np.zeros(tuple(shape), old.dtype)
            with engine_errors("virtual", f"resizing {name!r} to {list(shape)}"):
                self._shape_outputs()

    def use(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Read and write memory of the caller's; see `Engine`."""
        self._inputs = {name: inputs[name][...] for name in self._inputs}  # views, so that none is held
        self._outputs = {name: outputs[name][...] for name in self._outputs}

    def input(self, name: str) -> np.ndarray:
        view: np.ndarray = named("virtual", "input", self._inputs, name)[...]
        return view

    def output(self, name: str) -> np.ndarray:
        view: np.ndarray = named("virtual", "output", self._outputs, name)[...]
        return view

    def run(self) -> None:
        if self._closed.is_set():
            raise EngineError("virtual: the engine is closed")
        self._refuse_kept_views()
        call, script = self._calls, self._script
        self._calls += 1
        if call in script.hang_at:
            self._closed.wait(script.hang_ms / 1e3)
        self._disturbance.before(call)
        usual_ms = script.delay_ms if call % script.delay_every == 0 else 0.0
        delay_ms = self._disturbance.delay_ms(call, usual_ms)
        if delay_ms > 0:
            time.sleep(delay_ms / 1e3)
        if call in script.fail_at or (script.fail_every and call and call % script.fail_every == 0):
            raise EngineError(f"virtual failed while running the model: scripted fault in call {call}")
        with engine_errors("virtual", "running the model"):
            states = {state.output: state.input for state in self._variant.states}
            for spec in self._variant.outputs:
                out = self._outputs[spec.name]
                if spec.name in states:
                    out[...] = self._inputs[states[spec.name]]
                elif script.op == "nearest":
                    self._nearest(out, spec.layout)
                else:
                    out[...] = _quantized(spec, script.value)
                self._spoil(out, call)
                if spec.name not in states:
                    self._disturbance.after(call, spec.name, out, spec.layout)

    def _nearest(self, out: np.ndarray, layout: str) -> None:
        source = self._inputs[self._variant.inputs[0].name]
        up, scale = source, self._script.scale
        for axis in (1, 2) if layout == "NHWC" else (2, 3):
            side = source.shape[axis]
            if side * scale % 1:
                raise EngineError(
                    f"virtual: a side of {side} times {scale:g} is not a whole number of pixels"
                )
            whole = float(scale).is_integer()
            places = np.floor((np.arange(int(side * scale)) + 0.5) / scale).astype(int)
            up = up.repeat(int(scale), axis) if whole else up.take(places, axis)
        if not self._script.offset:
            out[...] = up
        elif out.dtype.kind == "f":
            out[...] = up + self._script.offset / 255
        else:
            limits = np.iinfo(out.dtype)
            out[...] = np.clip(up.astype(np.int32) + self._script.offset, limits.min, limits.max)

    def _spoil(self, out: np.ndarray, call: int) -> None:
        integer = out.dtype.kind in "iu"
        if call in self._script.nan_at:
            out[...] = np.iinfo(out.dtype).max if integer else np.nan
        if call in self._script.black_at:
            out[...] = np.iinfo(out.dtype).min if integer else 0.0
        if call in self._script.wrong_at:
            if integer:
                np.invert(out, out=out)
            else:
                np.subtract(1.0, out, out=out)

    def _refuse_kept_views(self) -> None:
        for table in (self._inputs, self._outputs):
            for name in table:
                # Two references: the table's, and the argument's. A view adds one as its base.
                if sys.getrefcount(table[name]) > 2:
                    raise EngineError(f"virtual: a view of {name!r} is still held; drop it before run()")

    def close(self) -> None:
        self._closed.set()


def _nhwc(shape: Sequence[int], layout: str) -> tuple[int, int, int, int]:
    if layout == "NHWC":
        n, h, w, c = shape
    else:
        n, c, h, w = shape
    return n, h, w, c


def _filled(spec: TensorSpec, shape: Sequence[int]) -> np.ndarray:
    return np.full(tuple(shape), spec.zero_point or 0, spec.dtype)


def _quantized(spec: TensorSpec, value: float) -> Any:
    if spec.dtype == "float32":
        return value
    limits = np.iinfo(spec.dtype)
    return int(np.clip(round(value / (spec.scale or 1.0)) + (spec.zero_point or 0), limits.min, limits.max))


class VirtualBackend:
    """The scripted engine; always usable, and chosen only by variants of format "virtual"."""

    name = "virtual"
    engine = "virtual"

    def probe(self) -> Probe:
        return Probe(self.name, True, "built in; runs scripted models of tests only", "1", None)

    def open(self, model: bytes, variant: Variant, *, threads: int = 1) -> Engine:
        with engine_errors(self.name, f"loading variant {variant.name!r}"):
            script = Script.parse(model)
            if script.fail_open:
                raise EngineError("virtual failed while loading: scripted fault")
            if script.faults.open_error:
                raise EngineError(f"virtual failed while loading: {script.faults.open_error}")
            time.sleep(script.faults.open_ms / 1e3)
            return _VirtualEngine(script, variant)


BACKEND = VirtualBackend()
