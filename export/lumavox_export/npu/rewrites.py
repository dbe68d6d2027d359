"""Named, exact transformations that make a network legal for a target: `get(name).apply(network)`.

Each gives the same integers as before, to the bit (tested against the integer reference).

| name | does |
|---|---|
| depth_to_space_in_runtime | the target ends at the sub-pixel tensor; the runtime does DepthToSpace |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from lumavox.errors import OptionError

from ..graph import DepthToSpace, Graph, Op, Port
from .network import Network


class Rewrite(Protocol):
    """One transformation."""

    name: str

    def changes(self, op: Op) -> bool:
        """Whether it would replace this operator."""

    def apply(self, network: Network) -> Network:
        """The rewritten network, or the same object where nothing is to do."""


class _DepthToSpaceInRuntime:
    name = "depth_to_space_in_runtime"

    def changes(self, op: Op) -> bool:
        return isinstance(op, DepthToSpace)

    def apply(self, network: Network) -> Network:
        graph = network.graph
        last = graph.ops[-1]
        if not isinstance(last, DepthToSpace) or len(graph.outputs) != 1 or graph.states:
            return network
        cut = Graph(graph.inputs, graph.ops[:-1], (Port(last.x, graph.shapes[last.x]),))
        return dataclasses.replace(
            network, graph=cut, tail=(last, *network.tail), rewrites=(*network.rewrites, self.name)
        )


_ALL: Mapping[str, Rewrite] = {rewrite.name: rewrite for rewrite in (_DepthToSpaceInRuntime(),)}


def get(name: str) -> Rewrite:
    """The rewrite of that name. Raises `OptionError` naming the nearest."""
    if name not in _ALL:
        raise OptionError.unknown("rewrite", name, _ALL)
    return _ALL[name]
