"""Writes a graph as TFLite: float32, int8 or w8a16 (int16 activations, int8 weights).

Written with the flatbuffer schema that ships in ai-edge-litert; no converter is involved, so the file holds
the operators of the graph and no others: no QUANTIZE, DEQUANTIZE, RESHAPE or TRANSPOSE, integers in and out.
ReLU is fused into the convolution. A height or width of any size is written as 1 with -1 in
``shape_signature``: ``resize_tensor_input`` before ``allocate_tensors``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ..errors import GraphError
from ..graph import (
    ANY,
    Add,
    Concat,
    Constant,
    Conv2D,
    DepthToSpace,
    Graph,
    Mul,
    Op,
    Requantize,
    Reshape,
    TransposeConv2D,
)
from ..quant_plan import QuantPlan, TensorQuant, weight_of, weights_of

ENGINE, SUFFIX, LAYOUT = "tflite", ".tflite", "NHWC"
PRECISIONS: tuple[str, ...] = ("float32", "int8", "w8a16")

_Code = schema.BuiltinOperator
_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
}
# The lowest operator version that old runtimes know for a dtype (tensorflow/lite/tools/versioning).
_VERSIONS = {
    _Code.CONV_2D: {"float32": 1, "int8": 3, "int16": 4},
    _Code.DEPTHWISE_CONV_2D: {"float32": 2, "int8": 3, "int16": 5},
    _Code.TRANSPOSE_CONV: {"float32": 1, "int8": 2},
    _Code.RESHAPE: {"float32": 1, "int8": 1, "int16": 1},
    _Code.ADD: {"float32": 1, "int8": 2, "int16": 3},
    _Code.MUL: {"float32": 1, "int8": 2, "int16": 4},
    _Code.CONCATENATION: {"float32": 1, "int8": 2, "int16": 3},
    _Code.QUANTIZE: {"int8": 1, "int16": 2},
    _Code.LOGISTIC: {"float32": 1, "int8": 2, "int16": 3},
    # Version 2 would be right for int8, but the reference kernels are registered as 1 and know it too.
    _Code.DEPTH_TO_SPACE: {"float32": 1, "int8": 1},
}
_ALIGNMENT = 16  # bytes; engines map weights in place
_Scales: TypeAlias = tuple[list[float], list[int], int]  # scales, zero points, quantized axis


def write(graph: Graph, plan: QuantPlan | None = None) -> bytes:
    """The model file; float32 without a ``plan``. Raises `GraphError` for an operator without a kernel."""
    return _Writer(graph, plan).written()


def write_float16(graph: Graph) -> bytes:
    """A float32 file whose weights are stored in 16 bits, with a DEQUANTIZE each: half the size, and the form
    in which GPU delegates compute in float16. Bundles ship none: CPUs gain nothing from it."""
    return _HalfWriter(graph, None).written()


def operators(data: bytes) -> dict[str, int]:
    """Operators of a file, by name, most frequent first."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    names = {v: k for k, v in vars(_Code).items() if not k.startswith("_")}
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return dict(Counter(codes[op.opcodeIndex] for op in model.subgraphs[0].operators).most_common())


class _Buffer(schema.BufferT):  # type: ignore[misc, name-defined, unused-ignore]
    """A buffer whose bytes are aligned; the generated code aligns to one byte."""

    def Pack(self, builder: Any) -> int:
        content = b"" if self.data is None else bytes(self.data)
        if content:
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head = builder.head - len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if content:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


