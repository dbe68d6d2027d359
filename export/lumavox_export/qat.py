"""Quantization-aware training of a graph: its arithmetic in torch with simulated rounding.

Works on any graph that a family draws. Activations keep the scales of the plan and saturate (no separate
clip operator); weights are rounded per output channel with the plan's scales; gradients pass through the
rounding (straight-through, Bengio et al. 2013). A convolution's rows that only pass a channel on (one weight
of 1, no bias) are left as they are. Memories are rounded in every frame, as on a device: a network learns not
to rely on moves smaller than a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .errors import GraphError
from .graph import Add, Concat, Constant, Conv2D, DepthToSpace, Graph, Mul, Op, Sigmoid, State
from .quant_plan import LIMITS, QuantPlan, TensorQuant
from .unrolled import Loop, unrolled

_POINTWISE: dict[type, Callable[..., Tensor]] = {Add: torch.add, Mul: torch.mul, Sigmoid: torch.sigmoid}


class FakeQuantGraph(nn.Module):
    """A graph with one input and one output besides its states, rounding simulated."""

    def __init__(self, graph: Graph, plan: QuantPlan) -> None:
        super().__init__()
        kept = {name for state in graph.states for name in (state.input, state.output)}
        read, made = (
            [p.name for p in ports if p.name not in kept] for ports in (graph.inputs, graph.outputs)
        )
        if (len(read), len(made)) != (1, 1):
            raise GraphError("quantization-aware training takes a graph of one input and one output")
        self.input, self.output = read[0], made[0]
        self.graph, self.plan = graph, plan
        self._order = unrolled(graph)
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        for op in graph.ops:
            if isinstance(op, Conv2D):
                weight = torch.from_numpy(op.weight.transpose(0, 3, 1, 2).copy())
                self.weights[op.output] = nn.Parameter(weight)
                self.biases[op.output] = nn.Parameter(torch.from_numpy(op.bias.copy()))
                scale = torch.tensor(plan.weights[op.output], dtype=torch.float32)[:, None, None, None]
                trained = torch.from_numpy(~passes_on(op)).float()
                self.register_buffer(f"scale_{op.output}", scale, persistent=False)
                self.register_buffer(f"trained_{op.output}", trained, persistent=False)
            elif isinstance(op, Constant):
                value = torch.from_numpy(op.value.transpose(0, 3, 1, 2).copy())
                self.register_buffer(f"value_{op.output}", value, persistent=False)
            elif not isinstance(op, (Concat, DepthToSpace, *_POINTWISE)):
                raise GraphError(f"quantization-aware training does not know {type(op).__name__} yet")

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` real values to the same, as the integer graph gives them.

        Of a graph with states ``(frames, batch, channels, height, width)``: whole signals, the states before
        the first frame zero.
        """
        tensors = {self.input: round_to(x, self.plan.tensors[self.input])}
        for step in self._order:
            if isinstance(step, Loop):
                tensors |= self._looped(step, tensors)
            elif isinstance(step, State):
                tensors[step.input] = _delayed(tensors[step.output], step.delay_frames)
            else:
                tensors[step.output] = self._made(step, [tensors[name] for name in step.inputs])
        return tensors[self.output]

    def _looped(self, loop: Loop, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What a loop makes, frame by frame; constants have no axis of frames."""
        made: dict[str, list[Tensor]] = {op.output: [] for op in loop.ops}
        inside = {*made, *(state.input for state in loop.states)}
        outside = {name: tensors[name] for op in loop.ops for name in op.inputs if name not in inside}
        signals = {name: x for name, x in outside.items() if x.dim() == 5}
        now = {name: x for name, x in outside.items() if x.dim() == 4}
        any_signal = next(iter(signals.values()))
        shapes = {s.input: self.graph.shapes[s.input] for s in loop.states}
        zeros = {
            name: any_signal.new_zeros(any_signal.shape[1], c, h, w) for name, (_, h, w, c) in shapes.items()
        }
        for frame, values in enumerate(zip(*(x.unbind(0) for x in signals.values()), strict=True)):
            now |= dict(zip(signals, values, strict=True))
            for state in loop.states:
                late = frame - state.delay_frames
                now[state.input] = made[state.output][late] if late >= 0 else zeros[state.input]
            for op in loop.ops:
                now[op.output] = self._made(op, [now[name] for name in op.inputs])
                made[op.output].append(now[op.output])
        results = {name: torch.stack(values) for name, values in made.items()}
        return results | {s.input: _delayed(results[s.output], s.delay_frames) for s in loop.states}

    def _made(self, op: Op, xs: list[Tensor]) -> Tensor:
        if isinstance(op, DepthToSpace):
            return functional.pixel_shuffle(xs[0], op.block)
        if isinstance(op, Concat):
            return torch.cat(xs, {1: -2, 2: -1, 3: -3}[op.axis])
        if isinstance(op, Constant):
            x = self.get_buffer(f"value_{op.output}")
        elif isinstance(op, Conv2D):
            x = self._conv(op, xs[0].flatten(0, -4)).unflatten(0, xs[0].shape[:-3])
        else:
            x = _POINTWISE[type(op)](*xs)
        return round_to(x, self.plan.tensors[op.output])

    def _conv(self, op: Conv2D, x: Tensor) -> Tensor:
        trained = self.get_buffer(f"trained_{op.output}")
        weight, bias = self.weights[op.output], self.biases[op.output]
        keep = trained[:, None, None, None]
        weight = weight * keep + weight.detach() * (1 - keep)
        scale = self.get_buffer(f"scale_{op.output}")
        return convolved(op, x, _Rounded.apply(weight, scale, -127, 127), bias * trained)

    def trained_graph(self) -> Graph:
        """The graph with the trained weights."""
        ops: list[Op] = []
        for op in self.graph.ops:
            if isinstance(op, Conv2D):
                weight = self.weights[op.output].detach().numpy().transpose(0, 2, 3, 1).copy()
                bias = self.biases[op.output].detach().numpy()
                bias = bias * self.get_buffer(f"trained_{op.output}").numpy()
                op = replace(op, weight=weight, bias=bias.astype(np.float32))
            ops.append(op)
        return replace(self.graph, ops=tuple(ops))


def passes_on(op: Conv2D) -> np.ndarray:
    """Which output channels are a copy of an input channel, ``(outputs,)`` bool."""
    flat = op.weight.reshape(len(op.weight), -1)
    return ((flat != 0).sum(1) == 1) & (flat.sum(1) == 1) & (op.bias == 0)


def convolved(op: Conv2D, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``op`` on NCHW with this weight ``(outputs, inputs / groups, kernel_h, kernel_w)`` and bias."""
    out = functional.conv2d(padded(op, x), weight, bias, op.stride, 0, op.dilation, op.groups)
    return functional.relu(out) if op.activation == "relu" else out


def padded(op: Conv2D, x: Tensor) -> Tensor:
    """NCHW with the zeros that a convolution sees around it."""
    (top, bottom), (left, right) = (op.pads(axis, x.shape[2 + axis]) for axis in (0, 1))
    return functional.pad(x, (left, right, top, bottom))


def round_to(x: Tensor, quant: TensorQuant) -> Tensor:
    """``x`` on the grid of ``quant``, saturated; no gradient where it saturates."""
    low, high = LIMITS[quant.dtype]
    rounded: Tensor = _Rounded.apply(x, quant.scale, low - quant.zero_point, high - quant.zero_point)
    return rounded


class _Rounded(torch.autograd.Function):
    """Multiples of ``scale`` from ``low`` to ``high``; the gradient passes where nothing saturates."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Any, low: int, high: int) -> Tensor:
        grid = x / scale
        ctx.save_for_backward((grid >= low) & (grid <= high))
        return grid.round_().clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return grads[0] * ctx.saved_tensors[0], None, None, None


def _delayed(x: Tensor, frames: int) -> Tensor:
    """A signal ``(frames, ...)`` some frames later, zeros before it."""
    return torch.cat([torch.zeros_like(x[:frames]), x[:-frames]])


def weights_to_dict(graph: Graph) -> Mapping[str, np.ndarray]:
    """All arrays of a graph by name, for a weights file."""
    arrays: dict[str, np.ndarray] = {}
    for op in graph.ops:
        if isinstance(op, Conv2D):
            arrays[f"{op.output}.weight"], arrays[f"{op.output}.bias"] = op.weight, op.bias
    return arrays


def with_weights(graph: Graph, arrays: Mapping[str, np.ndarray]) -> Graph:
    """The graph with the convolution arrays of `weights_to_dict` in place of its own."""
    ops = [
        replace(op, weight=arrays[f"{op.output}.weight"], bias=arrays[f"{op.output}.bias"])
        if isinstance(op, Conv2D)
        else op
        for op in graph.ops
    ]
    return replace(graph, ops=tuple(ops))
