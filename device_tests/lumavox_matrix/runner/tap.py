"""``Tap``: sees what goes into the engine and what comes out, while lumavox uses it.

It tells the engine's time and faults from those of the runtime around it. It wraps a backend for the
duration of a ``with`` block; nothing of lumavox is changed but its table of backends.

    with Tap("litert", marks=True) as tap: ...
    tap.histogram, tap.mismatches
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from lumavox import backends
from lumavox.backends.base import Backend, Engine, Probe
from lumavox.bundle import TensorSpec, Variant
from lumavox.telemetry import Histogram

from .picture_marks import read

__all__ = ["Tap", "as_bytes"]


class Tap:
    """``marks``: also compare the frame numbers in the engine's input and output (it costs time, so it is
    left out where latencies are claimed)."""

    def __init__(self, backend: str, *, marks: bool) -> None:
        self._name, self._marks = backend, marks
        self._table: dict[str, Backend] = backends._found()  # the table itself, not a copy
        self.histogram = Histogram()
        self.calls = 0
        self.mismatches: list[int] = []  # calls whose output has another frame's number

    def __enter__(self) -> Tap:
        self._own = self._table[self._name]
        self._table[self._name] = _Backend(self._own, self._tapped)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table[self._name] = self._own

    def _tapped(self, engine: Engine, variant: Variant) -> Engine:
        return _Engine(engine, variant, self)

    def saw(self, seconds: float, sent: int | None, came: int | None) -> None:
        """One call of the engine."""
        self.calls += 1
        self.histogram.add(seconds * 1e6)
        if sent is not None and sent != came:
            self.mismatches.append(self.calls - 1)


class _Backend:
    def __init__(self, inner: Backend, wrap: Callable[[Engine, Variant], Engine]) -> None:
        self._inner, self._wrap = inner, wrap
        self.name, self.engine = inner.name, inner.engine

    def probe(self) -> Probe:
        return self._inner.probe()

    def open(self, model: bytes, variant: Variant, *, threads: int = 1) -> Engine:
        return self._wrap(self._inner.open(model, variant, threads=threads), variant)


class _Engine:
    def __init__(self, inner: Engine, variant: Variant, tap: Tap) -> None:
        self._inner, self._tap = inner, tap
        self.description = inner.description
        self._spec = (variant.inputs[0], variant.outputs[0])
        self._golden = True
        if hasattr(inner, "placement"):
            self.placement = inner.placement

    def resize(self, name: str, shape: Sequence[int]) -> None:
        self._inner.resize(name, shape)

    def input(self, name: str) -> np.ndarray:
        return self._inner.input(name)

    def output(self, name: str) -> np.ndarray:
        return self._inner.output(name)

    def run(self) -> None:
        sent = self._number(self._inner.input, self._spec[0])
        started = time.perf_counter()
        self._inner.run()
        seconds = time.perf_counter() - started
        if self._golden:  # the first call is the session's own check
            self._golden = False
            return
        self._tap.saw(seconds, sent, self._number(self._inner.output, self._spec[1]))

    def close(self) -> None:
        self._inner.close()

    def _number(self, tensor: Callable[[str], np.ndarray], spec: TensorSpec) -> int | None:
        if not self._tap._marks or len(spec.shape) != 4:
            return None
        return read(as_bytes(tensor(spec.name), spec)).number


def as_bytes(tensor: np.ndarray, spec: TensorSpec) -> Any:
    """A luma tensor ``(1, h, w, 1)`` or ``(1, 1, h, w)`` as a plane of bytes, the caller's own."""
    plane = tensor[0, :, :, 0] if spec.layout == "NHWC" else tensor[0, 0]
    if plane.dtype == np.int8:
        return plane.view(np.uint8) ^ np.uint8(0x80)
    if plane.dtype == np.uint8:
        return plane.copy()
    finite = np.nan_to_num(plane, nan=0.0, posinf=1.0, neginf=0.0)
    return np.rint(np.clip(finite, 0, 1) * 255).astype(np.uint8)
