"""Rounds the weights of a graph so that their errors cancel: `compensate`.

Rounding every weight to the nearest step leaves each convolution with an error that its inputs see as a
whole: a kernel that copies luma no longer sums to one, and flat areas shift. Here the weights of a filter are
rounded one after the other, and those not yet rounded take over the error, weighted by how the inputs go
together (GPTQ, Frantar et al., arXiv:2210.17323). Biases, which keep 32 bits, come last. Layer by layer, what
the rounded layers before got wrong is corrected as far as a linear layer can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .errors import GraphError
from .graph import Conv2D, DepthToSpace, Graph, Op
from .qat import convolved, padded, passes_on, round_to
from .quant_plan import QuantPlan

DAMPING = 0.01  # of the mean input power: keeps weights of inputs that hardly occur where they are
POSITIONS = 60_000  # places of the feature maps that are looked at


@torch.no_grad()
def compensate(graph: Graph, plan: QuantPlan, samples: Iterable[Mapping[str, NDArray[np.float32]]]) -> Graph:
    """The graph with every weight on the grid of ``plan``.

    ``samples`` are feeds of the input, NHWC, all of one size. Takes stateless graphs of full convolutions
    and DepthToSpace with one input; raises GraphError for others.
    """
    if graph.states or len(graph.inputs) != 1:
        raise GraphError("compensated rounding takes a graph of one input and no states")
    name = graph.inputs[0].name
    batch = np.concatenate([feeds[name] for feeds in samples])
    x = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
    exact, rounded = {name: x}, {name: round_to(x, plan.tensors[name])}
    ops: list[Op] = []
    for op in graph.ops:
        if isinstance(op, DepthToSpace):
            ops.append(op)
            continue
        if not isinstance(op, Conv2D) or op.groups != 1:
            raise GraphError(f"compensated rounding does not know {type(op).__name__} yet")
        made = _rounded(op, plan, exact[op.x], rounded[op.x])
        exact[op.output] = _run(op, exact[op.x])
        rounded[op.output] = round_to(_run(made, rounded[op.x]), plan.tensors[op.output])
        ops.append(made)
    return replace(graph, ops=tuple(ops))


def _rounded(op: Conv2D, plan: QuantPlan, exact: Tensor, rounded: Tensor) -> Conv2D:
    wanted, seen = _columns(op, exact), _columns(op, rounded)
    weight = torch.from_numpy(op.weight.transpose(0, 3, 1, 2).reshape(len(op.weight), -1).copy()).double()
    full = torch.cat([weight, torch.from_numpy(op.bias.copy()).double()[:, None]], 1)
    power = seen @ seen.T / seen.shape[1]
    damping = DAMPING * power.diagonal()[:-1].mean() * torch.eye(len(power), dtype=torch.float64)
    damping[-1, -1] = 1e-9
    right = (full @ (wanted @ seen.T / seen.shape[1])) + full @ damping
    best = torch.linalg.solve(power + damping, right.T).T
    scale = torch.tensor(plan.weights[op.output], dtype=torch.float64)
    order = torch.cat([power.diagonal()[:-1].argsort(descending=True), torch.tensor([len(power) - 1])])
    found = torch.empty_like(best)
    found[:, order] = _one_by_one(best[:, order], (power + damping)[order][:, order], scale)
    keep = torch.from_numpy(passes_on(op))
    found[keep] = full[keep]
    kernel = found[:, :-1].reshape(len(op.weight), op.weight.shape[3], *op.weight.shape[1:3])
    arrays = [a.float().contiguous().numpy() for a in (kernel.permute(0, 2, 3, 1), found[:, -1])]
    return replace(op, weight=arrays[0], bias=arrays[1])


def _one_by_one(weight: Tensor, power: Tensor, scale: Tensor) -> Tensor:
    """Round all columns but the last; each error moves on to the columns that follow."""
    spread = torch.linalg.cholesky(torch.linalg.inv(power), upper=True)
    left, out = weight.clone(), weight.clone()
    for j in range(weight.shape[1] - 1):
        out[:, j] = torch.clamp(torch.round(left[:, j] / scale), -127, 127) * scale
        error = (left[:, j] - out[:, j]) / spread[j, j]
        left[:, j + 1 :] -= error[:, None] * spread[j, j + 1 :]
    out[:, -1] = left[:, -1]
    return out


def _columns(op: Conv2D, x: Tensor) -> Tensor:
    """What the kernel sees at some positions: ``(inputs * kernel_h * kernel_w + 1, positions)``."""
    columns = functional.unfold(padded(op, x), op.weight.shape[1:3], op.dilation, 0, op.stride)
    every = max(1, columns.shape[0] * columns.shape[2] // POSITIONS)
    flat = columns[:, :, ::every].permute(1, 0, 2).flatten(1).double()
    return torch.cat([flat, torch.ones(1, flat.shape[1], dtype=torch.float64)])


def _run(op: Conv2D, x: Tensor) -> Tensor:
    weight, bias = torch.from_numpy(op.weight.transpose(0, 3, 1, 2).copy()), torch.from_numpy(op.bias)
    return convolved(op, x, weight, bias)
