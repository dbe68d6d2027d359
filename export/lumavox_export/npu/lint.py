"""Which operator of a graph breaks which rule of a target, and which rewrite would help.

    for finding in lint(network, target): print(finding)
    network = legal(network, target)        # rewritten as the target needs it, or RefusedError

It looks at data (`targets.base.Rules`); a target's own tool has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RefusedError
from ..graph import ANY, Add, Concat, Conv2D, Graph, Mul, Op, TransposeConv2D
from . import rewrites
from .network import Network

if TYPE_CHECKING:
    from ..targets.base import Limits, Rules, Target

_BYTES = {"float32": 4, "float16": 2, "w8a16": 2, "int8": 1}


@dataclass(frozen=True)
class Finding:
    """One broken rule; ``operator`` is the kind and the output of a layer."""

    operator: str
    rule: str
    rewrite: str | None = None  # the name of one that would help

    def __str__(self) -> str:
        return f"{self.operator}: {self.rule}" + (f"; rewrite: {self.rewrite}" if self.rewrite else "")


def kind_of(op: Op) -> str:
    """The operator's name in a target's rules."""
    return "DepthwiseConv2D" if isinstance(op, Conv2D) and op.groups > 1 else type(op).__name__


def lint(network: Network, target: Target) -> tuple[Finding, ...]:
    """Every broken rule, in the order of the graph."""
    findings = []
    if network.precision not in target.precisions:
        findings.append(
            Finding("network", f"is {network.precision}, {target.name} takes {', '.join(target.precisions)}")
        )
    return (*findings, *_graph(network.graph, target.rules, _BYTES[network.precision]))


def _graph(graph: Graph, rules: Rules, element: int) -> Iterator[Finding]:
    shapes = graph.shapes
    for port in graph.inputs:
        if rules.static and ANY in port.shape:
            yield Finding(
                f"input {port.name}", f"shape {port.shape} is open; fix it with a preset (--preset)"
            )
    for op in graph.ops:
        kind = kind_of(op)
        where = f"{kind} {op.output}"
        if kind not in rules.operators:
            yield Finding(where, "operator is not supported", _helpful(op, rules))
            continue
        for said in _limits(op, rules.operators[kind], [shapes[name] for name in op.inputs]):
            yield Finding(where, said, _helpful(op, rules))
        shape = shapes[op.output]
        kib = int(np.prod(shape)) * element / 1024
        if ANY not in shape and rules.largest_tensor_kib is not None and kib > rules.largest_tensor_kib:
            yield Finding(where, f"{kib:.0f} KiB in one tensor, at most {rules.largest_tensor_kib}")


def _limits(op: Op, limits: Limits, shapes: list[tuple[int, ...]]) -> Iterator[str]:
    if isinstance(op, Conv2D):
        reach = [(op.weight.shape[1 + axis] - 1) * op.dilation[axis] + 1 for axis in (0, 1)]
        if limits.kernel is not None and (reach[0] > limits.kernel[0] or reach[1] > limits.kernel[1]):
            yield f"kernel {reach[0]}x{reach[1]} (dilated), at most {limits.kernel[0]}x{limits.kernel[1]}"
        if limits.kernel_area is not None and reach[0] * reach[1] > limits.kernel_area:
            yield f"kernel of {reach[0] * reach[1]} taps (dilated), at most {limits.kernel_area}"
        if limits.stride is not None and max(op.stride) > limits.stride:
            yield f"stride {op.stride}, at most {limits.stride}"
        if limits.dilation is not None and max(op.dilation) > limits.dilation:
            yield f"dilation {op.dilation}, at most {limits.dilation}"
        if limits.channels is not None and max(op.channels_in, op.weight.shape[0]) > limits.channels:
            yield f"{op.channels_in} to {op.weight.shape[0]} channels, at most {limits.channels}"
    if isinstance(op, TransposeConv2D) and limits.stride is not None and op.block > limits.stride:
        yield f"stride {op.block}, at most {limits.stride}"
    if isinstance(op, (Add, Mul)) and not limits.broadcast and shapes[0] != shapes[1]:
        yield f"inputs of shapes {shapes[0]} and {shapes[1]}; they must be equal"
    if isinstance(op, Concat) and limits.inputs is not None and len(op.xs) > limits.inputs:
        yield f"{len(op.xs)} inputs, at most {limits.inputs}"


def legal(network: Network, target: Target) -> Network:
    """The network after those of the target's rewrites that remove findings, best first.

    Raises `RefusedError` for what remains, naming operator, rule and the rewrite that would help.
    """
    remaining = lint(network, target)
    for name in target.rules.rewrites:
        if not remaining:
            break
        candidate = rewrites.get(name).apply(network)
        fewer = lint(candidate, target)
        if candidate is not network and len(fewer) < len(remaining):
            network, remaining = candidate, fewer
    if remaining:
        said = "; ".join(str(finding) for finding in remaining)
        raise RefusedError(f"{network.model} ({network.content}) is not legal for {target.name}: {said}")
    return network


def _helpful(op: Op, rules: Rules) -> str | None:
    """The first of the target's rewrites that changes this operator."""
    return next((name for name in rules.rewrites if rewrites.get(name).changes(op)), None)
