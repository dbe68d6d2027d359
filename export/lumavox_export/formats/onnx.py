"""Writes a graph as ONNX: float32, or int8 in the QDQ form that every ONNX toolchain reads.

Layout NCHW; there are no Transpose nodes, since constants are stored transposed and NHWC (1, 1, F, C)
becomes NCHW (1, C, 1, F). Integers in and out: the int8 file begins with DequantizeLinear and ends with
QuantizeLinear, weights are int8 and biases int32 initializers with one scale per channel. Tensors have the
names of the graph; their dequantized twins end in ``/real``.

`write_unsigned` and `with_nhwc_ports` make files for compilers that want another form of the same numbers.
Bundles ship none of them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import GraphError
from ..graph import (
    ANY,
    Concat,
    Constant,
    Conv2D,
    DepthToSpace,
    Graph,
    Op,
    Port,
    Requantize,
    Reshape,
    Sigmoid,
    TransposeConv2D,
)
from ..quant_plan import QuantPlan, TensorQuant, weight_of, weights_of

ENGINE, SUFFIX, LAYOUT = "onnx", ".onnx", "NCHW"
PRECISIONS: tuple[str, ...] = ("float32", "int8")

_OPSET, _IR_VERSION = 18, 8
_WIDE_OPSET, _WIDE_IR_VERSION = 21, 10  # the first that quantize to 16 bits
_UNSIGNED = {"int8": (np.uint8, 128), "int16": (np.uint16, 32768)}  # and how much higher
_SIGMOID_STEP = 2.0**-16  # of files with 16 bits
_AXES = (0, 2, 3, 1)  # where the NHWC axes are in NCHW


def write(graph: Graph, plan: QuantPlan | None = None) -> bytes:
    """The model file, checked by onnx; float32 without a ``plan``. Raises `GraphError` for w8a16."""
    if plan is not None and plan.precision not in PRECISIONS:
        raise GraphError(f"ONNX files are written as {' or '.join(PRECISIONS)}, not {plan.precision}")
    kind = TensorProto.FLOAT if plan is None else TensorProto.INT8
    return _file(_Writer(graph, plan), kind, _OPSET, _IR_VERSION)


def write_unsigned(graph: Graph, plan: QuantPlan) -> bytes:
    """The QDQ file with unsigned activations (`to_unsigned`): int8 for tools that go wrong with signed ones,
    w8a16 for NPUs, which take 16 bits unsigned only; ONNX Runtime computes that in float.

    Raises `GraphError` for a bias of more than 32 bits, the widest that DequantizeLinear takes.
    """
    if plan.precision == "int8":
        return _file(_UnsignedWriter(graph, plan), TensorProto.UINT8, _OPSET, _IR_VERSION)
    return _file(_WideWriter(graph, plan), TensorProto.UINT16, _WIDE_OPSET, _WIDE_IR_VERSION)


def to_unsigned(q: NDArray[Any]) -> NDArray[Any]:
    """int8 or int16 as files of `write_unsigned` have it: half the range higher."""
    dtype, offset = _UNSIGNED[str(q.dtype)]
    return (q.astype(np.int32) + offset).astype(dtype)


def from_unsigned(graph: Graph, plan: QuantPlan, name: str, q: NDArray[Any]) -> NDArray[Any]:
    """The tensor ``name`` of such a file in the plan's integers. The 16-bit output of a sigmoid has steps of
    1/65536 from 0 up: Qualcomm's HTP has no other, and passes over another scale in silence."""
    quant = plan.tensors[name]
    if quant.dtype == "int16" and name in _sigmoids(graph):
        return quant.quantize(q * _SIGMOID_STEP)
    return (q.astype(np.int32) - _UNSIGNED[quant.dtype][1]).astype(quant.dtype)


