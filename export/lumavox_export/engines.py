"""Runs exported files on the engines of this machine, NHWC in and out: for parity checks and tests.

It is not the runtime's backend: it also opens LiteRT with its reference kernels, which products never use,
copies freely, and lets the engines' own errors through.

    for name, engine in ENGINES["tflite"].items():
        outputs = engine.open(data)({"luma": q})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from numpy.typing import NDArray

from .formats import from_layout, to_layout
from .reference import Kernels

Feeds: TypeAlias = Mapping[str, NDArray[Any]]
Outputs: TypeAlias = dict[str, NDArray[Any]]
Runner: TypeAlias = Callable[[Feeds], Outputs]

REFERENCE_KERNELS = "LiteRT reference kernels"


def open_tflite(data: bytes, resolver: str = "AUTO") -> Runner:
    """LiteRT; ``resolver`` is a member of its ``OpResolverType``."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data, num_threads=1, experimental_op_resolver_type=OpResolverType[resolver]
    )

    def run(feeds: Feeds) -> Outputs:
        for detail in interpreter.get_input_details():
            shape = feeds[detail["name"]].shape
            if tuple(detail["shape"]) != shape:
                interpreter.resize_tensor_input(detail["index"], shape, strict=True)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], feeds[detail["name"]])
        interpreter.invoke()
        return {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}

    return run


def open_onnx(data: bytes) -> Runner:
    """ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Feeds) -> Outputs:
        outputs = session.run(names, {name: to_layout(value, "NCHW") for name, value in feeds.items()})
        return {name: from_layout(value, "NCHW") for name, value in zip(names, outputs)}

    return run


@dataclass(frozen=True)
class Engine:
    """How an engine is opened with a file's bytes, and what its int8 kernels compute."""

    open: Callable[[bytes], Runner]
    kernels: Kernels


# Format name to engines, the one that products use first.
ENGINES: Mapping[str, Mapping[str, Engine]] = {
    "tflite": {
        "LiteRT": Engine(open_tflite, "xnnpack"),
        "LiteRT built-in kernels": Engine(
            partial(open_tflite, resolver="BUILTIN_WITHOUT_DEFAULT_DELEGATES"), "optimized"
        ),
        REFERENCE_KERNELS: Engine(partial(open_tflite, resolver="BUILTIN_REF"), "reference"),
    },
    "onnx": {"ONNX Runtime": Engine(open_onnx, "float")},
}
