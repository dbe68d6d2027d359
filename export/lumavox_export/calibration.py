"""Decides the scales of a graph from samples: `calibrate` makes a `QuantPlan`.

It looks at a graph at work, in float, and `largest` tells what it saw of each channel. It does not quantize;
see `quant_plan` for who does. A network with states is calibrated on real rollouts, which `reference.stream`
makes from a sequence of frames:

    plan = calibrate(graph, samples, ranges={"luma": (0.0, 1.0)})
    plan = calibrate(graph, (feeds for feeds, _ in stream(graph, frames)))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lumavox.errors import OptionError

from .errors import GraphError
from .graph import Add, Concat, Constant, Conv2D, DepthToSpace, Graph, Reshape, Sigmoid
from .quant_plan import LIMITS, Precision, QuantPlan, TensorQuant, activation_dtype
from .reference import run_float

Range: TypeAlias = tuple[float, float]
_SPREAD = 512  # values kept of each tensor and sample for percentiles


def calibrate(
    graph: Graph,
    samples: Iterable[Mapping[str, NDArray[np.float32]]],
    *,
    precision: Precision = "int8",
    ranges: Mapping[str, Range] | None = None,
    percentile: float = 100.0,
    weight_scales: Mapping[str, NDArray[Any]] | None = None,
) -> QuantPlan:
    """Decides the scales of ``graph`` from ``samples``: feeds of all inputs, states included.

    (For a network with states, `reference.stream` makes such feeds from a sequence of frames.)
    ``ranges`` fixes (lowest, highest) real value of tensors by name, and of all that share their scale;
    the rest spans the ``percentile`` of what was seen (100: everything). What is added to a state is not cut
    so, since a memory that moves too slowly is wrong for many frames; yet in 8 bits its steps are no coarser
    than the state's, or small moves would be lost for good. What a Sigmoid alone reads spans no more than its
    output tells apart. ``weight_scales`` replaces the default max|w| / 127 of a convolution. Tensors that are
    copied, not computed (both ends of DepthToSpace, all of a Concat, both ends
    of a state) share one scale. Raises `OptionError` for a name not in the graph.
    """
    dtype = activation_dtype(precision)
    ranges, weight_scales = dict(ranges or {}), dict(weight_scales or {})
    convs = {op.output: op for op in graph.ops if isinstance(op, Conv2D)}
    for name in ranges:
        if name not in graph.shapes:
            raise OptionError.unknown("tensor", name, graph.shapes, "ranges")
    for name in weight_scales:
        if name not in convs:
            raise OptionError.unknown("convolution", name, convs, "weight_scales")
    group_of = _groups(graph)
    seen = _observe(graph, samples, percentile, dtype)
    tensors: dict[str, TensorQuant] = {}
    forced = {op.output: _sigmoid_quant(dtype) for op in graph.ops if isinstance(op, Sigmoid)}
    for members in dict.fromkeys(group_of.values()):
        fixed = {forced[m] for m in members if m in forced}
        spans = [ranges[m] for m in members if m in ranges] or [seen[m] for m in members]
        span = min(low for low, _ in spans), max(high for _, high in spans)
        quant = fixed.pop() if fixed else _quant_for(span, dtype)
        tensors.update(dict.fromkeys(members, quant))
    if dtype == "int8":
        for move, memory in _added_to_states(graph).items():
            if move not in ranges and tensors[move].scale > tensors[memory].scale:
                tensors[move] = TensorQuant(dtype, tensors[memory].scale, 0)
    scales = {
        name: weight_scales.get(name, np.abs(op.weight).max(axis=(1, 2, 3)) / 127)
        for name, op in convs.items()
    }
    return QuantPlan(
        precision,
        {name: tensors[name] for name in graph.shapes},
        {name: tuple(_float32(max(float(s), 1e-9)) for s in values) for name, values in scales.items()},
    )


def largest(graph: Graph, samples: Iterable[Mapping[str, NDArray[np.float32]]]) -> dict[str, Tensor]:
    """The largest magnitude ``(channels,)`` of each channel over all samples, by tensor."""
    found: dict[str, NDArray[np.float32]] = {}
    for feeds in samples:
        for name, values in run_float(graph, feeds).items():
            peak = np.abs(values).max((0, 1, 2))
            found[name] = np.maximum(found.get(name, peak), peak)
    return {name: torch.from_numpy(peak) for name, peak in found.items()}


def _float32(value: float) -> float:
    return float(np.float32(value))  # files hold scales as float32; the plan holds what they hold


def _sigmoid_quant(dtype: str) -> TensorQuant:
    """LiteRT accepts no other output scale for LOGISTIC."""
    return TensorQuant("int8", 1 / 256, -128) if dtype == "int8" else TensorQuant("int16", 1 / 32768, 0)


def _quant_for(span: Range, dtype: str) -> TensorQuant:
    low, high = min(span[0], 0.0), max(span[1], 0.0)  # zero is exact: padding and ReLU need it
    if high - low < 1e-5:
        high = 1.0  # never anything but zero: engines refuse the tiny scale that it would give
    qmin, qmax = LIMITS[dtype]
    if dtype == "int16":
        return TensorQuant(dtype, _float32(max(-low, high) / qmax), 0)
    scale = _float32((high - low) / (qmax - qmin))
    return TensorQuant(dtype, scale, int(np.clip(round(qmin - low / scale), qmin, qmax)))


def _groups(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Tensor name to the names (itself included) that must have one scale."""
    group: dict[str, tuple[str, ...]] = {name: (name,) for name in graph.shapes}
    copies = [op for op in graph.ops if isinstance(op, (Concat, DepthToSpace, Reshape))]
    links = [(op.output, name) for op in copies for name in op.inputs]
    for a, b in links + [(state.output, state.input) for state in graph.states]:
        merged = tuple(dict.fromkeys(group[a] + group[b]))
        group.update(dict.fromkeys(merged, merged))
    return group


