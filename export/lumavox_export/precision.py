"""Mixed precision: which activations of an int8 network are worth 16 bits, and the network with them wide.

    ranked = sensitivity(graph, plan, calls)               # every tensor: gain in dB, share of MACs it costs
    chosen = choose(graph, plan, calls, budget=0.25)       # at most a quarter of the MACs with 16 bits
    wide_graph, wide_plan = widened(graph, plan, chosen.operators)

Inputs and outputs stay int8, weights too. An operator is wide or not: a wide one reads and writes int16
(TFLite's 16x8 kernels), a `Requantize` stands where the width changes. A tensor gains by 16 bits only if the
operator that makes it and one that reads it are both wide, so these are what is chosen.

Error is measured with the integer reference against the same network with 16 bits wherever they are possible:
what 8 bits of activations cost, and nothing else. It is PSNR for pictures, SI-SDR for sound (with ``calls``
of a network with states in order; the states are kept by `reference.stream`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GraphError
from .graph import Add, Constant, Conv2D, Graph, Mul, Op, Requantize, Sigmoid
from .metrics import psnr, si_sdr
from .quant_plan import QuantPlan, TensorQuant
from .reference import run_int, stream

Calls = Sequence[Mapping[str, NDArray[Any]]]  # quantized inputs without states
_KINDS = (Conv2D, Add, Mul, Sigmoid)  # with kernels of 16x8 in TFLite
_SIGMOID = TensorQuant("int16", 1 / 32768, 0)  # LiteRT accepts no other


@dataclass(frozen=True)
class Candidate:
    """A tensor; ``operators`` (by output) that must be wide for it, their share of the network's MACs, and by
    how much the error falls when only they are."""

    tensor: str
    operators: frozenset[str]
    share: float
    gain_db: float


@dataclass(frozen=True)
class Mixture:
    """What was chosen: ``operators`` (by output) for the sake of ``tensors``, their share of MACs, and the
    error in dB with no operator wide and with these."""

    tensors: tuple[str, ...]
    operators: frozenset[str]
    share: float
    narrow_db: float
    mixed_db: float

    @property
    def gain_db(self) -> float:
        return self.mixed_db - self.narrow_db


def widened(graph: Graph, plan: QuantPlan, operators: Set[str]) -> tuple[Graph, QuantPlan]:
    """The network with ``operators`` (by output) wide. Raises `GraphError` for one that cannot be."""
    by_output = {op.output: op for op in graph.ops}
    for name in operators:
        if not isinstance(by_output.get(name), _KINDS):
            kinds = ", ".join(kind.__name__ for kind in _KINDS)
            raise GraphError(f"{name!r} cannot have 16 bits: {kinds} can")
    narrow = {port.name for port in graph.outputs}
    narrow.update(name for op in graph.ops if op.output not in operators for name in op.inputs)
    tensors, weights = dict(plan.tensors), dict(plan.weights)
    ops: list[Op] = []
    made: set[str] = set()

    def wide(name: str) -> str:
        twin = f"{name}/wide"
        if twin not in made:
            made.add(twin)
            tensors[twin] = _wide(plan.tensors[name])
            source = by_output.get(name)
            if isinstance(source, Constant):
                ops.append(Constant(twin, source.value))
            else:
                ops.append(Requantize(name, twin))
        return twin

    for op in graph.ops:
        if op.output not in operators:
            if not isinstance(op, Constant) or op.output in narrow:
                ops.append(op)
            continue
        inputs, twin = [wide(name) for name in op.inputs], f"{op.output}/wide"
        made.add(twin)
        tensors[twin] = _SIGMOID if isinstance(op, Sigmoid) else _wide(plan.tensors[op.output])
        if op.output in weights:
            weights[twin] = weights.pop(op.output)
        ops.append(_with(op, inputs, twin))
        if op.output in narrow:
            ops.append(Requantize(twin, op.output))
    mixed = dataclasses.replace(graph, ops=tuple(ops))
    kept = {name: tensors[name] for name in mixed.shapes}
    return mixed, QuantPlan(plan.precision, kept, weights)


def sensitivity(graph: Graph, plan: QuantPlan, calls: Calls) -> tuple[Candidate, ...]:
    """Every tensor that can have 16 bits, the largest gain first."""
    return _Search(graph, plan, calls).ranked()


def choose(graph: Graph, plan: QuantPlan, calls: Calls, budget: float) -> Mixture:
    """Tensors one by one, that of the largest gain per cost first, while at most ``budget`` (0 to 1) of the
    MACs are wide and the error falls."""
    return _Search(graph, plan, calls).chosen(budget)


class _Search:
    def __init__(self, graph: Graph, plan: QuantPlan, calls: Calls) -> None:
        self.graph, self.plan, self.calls = graph, plan, calls
        states = {state.output for state in graph.states}
        self.names = [port.name for port in graph.outputs if port.name not in states]
        self.groups, self.macs = _groups(graph), _macs(graph, calls[0])
        self.truth = self.values(frozenset(op.output for op in graph.ops if isinstance(op, _KINDS)))
        self.narrow_db = self.error_db(frozenset())

    def values(self, operators: frozenset[str]) -> NDArray[Any]:
        """Real values of the outputs that are no states, of all calls one after the other."""
        graph, plan = widened(self.graph, self.plan, operators)
        if graph.states:
            made = [tensors for _, tensors in stream(graph, self.calls, plan)]
        else:
            made = [run_int(graph, plan, call) for call in self.calls]
        return np.concatenate([self.real(plan, tensors, name) for tensors in made for name in self.names])

    def real(self, plan: QuantPlan, tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
        """Before its last rounding to 8 bits where there is one, which would hide the others."""
        source = f"{name}/wide" if f"{name}/wide" in plan.tensors else name
        ends = self.plan.tensors[name].dequantize(np.array([-128, 127]))
        return np.clip(plan.tensors[source].dequantize(tensors[source]).ravel(), *ends)

    def error_db(self, operators: frozenset[str]) -> float:
        values = self.values(operators)
        if self.graph.states:
            return float(si_sdr(values, self.truth))
        return float(psnr(255 * values[None], 255 * self.truth[None]))

    def share(self, operators: frozenset[str]) -> float:
        return sum(self.macs.get(name, 0) for name in operators) / max(1, sum(self.macs.values()))

    def ranked(self) -> tuple[Candidate, ...]:
        found = [
            Candidate(name, group, self.share(group), self.error_db(group) - self.narrow_db)
            for name, group in self.groups.items()
        ]
        return tuple(sorted(found, key=lambda candidate: -candidate.gain_db))

    def chosen(self, budget: float) -> Mixture:
        tensors: list[str] = []
        wide: frozenset[str] = frozenset()
        best = self.narrow_db
        while True:
            steps = []
            for name, group in self.groups.items():
                union = wide | group
                if union != wide and self.share(union) <= budget:
                    gain = self.error_db(union) - best
                    cost = self.share(union) - self.share(wide)
                    steps.append((gain / max(cost, 1e-3), gain, name, union))
            steps = [step for step in steps if step[1] > 0]
            if not steps:
                return Mixture(tuple(tensors), wide, self.share(wide), self.narrow_db, best)
            _, gain, name, wide = max(steps, key=lambda step: step[:2])
            tensors.append(name)
            best += gain


def _groups(graph: Graph) -> dict[str, frozenset[str]]:
    """Tensor to the operators that must be wide for it: its maker and its readers of a kind that can be."""
    found = {}
    for op in graph.ops:
        readers = [r.output for r in graph.ops if op.output in r.inputs and isinstance(r, _KINDS)]
        if isinstance(op, _KINDS) and readers:
            found[op.output] = frozenset([op.output, *readers])
    return found


def _macs(graph: Graph, call: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Multiply-accumulates of each convolution in such a call."""
    shapes = graph.shapes_for({name: value.shape for name, value in call.items()})  # type: ignore[misc]
    return {
        op.output: int(np.prod(shapes[op.output]) * np.prod(op.weight.shape[1:]))
        for op in graph.ops
        if isinstance(op, Conv2D)
    }


def _wide(quant: TensorQuant) -> TensorQuant:
    """16 bits over the same range, symmetric as TFLite has them."""
    ends = [(q - quant.zero_point) * quant.scale for q in (-128, 127)]
    return TensorQuant("int16", float(np.float32(max(map(abs, ends)) / 32767)), 0)


def _with(op: Op, inputs: list[str], output: str) -> Op:
    if isinstance(op, (Add, Mul)):
        return type(op)(inputs[0], inputs[1], output)
    return dataclasses.replace(op, x=inputs[0], output=output)  # type: ignore[arg-type, call-arg]
