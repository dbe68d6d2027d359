"""Executes a graph with numpy, in float and in integers: the oracle of every exported file.

`run_int` is bit for bit what TFLite's reference kernels compute from the same `QuantPlan` (tested), so the
golden vectors of int8 variants come from here. With other ``kernels`` it is what the engines of products
compute, which round elsewhere: each is measured against its own arithmetic. It is not a
runtime; yet it is vectorised, a 180x320 frame takes about a second.

    tensors = run_float(graph, {"luma": x})            # every tensor by name, float32 NHWC
    tensors = run_int(graph, plan, {"luma": q})        # the same, int8 or int16
    for feeds, tensors in stream(graph, frames): ...   # a network with states, frame by frame
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import InputError, OptionError

from . import fixed_point as fx
from .graph import (
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
from .quant_plan import LIMITS, QuantPlan, TensorQuant, weight_of, weights_of

Array: TypeAlias = NDArray[Any]
Tensors: TypeAlias = dict[str, Array]
# "reference": TFLite's reference kernels, which round twice. "optimized": LiteRT's built-in ones, whose
# convolutions take ties of the second rounding upwards. "xnnpack" and "float" (ONNX Runtime, but for values
# within float's error of a tie) rescale in floating point and round once, ties to even; XNNPACK adds with
# integers of its own. Only int8 tells them apart.
Kernels: TypeAlias = Literal["reference", "optimized", "xnnpack", "float"]
_ADD_SHIFT = {"int8": 20, "int16": 15}


def run_float(graph: Graph, feeds: Mapping[str, Array]) -> Tensors:
    """Every tensor of the graph for inputs ``feeds``, float32. Raises `InputError` for a wrong feed."""
    tensors = _checked(graph, feeds, dict.fromkeys((p.name for p in graph.inputs), "float32"))
    for op in graph.ops:
        tensors[op.output] = _float_op(op, [tensors[name] for name in op.inputs])
    return tensors


def run_int(
    graph: Graph, plan: QuantPlan, feeds: Mapping[str, Array], kernels: Kernels = "reference"
) -> Tensors:
    """Every tensor of the quantized graph for quantized ``feeds``, in the plan's dtypes."""
    tensors = _checked(graph, feeds, {p.name: plan.tensors[p.name].dtype for p in graph.inputs})
    for op in graph.ops:
        tensors[op.output] = _int_op(op, plan, [tensors[name] for name in op.inputs], kernels)
    return tensors


def stream(
    graph: Graph, frames: Iterable[Mapping[str, Array]], plan: QuantPlan | None = None
) -> Iterator[tuple[Tensors, Tensors]]:
    """Runs a network with states over ``frames`` (feeds without the states), keeping its delay lines.

    Yields (complete feeds, every tensor) of each call; in integers if a ``plan`` is given.
    """
    shapes = graph.shapes
    lines: dict[str, deque[Array]] = {}
    for state in graph.states:
        zero = np.zeros(shapes[state.input], np.float32)
        start = zero if plan is None else plan.tensors[state.input].quantize(zero)
        lines[state.input] = deque([start] * state.delay_frames, maxlen=state.delay_frames)
    for frame in frames:
        feeds = {**frame, **{name: line[0] for name, line in lines.items()}}
        tensors = run_float(graph, feeds) if plan is None else run_int(graph, plan, feeds)
        for state in graph.states:
            lines[state.input].append(tensors[state.output])
        yield feeds, tensors


def _checked(graph: Graph, feeds: Mapping[str, Array], dtypes: Mapping[str, str]) -> Tensors:
    for name in feeds:
        if name not in dtypes:
            raise OptionError.unknown("input", name, dtypes, "the feeds of a graph")
    for name, dtype in dtypes.items():
        if name not in feeds:
            raise InputError(f"the graph needs the input {name!r}; given: {', '.join(feeds) or 'none'}")
        if feeds[name].dtype != dtype:
            raise InputError(f"input {name!r} must be {dtype}, got {feeds[name].dtype}")
    graph.shapes_for({name: value.shape for name, value in feeds.items()})  # type: ignore[misc]
    return dict(feeds)


