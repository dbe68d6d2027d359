"""Parameters and multiply-accumulates of a network, read from its file: what peers are told to cost.

Counted are convolutions, plain, grouped and transposed (the latter at the resolution of its input), and the
numbers of every operator with learned weights. Pads, adds, activations and shuffles are not counted.

    onnx_costs(data).gmac((540, 960))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import GraphError
from .sr_methods import Costs

_SIDE = 24  # pixels of the picture that open sizes are counted on
_ONNX_LEARNED = ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "PRelu", "Gemm", "MatMul")
_TFLITE_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


def onnx_costs(data: bytes) -> Costs:
    """Costs of an ONNX file with one picture as input. Raises what onnx and ONNX Runtime raise.

    The shapes are those of a run on a small picture: graphs that compute their own shapes are counted too.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    graph = model.graph
    weights = _onnx_weights(graph)
    parameters: dict[str, int] = {}
    tapped: list[tuple[str, float]] = []  # tensor and multiply-accumulates per element of it
    for node in graph.node:
        if node.op_type not in _ONNX_LEARNED:
            continue
        for name in node.input:
            if name in weights:
                parameters[name] = math.prod(weights[name])
        kernel = next((weights[n] for n in node.input if len(weights.get(n, ())) == 4), None)
        if kernel is None:
            continue
        transposed = node.op_type == "ConvTranspose"
        tapped.append((node.input[0] if transposed else node.output[0], math.prod(kernel[1:])))
    shapes, pixels = _onnx_run(model, [name for name, _ in tapped])
    macs = sum(math.prod(shapes[name]) * each for name, each in tapped)
    return Costs(sum(parameters.values()), macs / pixels)


def _onnx_weights(graph: Any) -> dict[str, Sequence[int]]:
    """Shapes of constants by name, also of those behind a DequantizeLinear."""
    shapes: dict[str, Sequence[int]] = {i.name: tuple(i.dims) for i in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
        elif node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    shapes[node.output[0]] = tuple(attribute.t.dims)
    return {name: shape for name, shape in shapes.items() if math.prod(shape) > 1 or len(shape) > 1}


def _onnx_run(model: Any, names: Sequence[str]) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes of the tensors ``names`` in a run, and the pixels of the picture that was run."""
    import onnx
    import onnxruntime

    del model.graph.output[:]
    for name in dict.fromkeys(names):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    inputs = {i.name for i in model.graph.input}
    if inputs & set(names):  # a transposed convolution at the very start: a graph input is no output
        raise GraphError("cannot count a network that begins with a transposed convolution")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fed = session.get_inputs()[0]
    shape = _filled(fed.shape)
    dtype = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}[fed.type]
    values = session.run(list(dict.fromkeys(names)), {fed.name: np.zeros(shape, dtype)})
    channels = min(shape[1], shape[3])
    return {n: v.shape for n, v in zip(dict.fromkeys(names), values)}, math.prod(shape) // channels


def _filled(shape: Sequence[Any]) -> tuple[int, ...]:
    """Open sizes are ``_SIDE``, but 1 where the batch is open."""
    open_ = [1 if axis == 0 else _SIDE for axis in range(len(shape))]
    return tuple(d if isinstance(d, int) and d > 0 else o for d, o in zip(shape, open_))


def tflite_costs(data: bytes) -> Costs:
    """Costs of a TFLite file with one picture as input, by the shapes that the file states."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]

    def shape(index: int) -> tuple[int, ...]:
        return tuple(int(n) for n in graph.tensors[index].shape)

    parameters: dict[int, int] = {}
    macs = 0
    for op in graph.operators:
        code = codes[op.opcodeIndex]
        if code not in (*_TFLITE_CONVOLUTIONS, "PRELU", "FULLY_CONNECTED"):
            continue
        for index in op.inputs:
            buffer = model.buffers[graph.tensors[index].buffer].data if index >= 0 else None
            if (
                buffer is not None
                and len(buffer)
                and not (code == "TRANSPOSE_CONV" and index == op.inputs[0])
            ):
                parameters[int(index)] = math.prod(shape(index))
        kernel = shape(op.inputs[1])
        if code == "CONV_2D":
            macs += math.prod(shape(op.outputs[0])) * math.prod(kernel[1:])
        elif code == "DEPTHWISE_CONV_2D":
            macs += math.prod(shape(op.outputs[0])) * kernel[1] * kernel[2]
        elif code == "TRANSPOSE_CONV":
            macs += math.prod(shape(op.inputs[2])) * math.prod(kernel[:3])
    _, height, width, _ = shape(graph.inputs[0])
    return Costs(sum(parameters.values()), macs / (height * width))
