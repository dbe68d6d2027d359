"""Reads a ``.tflite`` file back as a `Graph` and its `QuantPlan`: the inverse of ``formats.tflite``.

It knows the operators that our writer writes and no others. With it a bundle alone is enough to compile
for a target: shapes are fixed on the graph and the file is written again, and `reference.run_int` is the
oracle of what the target computes.

    graph, plan = read(data)
    formats.get("tflite").write(graph, plan) == data
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ..errors import GraphError
from ..graph import (
    Add,
    Concat,
    Constant,
    Conv2D,
    DepthToSpace,
    Graph,
    Mul,
    Op,
    Port,
    Requantize,
    Reshape,
    Sigmoid,
    State,
    TransposeConv2D,
)
from ..quant_plan import DTYPES, Precision, QuantPlan, TensorQuant

_CODES = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
_DTYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.INT8: "int8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.INT64: "int64",
}
_PRECISIONS: Mapping[str, Precision] = {"int8": "int8", "int16": "w8a16"}
assert set(_PRECISIONS) == set(DTYPES.values())


def read(data: bytes, states: Sequence[State] = ()) -> tuple[Graph, QuantPlan | None]:
    """The graph of a file, with the ``states`` that its bundle lists; no plan for a float file.

    Raises `GraphError` for an operator, dtype or option that our writer does not write.
    """
    return _Reader(data).graph(states)


class _Reader:
    def __init__(self, data: bytes) -> None:
        if data[4:8] != b"TFL3":
            raise GraphError("not a TFLite file")
        self.model = schema.ModelT.InitFromPackedBuf(data, 0)
        self.subgraph = self.model.subgraphs[0]
        self.names = [
            t.name.decode() if isinstance(t.name, bytes) else str(t.name) for t in self.subgraph.tensors
        ]
        self.ops: list[Op] = []
        self.tensors: dict[str, TensorQuant] = {}
        self.weights: dict[str, tuple[float, ...]] = {}
        self.drawn: set[str] = set()

    def graph(self, states: Sequence[State]) -> tuple[Graph, QuantPlan | None]:
        for operator in self.subgraph.operators:
            self.operator(operator)
        ins, outs = (
            [self.port(int(i)) for i in ends] for ends in (self.subgraph.inputs, self.subgraph.outputs)
        )
        graph = Graph(tuple(ins), tuple(self.ops), tuple(outs), tuple(states))
        dtype = _DTYPES[self.subgraph.tensors[self.subgraph.inputs[0]].type]
        if dtype == "float32":
            return graph, None
        for name in graph.shapes:
            self.activation(self.names.index(name))
        return graph, QuantPlan(
            _PRECISIONS[dtype], {name: self.tensors[name] for name in graph.shapes}, self.weights
        )

    def port(self, index: int) -> Port:
        tensor = self.subgraph.tensors[index]
        shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        return Port(self.names[index], tuple(int(n) for n in shape))  # type: ignore[arg-type]

    def activation(self, index: int) -> None:
        tensor = self.subgraph.tensors[index]
        quant, name = tensor.quantization, self.names[index]
        if quant is None or quant.scale is None or len(quant.scale) != 1:
            raise GraphError(f"tensor {name!r} has no scale, others have; it was not written by Lumavox")
        self.tensors[name] = TensorQuant(_DTYPES[tensor.type], float(quant.scale[0]), int(quant.zeroPoint[0]))

    def operator(self, operator: Any) -> None:
        code = self.model.operatorCodes[operator.opcodeIndex]
        kind = _CODES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        options = operator.builtinOptions
        output = self.names[operator.outputs[0]]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self.ops.append(self.conv(operator, kind == "DEPTHWISE_CONV_2D", output))
            return
        if kind == "TRANSPOSE_CONV":
            self.ops.append(self.cells(operator, output))
            return
        if kind == "RESHAPE":
            shape = tuple(int(n) for n in options.newShape)
            self.ops.append(Reshape(self.names[operator.inputs[0]], output, shape))  # type: ignore[arg-type]
            return
        inputs = [self.input(int(index)) for index in operator.inputs]
        if kind == "ADD":
            self.ops.append(Add(inputs[0], inputs[1], output))
        elif kind == "MUL":
            self.ops.append(Mul(inputs[0], inputs[1], output))
        elif kind == "CONCATENATION":
            self.ops.append(Concat(tuple(inputs), output, int(options.axis) % 4))
        elif kind == "LOGISTIC":
            self.ops.append(Sigmoid(inputs[0], output))
        elif kind == "QUANTIZE":
            self.ops.append(Requantize(inputs[0], output))
        elif kind == "DEPTH_TO_SPACE":
            self.ops.append(DepthToSpace(inputs[0], output, int(options.blockSize)))
        else:
            raise GraphError(
                f"operator {kind} (output {output!r}) is not one that Lumavox writes; "
                "compile takes bundles made by lumavox-export"
            )

    def input(self, index: int) -> str:
        """The name of an input tensor; a constant becomes an operator of its own where it is first read."""
        name, value = self.names[index], self.constant(index)
        if value is not None and name not in self.drawn:
            self.drawn.add(name)
            if value.dtype != np.float32:
                self.activation(index)
                value = self.tensors[name].dequantize(value)
            self.ops.append(Constant(name, value))
        return name

    def constant(self, index: int) -> NDArray[Any] | None:
        tensor = self.subgraph.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0:
            return None
        if tensor.type not in _DTYPES:
            raise GraphError(f"tensor {self.names[index]!r} has a dtype that Lumavox does not write")
        return np.frombuffer(bytes(data), _DTYPES[tensor.type]).reshape(tensor.shape)

    def cells(self, operator: Any, output: str) -> TransposeConv2D:
        weight_index, x = int(operator.inputs[1]), int(operator.inputs[2])
        weight, options = self.constant(weight_index), operator.builtinOptions
        if weight is None or (options.strideH, options.strideW) != weight.shape[1:3]:
            raise GraphError(f"transposed convolution {output!r}: kernel and stride differ")
        if weight.dtype == np.int8:
            scales = np.asarray(self.subgraph.tensors[weight_index].quantization.scale, np.float64)
            self.weights[output] = tuple(float(scale) for scale in scales)
            weight = (weight * scales[:, None, None, None]).astype(np.float32)
        return TransposeConv2D(self.names[x], output, np.ascontiguousarray(weight))

    def conv(self, operator: Any, depthwise: bool, output: str) -> Conv2D:
        x, weight_index, bias_index = (int(index) for index in operator.inputs)
        weight, bias = self.constant(weight_index), self.constant(bias_index)
        if weight is None or bias is None:
            raise GraphError(f"convolution {output!r} has no constant weight and bias")
        if depthwise:
            weight = weight.transpose(3, 1, 2, 0)
        if weight.dtype == np.int8:
            scales = np.asarray(self.subgraph.tensors[weight_index].quantization.scale, np.float64)
            self.weights[output] = tuple(float(scale) for scale in scales)
            self.activation(x)
            # float64: a bias of 32 bits would not survive float32, and must come out as the same integer.
            weight = (weight * scales[:, None, None, None]).astype(np.float32)
            bias = bias * (self.tensors[self.names[x]].scale * scales)
        options = operator.builtinOptions
        relu = schema.ActivationFunctionType.RELU
        if options.fusedActivationFunction not in (schema.ActivationFunctionType.NONE, relu):
            raise GraphError(f"convolution {output!r} has a fused activation other than ReLU")
        return Conv2D(
            self.names[x],
            output,
            np.ascontiguousarray(weight),
            np.asarray(bias),
            stride=(int(options.strideH), int(options.strideW)),
            dilation=(int(options.dilationHFactor), int(options.dilationWFactor)),
            padding="same" if options.padding == schema.Padding.SAME else "valid",
            groups=weight.shape[0] if depthwise else 1,
            activation="relu" if options.fusedActivationFunction == relu else "none",
        )