def _float_op(op: Op, xs: list[Array]) -> Array:
    if isinstance(op, Conv2D):
        y = _correlate(xs[0], op, op.weight) + op.bias
        return np.maximum(y, 0) if op.activation == "relu" else y
    if isinstance(op, TransposeConv2D):
        return _cells(xs[0], op.weight)
    if isinstance(op, Constant):
        return op.value.astype(np.float32)
    if isinstance(op, Requantize):
        return xs[0]
    if isinstance(op, Add):
        return xs[0] + xs[1]
    if isinstance(op, Mul):
        return xs[0] * xs[1]
    if isinstance(op, (Concat, DepthToSpace, Reshape)):
        return _copy_op(op, xs)
    return (0.5 + 0.5 * np.tanh(0.5 * xs[0].astype(np.float64))).astype(np.float32)


def _int_op(op: Op, plan: QuantPlan, xs: list[Array], kernels: Kernels) -> Array:
    if isinstance(op, (Concat, DepthToSpace, Reshape)):
        return _copy_op(op, xs)
    out = plan.tensors[op.output]
    if isinstance(op, Constant):
        return out.quantize(op.value)
    ins = [plan.tensors[name] for name in op.inputs]
    if isinstance(op, Conv2D):
        return _int_conv(op, plan, xs[0], ins[0], out, kernels)
    if isinstance(op, TransposeConv2D):
        acc = _cells(xs[0].astype(np.float64) - ins[0].zero_point, weight_of(op, plan).astype(np.float64))
        real = np.float64(ins[0].scale) * np.asarray(plan.weights[op.output], np.float64) / out.scale
        rescale = fx.rescale if out.dtype == "int8" else fx.rescale_wide
        y = rescale(acc.astype(np.int64), *fx.quantize_multiplier(real)) + out.zero_point
        return _saturated(y, out)
    values = [x.astype(np.int64) - quant.zero_point for x, quant in zip(xs, ins)]
    if kernels in ("xnnpack", "float") and {q.dtype for q in (*ins, out)} == {"int8"}:
        return _saturated(_rounded_once(op, values, ins, out, kernels) + out.zero_point, out)
    if isinstance(op, Requantize):
        real = fx.quantize_multiplier(np.float64(ins[0].scale) / out.scale)
        return _saturated(fx.rescale(values[0], *real) + out.zero_point, out)
    if isinstance(op, Add):
        return _saturated(_int_add(values, ins, out), out)
    if isinstance(op, Mul):
        scales = [np.float32(quant.scale) for quant in (*ins, out)]  # the kernel multiplies them as float32
        real = fx.quantize_multiplier(scales[0] * scales[1] / scales[2])
        return _saturated(fx.rescale(values[0] * values[1], *real) + out.zero_point, out)
    logistic = fx.logistic_int8 if out.dtype == "int8" else fx.logistic_int16
    return logistic(values[0], ins[0].scale).astype(out.dtype)


def _rounded_once(
    op: Op, values: list[Array], ins: list[TensorQuant], out: TensorQuant, kernels: Kernels
) -> Array:
    """An operator without weights as engines of products compute it."""
    scales = [np.float32(quant.scale) for quant in ins]
    if kernels == "xnnpack" and isinstance(op, Add):
        return fx.weighted_sum(values, [scale / np.float32(out.scale) for scale in scales])
    if kernels == "xnnpack" and isinstance(op, Mul):
        product = (values[0] * values[1]).astype(np.float32)
        return np.rint(product * (scales[0] * scales[1] / np.float32(out.scale))).astype(np.int64)
    reals = [value * np.float64(quant.scale) for value, quant in zip(values, ins)]
    return np.asarray(np.rint(_float_op(op, reals) / out.scale))


