"""Quantization-aware training of a graph: its arithmetic in torch with simulated rounding.

Works on any graph without states, whatever family drew it. Activations keep the scales of the plan and
saturate (no separate clip operator); weights are rounded per output channel with the plan's scales; gradients
pass through the rounding (straight-through, Bengio et al. 2013). A convolution's rows that only pass a
channel on (one weight of 1, no bias) are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .errors import GraphError
from .graph import Conv2D, DepthToSpace, Graph, Op
from .quant_plan import LIMITS, QuantPlan, TensorQuant


class FakeQuantGraph(nn.Module):
    """A graph with one input and one output, NCHW float tensors in and out, rounding simulated."""

    def __init__(self, graph: Graph, plan: QuantPlan) -> None:
        super().__init__()
        if graph.states or len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise GraphError(
                "quantization-aware training takes a graph of one input, one output and no states"
            )
        self.graph, self.plan = graph, plan
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
            elif not isinstance(op, DepthToSpace):
                raise GraphError(f"quantization-aware training does not know {type(op).__name__} yet")

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` real values to the same, as the integer graph gives them."""
        tensors = {self.graph.inputs[0].name: round_to(x, self.plan.tensors[self.graph.inputs[0].name])}
        for op in self.graph.ops:
            if isinstance(op, Conv2D):
                out = self._conv(op, tensors[op.x])
                tensors[op.output] = round_to(out, self.plan.tensors[op.output])
            elif isinstance(op, DepthToSpace):
                tensors[op.output] = functional.pixel_shuffle(tensors[op.x], op.block)
        return tensors[self.graph.outputs[0].name]

    def _conv(self, op: Conv2D, x: Tensor) -> Tensor:
        trained = self.get_buffer(f"trained_{op.output}")
        weight, bias = self.weights[op.output], self.biases[op.output]
        keep = trained[:, None, None, None]
        weight = weight * keep + weight.detach() * (1 - keep)
        bias = bias * trained
        scale = self.get_buffer(f"scale_{op.output}")
        weight = _straight_through(torch.clamp(weight / scale, -127, 127), torch.round) * scale
        reach = [(k - 1) * d // 2 for k, d in zip(op.weight.shape[1:3], op.dilation, strict=True)]
        padding = (reach[0], reach[1]) if op.padding == "same" else (0, 0)
        out = functional.conv2d(x, weight, bias, op.stride, padding, op.dilation, op.groups)
        return functional.relu(out) if op.activation == "relu" else out

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


def round_to(x: Tensor, quant: TensorQuant) -> Tensor:
    """``x`` on the grid of ``quant``, saturated; no gradient where it saturates."""
    low, high = LIMITS[quant.dtype]
    grid = torch.clamp(x / quant.scale, low - quant.zero_point, high - quant.zero_point)
    return _straight_through(grid, torch.round) * quant.scale


def _straight_through(x: Tensor, function: object) -> Tensor:
    return x + (function(x) - x).detach()  # type: ignore[operator, no-any-return]


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
