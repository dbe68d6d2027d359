"""The order in which a graph with states can be computed for whole signals at once: `unrolled`.

Frame by frame is how a device runs such a network, and slow in training. Most of its operators can take all
frames together: what they read does not depend on what they make. Only where it does, in a `Loop`, frames
have to come one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .graph import Graph, Op, State


@dataclass(frozen=True, eq=False)
class Loop:
    """Operators that read, through ``states``, what they made in earlier frames."""

    states: tuple[State, ...]
    ops: tuple[Op, ...]


def unrolled(graph: Graph) -> tuple[Op | State | Loop, ...]:
    """What to compute, in order; a `State` stands for its input: the output, delayed.

    Every operator and every state occurs once, within a loop or by itself.
    """
    known = {port.name for port in graph.inputs} - {state.input for state in graph.states}
    ops, states = list(graph.ops), list(graph.states)
    order: list[Op | State | Loop] = []
    while ops or states:
        delayed = [state for state in states if state.output in known]
        ready = [op for op in ops if known.issuperset(op.inputs)]
        if delayed or ready:
            found: Sequence[Op | State | Loop] = [*delayed, *ready]
        else:
            found = [min((_loop(state, ops, states) for state in states), key=lambda loop: len(loop.ops))]
            delayed, ready = list(found[0].states), list(found[0].ops)  # type: ignore[union-attr]
        order += found
        known |= {state.input for state in delayed} | {op.output for op in ready}
        states = [state for state in states if state not in delayed]
        ops = [op for op in ops if op not in ready]
    return tuple(order)


def _loop(state: State, ops: Sequence[Op], states: Sequence[State]) -> Loop:
    """The smallest loop with ``state`` in it, of what is not computed yet."""
    makers, by_input = {op.output: op for op in ops}, {other.input: other for other in states}
    inside: set[State] = set()
    names: set[str] = set()
    ahead = [state.input]
    while ahead:
        name = ahead.pop()
        if name in names:
            continue
        names.add(name)
        if name in by_input:
            inside.add(by_input[name])
            ahead.append(by_input[name].output)
        elif name in makers:
            ahead += makers[name].inputs
    return Loop(tuple(s for s in states if s in inside), tuple(op for op in ops if op.output in names))