def _int_conv(
    op: Conv2D, plan: QuantPlan, x: Array, quant: TensorQuant, out: TensorQuant, kernels: Kernels
) -> Array:
    weight, bias = weights_of(op, plan)
    # Sums of integer products are exact in floating point while they stay below 2**24 (2**53).
    largest = np.prod(op.weight.shape[1:]) * 127 * (255 if x.dtype == np.int8 else 32768)
    exact = np.float32 if largest < 2**24 else np.float64
    acc = _correlate(x.astype(exact) - exact(quant.zero_point), op, weight.astype(exact))
    acc = acc.astype(np.int64) + bias
    real = np.float64(quant.scale) * np.asarray(plan.weights[op.output], np.float64) / out.scale
    if x.dtype != np.int8:
        y = fx.rescale_wide(acc, *fx.quantize_multiplier(real))
    elif kernels in ("xnnpack", "float"):
        scales = np.asarray(plan.weights[op.output], np.float32)
        real32 = np.float32(quant.scale) * scales / np.float32(out.scale)
        y = np.rint(acc.astype(np.float32) * real32).astype(np.int64)
    else:
        y = fx.rescale(acc, *fx.quantize_multiplier(real), ties_up=kernels == "optimized")
    y = y + out.zero_point
    return _saturated(np.maximum(y, out.zero_point) if op.activation == "relu" else y, out)


def _int_add(values: list[Array], ins: list[TensorQuant], out: TensorQuant) -> Array:
    """Both inputs on twice the larger scale with spare bits below, then one rescale (reference/add.h)."""
    shift = _ADD_SHIFT[out.dtype]
    largest = 2.0 * max(quant.scale for quant in ins)
    total = sum(
        fx.rescale(value << shift, *fx.quantize_multiplier(quant.scale / largest))
        for value, quant in zip(values, ins)
    )
    real = fx.quantize_multiplier(largest / ((1 << shift) * out.scale))
    return fx.rescale(np.asarray(total, np.int64), *real) + out.zero_point


def _saturated(y: Array, out: TensorQuant) -> Array:
    return np.clip(y, *LIMITS[out.dtype]).astype(out.dtype)


def _copy_op(op: Concat | DepthToSpace | Reshape, xs: list[Array]) -> Array:
    if isinstance(op, Concat):
        return np.concatenate(xs, axis=op.axis)
    if isinstance(op, Reshape):
        return xs[0].reshape(op.shape)
    n, h, w, c = xs[0].shape
    cells = xs[0].reshape(n, h, w, op.block, op.block, c // op.block**2)
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * op.block, w * op.block, -1)


def _cells(x: Array, weight: Array) -> Array:
    """A transposed convolution whose kernel is its stride."""
    (n, h, w, _), (outputs, block) = x.shape, weight.shape[:2]
    cells = np.einsum("nhwc,oijc->nhiwjo", x, weight)
    return cells.reshape(n, h * block, w * block, outputs)


def _correlate(x: Array, op: Conv2D, weight: Array) -> Array:
    """The convolution without its bias, as one matrix product per tap; in the dtype of ``x``."""
    _, h, w, _ = x.shape
    x = np.pad(x, ((0, 0), op.pads(0, h), op.pads(1, w), (0, 0)))
    (sh, sw), (dh, dw), out_h, out_w = op.stride, op.dilation, op.size(0, h), op.size(1, w)
    acc = np.zeros((x.shape[0], out_h, out_w, weight.shape[0]), x.dtype)
    for ky in range(weight.shape[1]):
        for kx in range(weight.shape[2]):
            rows = slice(ky * dh, ky * dh + (out_h - 1) * sh + 1, sh)
            columns = slice(kx * dw, kx * dw + (out_w - 1) * sw + 1, sw)
            taps, patch = weight[:, ky, kx, :], x[:, rows, columns]
            acc += patch @ taps.T if op.groups == 1 else patch * taps[:, 0]
    return acc
