"""Writes a graph as ONNX: float32, or int8 in the QDQ form that every ONNX toolchain reads.

Layout NCHW; there are no Transpose nodes, since constants are stored transposed and NHWC (1, 1, F, C)
becomes NCHW (1, C, 1, F). Integers in and out: the int8 file begins with DequantizeLinear and ends with
QuantizeLinear, weights are int8 and biases int32 initializers with one scale per channel. Tensors have the
names of the graph; their dequantized twins end in ``/real``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import GraphError
from ..graph import ANY, Concat, Constant, Conv2D, DepthToSpace, Graph, Op, Port, Reshape, TransposeConv2D
from ..quant_plan import QuantPlan, TensorQuant, weight_of, weights_of

ENGINE, SUFFIX, LAYOUT = "onnx", ".onnx", "NCHW"
PRECISIONS: tuple[str, ...] = ("float32", "int8")

_OPSET, _IR_VERSION = 18, 8
_AXES = (0, 2, 3, 1)  # where the NHWC axes are in NCHW


def write(graph: Graph, plan: QuantPlan | None = None) -> bytes:
    """The model file, checked by onnx; float32 without a ``plan``. Raises `GraphError` for w8a16."""
    if plan is not None and plan.precision not in PRECISIONS:
        raise GraphError(f"ONNX files are written as {' or '.join(PRECISIONS)}, not {plan.precision}")
    writer = _Writer(graph, plan)
    for op in graph.ops:
        writer.operator(op)
    kind = TensorProto.FLOAT if plan is None else TensorProto.INT8
    body = helper.make_graph(
        writer.nodes,
        "lumavox",
        [_value(port, kind) for port in graph.inputs],
        [_value(port, kind) for port in graph.outputs],
        writer.initializers,
    )
    model = helper.make_model(
        body,
        producer_name="lumavox",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def operators(data: bytes) -> dict[str, int]:
    """Operators of a file, by name, most frequent first."""
    return dict(Counter(node.op_type for node in onnx.load_from_string(data).graph.node).most_common())


def _value(port: Port, kind: int) -> Any:
    n, h, w, c = port.shape
    names = [None, None, f"{port.name}_height", f"{port.name}_width"]
    shape = [name if size == ANY else size for size, name in zip((n, c, h, w), names)]
    return helper.make_tensor_value_info(port.name, kind, shape)


class _Writer:
    """Collects nodes and initializers."""

    def __init__(self, graph: Graph, plan: QuantPlan | None) -> None:
        self.graph, self.plan = graph, plan
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.reals: set[str] = set()

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))
        return output

    def initializer(self, name: str, value: NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def scales(self, name: str, quant: TensorQuant) -> list[str]:
        if name not in self.reals:
            self.initializer(f"{name}/scale", np.float32(quant.scale).reshape(()))
            self.initializer(f"{name}/zero_point", np.int8(quant.zero_point).reshape(()))
            self.reals.add(name)
        return [f"{name}/scale", f"{name}/zero_point"]

    def real(self, name: str) -> str:
        """The name of a tensor's real values: itself in float, else what a DequantizeLinear makes."""
        if self.plan is None:
            return name
        real = f"{name}/real"
        if not any(node.output[0] == real for node in self.nodes):
            self.node("DequantizeLinear", [name, *self.scales(name, self.plan.tensors[name])], real)
        return real

    def parameter(self, name: str, value: NDArray[Any], scales: NDArray[Any] | None) -> str:
        """A weight or bias ``(outputs, ...)`` as initializer; if quantized, dequantized per channel."""
        if scales is None:
            return self.initializer(name, value.astype(np.float32))
        self.initializer(name, value)
        self.initializer(f"{name}/scale", scales.astype(np.float32))
        self.initializer(f"{name}/zero_point", np.zeros(len(scales), value.dtype))
        inputs = [name, f"{name}/scale", f"{name}/zero_point"]
        return self.node("DequantizeLinear", inputs, f"{name}/real", axis=0)

    def operator(self, op: Op) -> None:
        if isinstance(op, Constant):
            value = op.value.transpose(0, 3, 1, 2)
            quantized = None if self.plan is None else self.plan.tensors[op.output].quantize(value)
            self.initializer(op.output, value.astype(np.float32) if quantized is None else quantized)
            return
        inputs = [self.real(name) for name in op.inputs]
        output = op.output if self.plan is None else f"{op.output}/out"
        if isinstance(op, Conv2D):
            self.conv(op, inputs[0], output)
        elif isinstance(op, TransposeConv2D):
            self.cells(op, inputs[0], output)
        elif isinstance(op, Concat):
            self.node("Concat", inputs, output, axis=_AXES[op.axis])
        elif isinstance(op, DepthToSpace):
            self.node("DepthToSpace", inputs, output, blocksize=op.block, mode="DCR")
        elif isinstance(op, Reshape):
            raise GraphError(f"Reshape {op.output!r} means NHWC memory; ONNX files are NCHW")
        else:
            self.node(type(op).__name__, inputs, output)  # Add, Mul, Sigmoid
        if self.plan is not None:
            scales = self.scales(op.output, self.plan.tensors[op.output])
            self.node("QuantizeLinear", [output, *scales], op.output)

    def conv(self, op: Conv2D, x: str, output: str) -> None:
        weight: NDArray[Any] = op.weight
        bias: NDArray[Any] = op.bias
        scales = bias_scales = None
        if self.plan is not None:
            weight, bias = weights_of(op, self.plan)
            bias = bias.astype(np.int32)
            scales = np.asarray(self.plan.weights[op.output])
            bias_scales = scales * self.plan.tensors[op.x].scale
        linear = f"{output}/linear" if op.activation == "relu" else output
        inputs = [
            x,
            self.parameter(f"{op.output}/weight", weight.transpose(0, 3, 1, 2), scales),
            self.parameter(f"{op.output}/bias", bias, bias_scales),
        ]
        attributes = {
            "kernel_shape": op.weight.shape[1:3],
            "strides": op.stride,
            "dilations": op.dilation,
            "group": op.groups,
            **self.padding(op),
        }
        self.node("Conv", inputs, linear, **attributes)
        if op.activation == "relu":
            self.node("Relu", [linear], output)

    def cells(self, op: TransposeConv2D, x: str, output: str) -> None:
        quantized = op.weight if self.plan is None else weight_of(op, self.plan)
        name, weight = (
            f"{op.output}/weight",
            quantized.transpose(3, 0, 1, 2),
        )  # (inputs, outputs, block, block)
        if self.plan is not None and len(op.weight) > 1:
            raise GraphError(f"TransposeConv2D {op.output!r}: ONNX files have one output channel here")
        scales = None if self.plan is None else np.repeat(self.plan.weights[op.output], len(weight))
        inputs = [x, self.parameter(name, weight, scales)]
        self.node("ConvTranspose", inputs, output, kernel_shape=[op.block] * 2, strides=[op.block] * 2)

    def padding(self, op: Conv2D) -> dict[str, Any]:
        sizes = self.graph.shapes[op.x][1:3]
        if op.padding == "same" and any(size == ANY and s > 1 for size, s in zip(sizes, op.stride)):
            return {"auto_pad": "SAME_UPPER"}  # the amount depends on the size
        (top, bottom), (left, right) = (op.pads(axis, sizes[axis]) for axis in (0, 1))
        return {"pads": [top, left, bottom, right]}
