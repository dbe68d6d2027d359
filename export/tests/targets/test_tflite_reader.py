"""A written TFLite file is read back as the graph and plan that wrote it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from graphs import picture_graph, plan_for, small_graphs, sound_graph
from lumavox_export import formats
from lumavox_export.errors import GraphError
from lumavox_export.graph import Graph, Port
from lumavox_export.npu.tflite_reader import read
from lumavox_export.quant_plan import QuantPlan

WRITE = formats.get("tflite").write


@pytest.mark.parametrize("graph", [picture_graph(), sound_graph()], ids=["picture", "sound"])
@pytest.mark.parametrize("precision", ["float32", "int8", "w8a16"])
def test_what_is_read_writes_the_same_bytes(graph: Graph, precision: str) -> None:
    if precision == "w8a16":
        graph = sound_graph()
    plan = None if precision == "float32" else plan_for(graph, precision)  # type: ignore[arg-type]
    data = WRITE(graph, plan)
    again, plan_again = read(data, graph.states)
    assert WRITE(again, plan_again) == data
    assert again.inputs == graph.inputs and again.outputs == graph.outputs and again.states == graph.states
    assert plan_again == plan or (isinstance(plan_again, QuantPlan) and plan_again.tensors == plan.tensors)  # type: ignore[union-attr]


@settings(max_examples=40, deadline=None)
@given(small_graphs())
def test_any_small_graph_survives(graph: Graph) -> None:
    plan = plan_for(graph)
    data = WRITE(graph, plan)
    assert WRITE(*read(data)) == data


def test_a_large_bias_is_read_as_the_same_integer() -> None:
    graph = picture_graph()
    graph.ops[0].bias[0] = 700.0  # type: ignore[union-attr]
    plan = plan_for(graph)
    scale = plan.tensors["luma"].scale * plan.weights["h0"][0]
    assert abs(700.0 / scale) > 2**24
    data = WRITE(graph, plan)
    assert WRITE(*read(data)) == data


def test_something_else_is_refused() -> None:
    with pytest.raises(GraphError, match="not a TFLite file"):
        read(b"\0" * 64)


def test_a_constant_is_read_with_its_value() -> None:
    graph = sound_graph()
    again, _ = read(WRITE(graph))
    value = {op.output: op for op in again.ops}["tilt"].value  # type: ignore[union-attr]
    wanted = {op.output: op for op in graph.ops}["tilt"].value  # type: ignore[union-attr]
    np.testing.assert_array_equal(value, wanted)
    assert Port("mask", (1, 1, 12, 4)) in again.outputs
