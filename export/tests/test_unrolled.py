"""What of a network with memories can be computed for all frames together, and what cannot."""

import pytest

from graphs import sound_graph
from lumavox_export.families import de_cells
from lumavox_export.graph import Add, Graph, Port, State
from lumavox_export.unrolled import Loop, unrolled

PORT = (1, 1, 1, 1)
GRAPHS = [
    sound_graph(),
    de_cells.Network(channels=8, frequency_dilations=(1, 2), wide_after=(1,), wide_channels=8)
    .build()
    .to_graph(),
]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_operator_and_state_comes_once_and_after_what_it_reads(graph: Graph) -> None:
    known = {p.name for p in graph.inputs} - {s.input for s in graph.states}
    seen: list[object] = []
    for step in unrolled(graph):
        parts = [*step.states, *step.ops] if isinstance(step, Loop) else [step]
        made = {p.input if isinstance(p, State) else p.output for p in parts}
        read = {name for p in parts for name in ([p.output] if isinstance(p, State) else p.inputs)}
        assert read - known <= (made if isinstance(step, Loop) else set())
        known, seen = known | made, seen + parts
    assert len(seen) == len(graph.ops) + len(graph.states)
    assert set(map(id, seen)) == set(map(id, [*graph.ops, *graph.states]))


def test_only_what_reads_its_own_past_goes_frame_by_frame() -> None:
    assert not any(isinstance(step, Loop) for step in unrolled(sound_graph()))
    loops = [step for step in unrolled(GRAPHS[1]) if isinstance(step, Loop)]
    assert [[op.output for op in loop.ops] for loop in loops] == [
        [f"{name}_away", f"{name}_way", f"{name}_move", name] for name in ("memory1", "wide1", "memory2")
    ]


def test_memories_that_read_each_other_are_one_loop() -> None:
    graph = Graph(
        tuple(Port(name, PORT) for name in ("x", "a_before", "b_before")),
        (Add("x", "b_before", "a"), Add("a_before", "a_before", "b")),
        (Port("a", PORT), Port("b", PORT)),
        (State("a_before", "a", 1), State("b_before", "b", 2)),
    )
    (loop,) = unrolled(graph)
    assert isinstance(loop, Loop)
    assert (len(loop.states), len(loop.ops)) == (2, 2)
