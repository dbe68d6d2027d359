"""Named, exact transformations that make a network legal for a target: `get(name).apply(network)`.

Each gives the same integers as before, to the bit (tested against the integer reference).

| name | does |
|---|---|
| depth_to_space_as_rows | one-hot 1x1 convolutions pick the rows of a cell, laid side by side, one reshape |
| depth_to_space_as_transpose_conv | DepthToSpace becomes a transposed convolution with one-hot weights |
| depth_to_space_in_runtime | the target ends at the sub-pixel tensor; the runtime does DepthToSpace |
| stride_folded_into_channels | a convolution with a stride along the width reads several pixels as channels |

As rows: with the depth in the order (row of the cell, column, channel), the depths of one row at one pixel
are consecutive pixels of that row. So ``(1, H, W, block * C)`` per row, laid one after the other along W, is
the enlarged picture in memory, and the reshape costs nothing. It takes any block, and NPUs write it in order;
the transposed convolution writes single bytes far apart, which some are slow at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from lumavox.errors import OptionError

from ..graph import ANY, Concat, Conv2D, DepthToSpace, Graph, Op, Port, Reshape, TransposeConv2D
from ..quant_plan import QuantPlan, TensorQuant
from .network import Network


class Rewrite(Protocol):
    """One transformation."""

    name: str

    def changes(self, op: Op) -> bool:
        """Whether it would replace this operator."""

    def apply(self, network: Network) -> Network:
        """The rewritten network, or the same object where nothing is to do."""


def get(name: str) -> Rewrite:
    """The rewrite of that name. Raises `OptionError` naming the nearest."""
    if name not in _ALL:
        raise OptionError.unknown("rewrite", name, _ALL)
    return _ALL[name]


class _OfDepthToSpace:
    """What the three have in common."""

    def changes(self, op: Op) -> bool:
        return isinstance(op, DepthToSpace)


class _AsRows(_OfDepthToSpace):
    name = "depth_to_space_as_rows"

    def apply(self, network: Network) -> Network:
        ops: list[Op] = []
        draft = _Draft(network.plan)
        for op in network.graph.ops:
            shape = network.graph.shapes[op.output]
            if not isinstance(op, DepthToSpace) or ANY in shape:
                ops.append(op)
                continue
            depth = network.graph.shapes[op.x][3]
            rows = []
            for row, one_hot in enumerate(np.split(np.eye(depth, dtype=np.float32), op.block)):
                name = f"{op.output}/row{row}"
                weight = one_hot[:, None, None, :].copy()
                ops.append(Conv2D(op.x, name, weight, np.zeros(len(weight), np.float32)))
                draft.copied(name, op.x, len(weight))
                rows.append(name)
            beside = f"{op.output}/rows"
            draft.copied(beside, op.x)
            ops += [Concat(tuple(rows), beside, 2), Reshape(beside, op.output, shape)]
        return draft.network(network, ops, self.name)


class _AsTransposeConv(_OfDepthToSpace):
    name = "depth_to_space_as_transpose_conv"

    def apply(self, network: Network) -> Network:
        ops: list[Op] = []
        draft = _Draft(network.plan)
        for op in network.graph.ops:
            if not isinstance(op, DepthToSpace):
                ops.append(op)
                continue
            depth = network.graph.shapes[op.x][3]
            outputs = depth // op.block**2
            # Depth (row * block + column) * outputs + o goes to pixel (row, column) of output o.
            one_hot = np.eye(depth, dtype=np.float32).reshape(op.block, op.block, outputs, depth)
            ops.append(TransposeConv2D(op.x, op.output, one_hot.transpose(2, 0, 1, 3).copy()))
            draft.copied(op.output, op.x, outputs)
        return draft.network(network, ops, self.name)


class _InRuntime(_OfDepthToSpace):
    name = "depth_to_space_in_runtime"

    def apply(self, network: Network) -> Network:
        graph = network.graph
        last = graph.ops[-1]
        if not isinstance(last, DepthToSpace) or len(graph.outputs) != 1 or graph.states:
            return network
        cut = Graph(graph.inputs, graph.ops[:-1], (Port(last.x, graph.shapes[last.x]),))
        return dataclasses.replace(
            network, graph=cut, tail=(last, *network.tail), rewrites=(*network.rewrites, self.name)
        )


class _StrideFolded:
    """Pixels ``stride * p + i`` become channel ``i`` of pixel ``p`` (a reshape, memory stays as it is), the
    kernel likewise; taps that the kernel had not are zero. Heights are left alone."""

    name = "stride_folded_into_channels"

    def changes(self, op: Op) -> bool:
        return isinstance(op, Conv2D) and op.stride[1] > 1 and op.groups == 1 and op.dilation[1] == 1

    def apply(self, network: Network) -> Network:
        ops: list[Op] = []
        draft = _Draft(network.plan)
        for op in network.graph.ops:
            shape = network.graph.shapes[op.inputs[0]] if op.inputs else (1, 1, 1, 1)
            n, h, w, c = shape
            if not (isinstance(op, Conv2D) and self.changes(op)) or ANY in shape or w % op.stride[1]:
                ops.append(op)
                continue
            fold, before = op.stride[1], op.pads(1, w)[0]
            first, last = -before // fold, (op.weight.shape[2] - 1 - before) // fold
            same = op.padding == "same"
            reach = max(-first, last)  # "same" pads both sides alike: the kernel must be symmetrical
            first, last = (-reach, reach) if same else (first, last)
            weight = np.zeros((*op.weight.shape[:2], last - first + 1, fold * c), np.float32)
            for tap in range(op.weight.shape[2]):
                position, inside = divmod(tap - before, fold)
                weight[:, :, position - first, inside * c : (inside + 1) * c] = op.weight[:, :, tap]
            folded = f"{op.output}/folded"
            draft.copied(folded, op.x)
            ops.append(Reshape(op.x, folded, (n, h, w // fold, fold * c)))
            ops.append(dataclasses.replace(op, x=folded, weight=weight, stride=(op.stride[0], 1)))
        return draft.network(network, ops, self.name)


class _Draft:
    """A plan being extended by tensors that hold copies of others."""

    def __init__(self, plan: QuantPlan | None) -> None:
        self.plan = plan
        self.tensors: dict[str, TensorQuant] = {}
        self.weights: dict[str, tuple[float, ...]] = {}

    def copied(self, name: str, source: str, channels: int = 0) -> None:
        """``name`` has the scale of ``source``; one-hot weights on the scale 1 pass integers as they are."""
        if self.plan is not None:
            self.tensors[name] = self.plan.tensors[source]
            if channels:
                self.weights[name] = (1.0,) * channels

    def network(self, network: Network, ops: list[Op], name: str) -> Network:
        if len(ops) == len(network.graph.ops) and all(a is b for a, b in zip(ops, network.graph.ops)):
            return network
        plan = self.plan and dataclasses.replace(
            self.plan,
            tensors={**self.plan.tensors, **self.tensors},
            weights={**self.plan.weights, **self.weights},
        )
        graph = dataclasses.replace(network.graph, ops=tuple(ops))
        return dataclasses.replace(network, graph=graph, plan=plan, rewrites=(*network.rewrites, name))


_ALL: Mapping[str, Rewrite] = {
    rewrite.name: rewrite for rewrite in (_AsRows(), _AsTransposeConv(), _InRuntime(), _StrideFolded())
}