class _Writer:
    """Collects tensors, buffers and operators of one subgraph."""

    def __init__(self, graph: Graph, plan: QuantPlan | None) -> None:
        self.graph, self.plan = graph, plan
        self.index: dict[str, int] = {}
        self.codes: dict[tuple[int, int], int] = {}  # operator and version to its place in the file
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "lumavox"
        self.model.buffers = [_Buffer()]  # by convention the first is empty: tensors without content
        self.subgraph = schema.SubGraphT()
        self.subgraph.name = "main"
        self.subgraph.tensors, self.subgraph.operators = [], []

    def activation(self, name: str) -> None:
        quant = None if self.plan is None else self.plan.tensors[name]
        self.tensor(name, self.graph.shapes[name], self.dtype(name), _per_tensor(quant))

    def dtype(self, name: str) -> str:
        return "float32" if self.plan is None else self.plan.tensors[name].dtype

    def constant(self, name: str, value: NDArray[Any], scales: _Scales | None) -> None:
        self.tensor(name, value.shape, str(value.dtype), scales)
        buffer = _Buffer()
        buffer.data = value.tobytes()
        self.subgraph.tensors[-1].buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str, scales: _Scales | None) -> None:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer, tensor.hasRank = name, _TYPES[dtype], 0, True
        tensor.shape = [1 if size == ANY else size for size in shape]
        if ANY in shape:
            tensor.shapeSignature = list(shape)
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint, axis = scales
            tensor.quantization.quantizedDimension = axis
        self.index[name] = len(self.subgraph.tensors)
        self.subgraph.tensors.append(tensor)

    def operator(self, op: Op) -> None:
        if isinstance(op, Constant):
            quant = None if self.plan is None else self.plan.tensors[op.output]
            value = op.value.astype(np.float32) if quant is None else quant.quantize(op.value)
            self.constant(op.output, value, _per_tensor(quant))
            return
        inputs = list(op.inputs)
        if isinstance(op, Conv2D):
            inputs += self.parameters(op)
        if isinstance(op, TransposeConv2D):
            inputs = [*self.cells(op), op.x]
        if isinstance(op, Reshape):
            inputs.append(f"{op.output}/shape")
            self.constant(inputs[-1], np.array(op.shape, np.int32), None)
        self.activation(op.output)
        code, kind, options = _options(op)
        node = schema.OperatorT()
        node.opcodeIndex = self.opcode(code, op)
        node.inputs, node.outputs = [self.index[name] for name in inputs], [self.index[op.output]]
        node.builtinOptionsType, node.builtinOptions = kind, options
        self.subgraph.operators.append(node)

    def parameters(self, op: Conv2D) -> list[str]:
        """Adds weight and bias; depthwise weights are ``(1, kernel_h, kernel_w, channels)``."""
        names = [f"{op.output}/weight", f"{op.output}/bias"]
        depthwise = op.groups > 1
        axis = 3 if depthwise else 0
        weight: NDArray[Any] = op.weight.astype(np.float32)
        bias: NDArray[Any] = op.bias.astype(np.float32)
        scales = bias_scales = None
        if self.plan is not None:
            weight, bias = weights_of(op, self.plan)
            bias = bias.astype(np.int32 if self.dtype(op.x) == "int8" else np.int64)
            per_channel, zeros = list(self.plan.weights[op.output]), [0] * len(bias)
            scales = per_channel, zeros, axis
            bias_scales = [self.plan.tensors[op.x].scale * s for s in per_channel], zeros, 0
        self.constant(names[0], weight.transpose(3, 1, 2, 0) if depthwise else weight, scales)
        self.constant(names[1], bias, bias_scales)
        return names

    def cells(self, op: TransposeConv2D) -> list[str]:
        """Adds the output's shape and the weight, which TRANSPOSE_CONV reads before its input."""
        shape = self.graph.shapes[op.output]
        if ANY in shape:
            raise GraphError(f"TransposeConv2D {op.output!r}: TFLite needs a fixed size, not {shape}")
        names = [f"{op.output}/shape", f"{op.output}/weight"]
        self.constant(names[0], np.array(shape, np.int32), None)
        if self.plan is None:
            self.constant(names[1], op.weight.astype(np.float32), None)
        else:
            scales = list(self.plan.weights[op.output])
            self.constant(names[1], weight_of(op, self.plan), (scales, [0] * len(scales), 0))
        return names

    def opcode(self, code: int, op: Op) -> int:
        dtype = self.dtype(op.output)
        if dtype not in _VERSIONS[code]:
            raise GraphError(
                f"TFLite has no CPU kernel for {type(op).__name__} {op.output!r} with {dtype} "
                "activations; use precision int8 or float32"
            )
        return self.entry(code, _VERSIONS[code][dtype])

    def entry(self, code: int, version: int) -> int:
        """The place of an operator and version in the file's list."""
        key = code, version
        if key not in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.version = key
            entry.deprecatedBuiltinCode = min(code, 127)
            self.codes[key] = len(self.codes)
            self.model.operatorCodes = [*(self.model.operatorCodes or []), entry]
        return self.codes[key]

    def written(self) -> bytes:
        """The whole graph as a file."""
        for port in self.graph.inputs:
            self.activation(port.name)
        for op in self.graph.ops:
            self.operator(op)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        inputs, outputs = [p.name for p in self.graph.inputs], [p.name for p in self.graph.outputs]
        signature.inputs = [_mapping(name, self.index[name]) for name in inputs]
        signature.outputs = [_mapping(name, self.index[name]) for name in outputs]
        self.subgraph.inputs = [self.index[name] for name in inputs]
        self.subgraph.outputs = [self.index[name] for name in outputs]
        self.model.subgraphs, self.model.signatureDefs = [self.subgraph], [signature]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