def with_nhwc_ports(data: bytes) -> bytes:
    """The same file with NHWC inputs and outputs and a Transpose at each: compilers that work in NHWC
    drop these with their own, and none remains in what they make."""
    model = onnx.load_from_string(data)
    graph = model.graph
    inner = {port.name: f"{port.name}/nchw" for port in (*graph.input, *graph.output)}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [inner.get(name, name) for name in names]
    first, last = (
        [helper.make_node("Transpose", *_ends(p.name, inner[p.name], out), perm=perm) for p in ports]
        for ports, perm, out in ((graph.input, (0, 3, 1, 2), False), (graph.output, (0, 2, 3, 1), True))
    )
    for port in (*graph.input, *graph.output):
        n, c, h, w = port.type.tensor_type.shape.dim
        shape = [d.dim_param or d.dim_value for d in (n, h, w, c)]
        port.CopyFrom(helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, shape))
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _ends(port: str, inner: str, out: bool) -> tuple[list[str], list[str]]:
    """Inputs and outputs of the Transpose at a port."""
    return ([inner], [port]) if out else ([port], [inner])


def _file(writer: _Writer, kind: int, opset: int, ir_version: int) -> bytes:
    for op in writer.graph.ops:
        writer.operator(op)
    body = helper.make_graph(
        writer.nodes,
        "lumavox",
        [_value(port, kind) for port in writer.graph.inputs],
        [_value(port, kind) for port in writer.graph.outputs],
        writer.initializers,
    )
    model = helper.make_model(
        body,
        producer_name="lumavox",
        ir_version=ir_version,
        opset_imports=[helper.make_opsetid("", opset)],
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

    def stored(self, q: NDArray[Any]) -> NDArray[Any]:
        """Quantized activations as the file has them."""
        return q

    def scales(self, name: str, quant: TensorQuant) -> list[str]:
        if name not in self.reals:
            self.initializer(f"{name}/scale", np.float32(quant.scale).reshape(()))
            self.initializer(f"{name}/zero_point", self.stored(np.array(quant.zero_point, quant.dtype)))
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
            quant = None if self.plan is None else self.plan.tensors[op.output]
            held = value.astype(np.float32) if quant is None else self.stored(quant.quantize(value))
            self.initializer(op.output, held)
            return
        if isinstance(op, Requantize):
            raise GraphError(f"Requantize {op.output!r}: ONNX files have one precision; write it as TFLite")
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
            if np.abs(bias).max(initial=0) > 2**31 - 1:
                raise GraphError(f"Conv2D {op.output!r}: a bias needs more than the 32 bits of ONNX files")
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
            self.node("Relu", [self.before_relu(op, linear)], output)

    def before_relu(self, op: Conv2D, linear: str) -> str:
        """What a ReLU reads: engines see that at zero point -128 it is what saturation does anyway."""
        return linear

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


class _UnsignedWriter(_Writer):
    """Activations half their range higher."""

    def stored(self, q: NDArray[Any]) -> NDArray[Any]:
        return to_unsigned(q)


class _WideWriter(_UnsignedWriter):
    """16-bit activations: a ReLU that compilers do not fuse stands between quantized tensors."""

    def scales(self, name: str, quant: TensorQuant) -> list[str]:
        if name in _sigmoids(self.graph) and name not in self.reals:
            self.initializer(f"{name}/scale", np.array(_SIGMOID_STEP, np.float32))
            self.initializer(f"{name}/zero_point", np.array(0, np.uint16))
            self.reals.add(name)
        return super().scales(name, quant)

    def before_relu(self, op: Conv2D, linear: str) -> str:
        assert self.plan is not None
        scales = self.scales(op.output, self.plan.tensors[op.output])
        quantized = self.node("QuantizeLinear", [linear, *scales], f"{linear}/quantized")
        return self.node("DequantizeLinear", [quantized, *scales], f"{linear}/real")


def _sigmoids(graph: Graph) -> set[str]:
    return {op.output for op in graph.ops if isinstance(op, Sigmoid)}
