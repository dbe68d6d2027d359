"""ONNX Runtime on the CPU, for ``.onnx`` variants.

Inputs and outputs are numpy arrays bound once per size, so a run allocates nothing in Python. Output
shapes of a resized model are learnt from its first run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lumavox.backends.base import (
    Engine,
    Probe,
    check_tensors,
    concrete,
    distribution_version,
    engine_errors,
    loaded_from,
    named,
)
from lumavox.errors import EngineError

if TYPE_CHECKING:
    from lumavox.bundle import Variant

__all__ = ["BACKEND", "OrtBackend"]

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
}
_SEVERITY_ERROR = 3


class _OrtEngine:
    def __init__(self, model: bytes, variant: Variant, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _SEVERITY_ERROR
        # A waiting thread that spins would take the core from decoding and sound.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        ins, outs = self._session.get_inputs(), self._session.get_outputs()
        check_tensors("ort", "input", variant.inputs, {t.name: (t.shape, _dtype(t.type)) for t in ins})
        check_tensors("ort", "output", variant.outputs, {t.name: (t.shape, _dtype(t.type)) for t in outs})
        self.description = f"onnxruntime {ort.__version__}, CPUExecutionProvider, {threads} thread(s)"
        self._binding: Any = self._session.io_binding()
        self._inputs: dict[str, np.ndarray] = {}
        self._outputs: dict[str, np.ndarray] = {}
        self._output_names = [spec.name for spec in variant.outputs]
        for spec in variant.inputs:
            self._bind_input(spec.name, np.zeros(concrete(spec.shape), spec.dtype))

    def _bind_input(self, name: str, array: np.ndarray) -> None:
        self._inputs[name] = array
        self._binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def _bind_outputs(self) -> None:
        """Run once into the library's own memory to learn the shapes, then bind arrays of ours."""
        self._binding.clear_binding_outputs()
        for name in self._output_names:
            self._binding.bind_output(name)
        self._session.run_with_iobinding(self._binding)
        values = self._binding.copy_outputs_to_cpu()
        self._binding.clear_binding_outputs()
        for name, value in zip(self._output_names, values):
            self._bind_output(name, np.ascontiguousarray(value))

    def _bind_output(self, name: str, array: np.ndarray) -> None:
        self._outputs[name] = array
        self._binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def use(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Read and write memory of the caller's; see `Engine`."""
        with engine_errors("ort", "changing its memory"):
            for name, array in inputs.items():
                self._bind_input(name, array)
            self._binding.clear_binding_outputs()
            for name in self._output_names:
                self._bind_output(name, outputs[name])

    def resize(self, name: str, shape: Sequence[int]) -> None:
        old = named("ort", "input", self._inputs, name)
        if old.shape == tuple(shape):
            return
        with engine_errors("ort", f"resizing {name!r} to {list(shape)}"):
            self._outputs.clear()
            self._bind_input(name, np.zeros(tuple(shape), old.dtype))

    def input(self, name: str) -> np.ndarray:
        view: np.ndarray = named("ort", "input", self._inputs, name)
        return view

    def run(self) -> None:
        if self._session is None:
            raise EngineError("ort: the engine is closed")
        with engine_errors("ort", "running the model"):
            if not self._outputs:
                self._bind_outputs()  # the learning run is this run
            else:
                self._session.run_with_iobinding(self._binding)

    def output(self, name: str) -> np.ndarray:
        view: np.ndarray = named("ort", "output (of a run)", self._outputs, name)
        return view

    def close(self) -> None:
        self._session = self._binding = None
        self._inputs.clear()
        self._outputs.clear()


def _dtype(kind: str) -> str:
    return _DTYPES.get(kind, kind)


class OrtBackend:
    """ONNX Runtime, CPU execution provider."""

    name = "ort"
    engine = "onnx"

    def probe(self) -> Probe:
        version = distribution_version("onnxruntime", "onnxruntime-gpu")
        try:
            import onnxruntime as ort
        except Exception as error:  # a broken installation raises more than ImportError
            cure = 'install it with: pip install "lumavox[ort]"'
            return Probe(self.name, False, f"onnxruntime cannot be imported ({error}); {cure}", version)
        library = loaded_from("onnxruntime")
        return Probe(self.name, True, f"onnxruntime {ort.__version__}", ort.__version__, library)

    def open(self, model: bytes, variant: Variant, *, threads: int = 1) -> Engine:
        with engine_errors(self.name, f"loading variant {variant.name!r}"):
            return _OrtEngine(model, variant, threads)


BACKEND = OrtBackend()