class _HalfWriter(_Writer):
    """Constants of more than one value in float16."""

    def constant(self, name: str, value: NDArray[Any], scales: _Scales | None) -> None:
        if value.dtype != np.float32 or value.size < 2:
            super().constant(name, value, scales)
            return
        super().constant(f"{name}/float16", value.astype(np.float16), None)
        self.tensor(name, value.shape, "float32", None)
        node = schema.OperatorT()
        node.opcodeIndex = self.entry(_Code.DEQUANTIZE, 3)  # the first that reads float16
        node.inputs, node.outputs = [self.index[f"{name}/float16"]], [self.index[name]]
        node.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        node.builtinOptions = schema.DequantizeOptionsT()
        self.subgraph.operators.append(node)


def _per_tensor(quant: TensorQuant | None) -> _Scales | None:
    return None if quant is None else ([quant.scale], [quant.zero_point], 0)


def _mapping(name: str, index: int) -> Any:
    mapping = schema.TensorMapT()
    mapping.name, mapping.tensorIndex = name, index
    return mapping


def _options(op: Op) -> tuple[int, int, Any]:
    """Operator code, kind of options, and options."""
    kinds = schema.BuiltinOptions
    options: Any
    if isinstance(op, Conv2D):
        depthwise = op.groups > 1
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.padding = schema.Padding.SAME if op.padding == "same" else schema.Padding.VALID
        options.strideH, options.strideW = op.stride
        options.dilationHFactor, options.dilationWFactor = op.dilation
        relu = op.activation == "relu"
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU if relu else 0
        if depthwise:
            options.depthMultiplier = 1
            return _Code.DEPTHWISE_CONV_2D, kinds.DepthwiseConv2DOptions, options
        return _Code.CONV_2D, kinds.Conv2DOptions, options
    if isinstance(op, TransposeConv2D):
        options = schema.TransposeConvOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH = options.strideW = op.block
        return _Code.TRANSPOSE_CONV, kinds.TransposeConvOptions, options
    if isinstance(op, Add):
        options = schema.AddOptionsT()
        options.potScaleInt16 = False  # int16 scales are any number, not powers of two
        return _Code.ADD, kinds.AddOptions, options
    if isinstance(op, Mul):
        return _Code.MUL, kinds.MulOptions, schema.MulOptionsT()
    if isinstance(op, Concat):
        options = schema.ConcatenationOptionsT()
        options.axis = op.axis
        return _Code.CONCATENATION, kinds.ConcatenationOptions, options
    if isinstance(op, Reshape):
        options = schema.ReshapeOptionsT()
        options.newShape = list(op.shape)
        return _Code.RESHAPE, kinds.ReshapeOptions, options
    if isinstance(op, DepthToSpace):
        options = schema.DepthToSpaceOptionsT()
        options.blockSize = op.block
        return _Code.DEPTH_TO_SPACE, kinds.DepthToSpaceOptions, options
    if isinstance(op, Requantize):
        return _Code.QUANTIZE, kinds.QuantizeOptions, schema.QuantizeOptionsT()
    return _Code.LOGISTIC, kinds.NONE, None
