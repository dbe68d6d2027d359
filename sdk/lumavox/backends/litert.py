"""LiteRT (``ai-edge-litert``), else its predecessor ``tflite-runtime``, for ``.tflite`` variants.

Both have the same `Interpreter`. ai-edge-litert runs int8 convolutions through XNNPACK by default;
tflite-runtime 2.14 (for machines pinned to numpy 1.26) does not, and is about ten times slower there.
Tensors are read and written in the interpreter's own memory. The interpreter refuses to run while a numpy
view of that memory is alive, hence the rule in `base`.

tflite-runtime does not verify a file beyond its first bytes: a truncated one ends the process. Bundles
are safe from that, since their digests are verified before an engine sees a byte.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lumavox.backends.base import (
    Engine,
    Probe,
    check_tensors,
    distribution_version,
    engine_errors,
    loaded_from,
    named,
)
from lumavox.errors import EngineError

if TYPE_CHECKING:
    from lumavox.bundle import Variant

__all__ = ["BACKEND", "LitertBackend"]

_LIBRARIES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)


def _library() -> tuple[Any, str]:
    """The first library that imports, and its distribution's name; ImportError says why none does."""
    failures = []
    for module, distribution in _LIBRARIES:
        try:
            return importlib.import_module(module), distribution
        except Exception as error:  # tflite-runtime on numpy 2 raises AttributeError, not ImportError
            failures.append(f"{distribution}: {error}")
    raise ImportError("; ".join(failures))


class _LitertEngine:
    def __init__(self, model: bytes, variant: Variant, threads: int) -> None:
        library, distribution = _library()
        self._model = model  # the interpreter reads weights from these bytes as long as it lives
        self._interpreter: Any = library.Interpreter(model_content=model, num_threads=threads)
        ins, outs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        check_tensors("litert", "input", variant.inputs, {t["name"]: _shape_dtype(t) for t in ins})
        check_tensors("litert", "output", variant.outputs, {t["name"]: _shape_dtype(t) for t in outs})
        self._inputs: dict[str, int] = {t["name"]: t["index"] for t in ins}
        self._outputs: dict[str, int] = {t["name"]: t["index"] for t in outs}
        self._shapes: dict[str, tuple[int, ...]] = {t["name"]: tuple(map(int, t["shape"])) for t in ins}
        self._tensors: dict[int, Callable[[], np.ndarray]] = {}
        self._interpreter.allocate_tensors()
        kernels = "XNNPACK" if distribution == "ai-edge-litert" else "built-in kernels"
        version = distribution_version(distribution)
        self.description = f"{distribution} {version}, {kernels}, {threads} thread(s)"

    def _alive(self) -> Any:
        if self._interpreter is None:
            raise EngineError("litert: the engine is closed")
        return self._interpreter

    def resize(self, name: str, shape: Sequence[int]) -> None:
        interpreter = self._alive()
        index = named("litert", "input", self._inputs, name)
        if self._shapes[name] == tuple(shape):
            return
        self._shapes[name] = ()  # unknown, should the next lines fail half-way
        with engine_errors("litert", f"resizing {name!r} to {list(shape)}"):
            interpreter.resize_tensor_input(index, list(shape), strict=False)
            interpreter.allocate_tensors()
            self._shapes[name] = tuple(int(d) for d in shape)

    def input(self, name: str) -> np.ndarray:
        return self._view(named("litert", "input", self._inputs, name), name)

    def run(self) -> None:
        interpreter = self._alive()
        with engine_errors("litert", "running the model"):
            interpreter.invoke()

    def output(self, name: str) -> np.ndarray:
        return self._view(named("litert", "output", self._outputs, name), name)

    def _view(self, index: int, name: str) -> np.ndarray:
        interpreter = self._alive()
        with engine_errors("litert", "reading a tensor"):
            if index not in self._tensors:  # the function may be kept, unlike the view that it gives
                self._tensors[index] = interpreter.tensor(index)
            view: np.ndarray = self._tensors[index]()
        return view

    def close(self) -> None:
        self._tensors.clear()
        self._interpreter = None
        self._model = b""


def _shape_dtype(detail: dict[str, Any]) -> tuple[Sequence[int], str]:
    signature = detail.get("shape_signature")
    shape = signature if signature is not None and len(signature) == len(detail["shape"]) else detail["shape"]
    return [int(d) for d in shape], np.dtype(detail["dtype"]).name


class LitertBackend:
    """LiteRT or tflite-runtime on the CPU."""

    name = "litert"
    engine = "tflite"

    def probe(self) -> Probe:
        try:
            module, distribution = _library()
        except ImportError as error:
            cure = 'install one with: pip install "lumavox[litert]"'
            return Probe(self.name, False, f"no TFLite interpreter can be imported ({error}); {cure}")
        version = distribution_version(distribution)
        return Probe(self.name, True, f"{distribution} {version}", version, loaded_from(module.__name__))

    def open(self, model: bytes, variant: Variant, *, threads: int = 1) -> Engine:
        with engine_errors(self.name, f"loading variant {variant.name!r}"):
            return _LitertEngine(model, variant, threads)


BACKEND = LitertBackend()