def _observe(
    graph: Graph, samples: Iterable[Mapping[str, NDArray[np.float32]]], percentile: float, dtype: str
) -> dict[str, Range]:
    """The range of every tensor over all samples."""
    if not 50.0 < percentile <= 100.0:
        raise OptionError(f"percentile must be above 50 and at most 100, got {percentile}")
    cut = dict.fromkeys(graph.shapes, percentile) | dict.fromkeys(_added_to_states(graph), 100.0)
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in graph.shapes}
    for feeds in samples:
        for name, values in run_float(graph, feeds).items():
            flat = values.ravel()
            every = -(-flat.size // _SPREAD)
            kept[name].append(flat[::every] if cut[name] < 100 else np.array([flat.min(), flat.max()]))
    if not any(kept.values()):
        raise GraphError("calibration needs at least one sample")
    for op in graph.ops:
        if isinstance(op, Constant):
            kept[op.output] = [op.value.ravel()]
    spans = {}
    for name, parts in kept.items():
        low, high = np.percentile(np.concatenate(parts), [100.0 - cut[name], cut[name]])
        spans[name] = float(low), float(high)
    least, most = _told_apart(_sigmoid_quant(dtype), dtype)
    for name in _read_by_sigmoid_alone(graph):
        spans[name] = max(spans[name][0], least), min(spans[name][1], most)
    return spans


def _added_to_states(graph: Graph) -> dict[str, str]:
    """What moves a memory from one frame to the next, and that memory."""
    makers = {op.output: op for op in graph.ops}
    adds = ((makers[state.output], state.input) for state in graph.states)
    return {name: op.output for op, past in adds if isinstance(op, Add) for name in op.inputs if name != past}


def _read_by_sigmoid_alone(graph: Graph) -> set[str]:
    others = {name for op in graph.ops if not isinstance(op, Sigmoid) for name in op.inputs}
    return {op.x for op in graph.ops if isinstance(op, Sigmoid)} - others - {p.name for p in graph.outputs}


def _told_apart(output: TensorQuant, dtype: str) -> Range:
    """What a sigmoid reads where its output is a quarter of a step from the ends of its grid."""
    ends = [(limit - output.zero_point) * output.scale for limit in LIMITS[dtype]]
    low, high = max(ends[0], 0.0) + output.scale / 4, min(ends[1], 1.0) - output.scale / 4
    return float(np.log(low / (1 - low))), float(np.log(high / (1 - high)))
