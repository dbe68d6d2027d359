"""Mixed precision: the integers of LiteRT's reference kernels, a gain that is real, a budget that holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs import picture_graph, plan_for, quantized, random_feeds, small_graphs, sound_graph
from lumavox_export import formats
from lumavox_export.engines import open_tflite
from lumavox_export.errors import GraphError
from lumavox_export.graph import Add, Conv2D, Mul, Requantize, Sigmoid
from lumavox_export.npu.tflite_reader import read
from lumavox_export.precision import choose, sensitivity, widened
from lumavox_export.reference import run_int

TFLITE = formats.get("tflite")
CAN = (Conv2D, Add, Mul, Sigmoid)


def wide_choices(graph, data):
    """Some operators of a graph that can have 16 bits."""
    able = [op.output for op in graph.ops if isinstance(op, CAN)]
    return frozenset(data.draw(st.sets(st.sampled_from(able)))) if able else frozenset()


@settings(max_examples=120, deadline=None)
@given(small_graphs(), st.data())
def test_mixed_integers_equal_litert_reference_kernels_bit_for_bit(graph, data):
    graph, plan = widened(graph, plan_for(graph), wide_choices(graph, data))
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(0)))
    found = open_tflite(TFLITE.write(graph, plan), "BUILTIN_REF")(feeds)
    expected = run_int(graph, plan, feeds)
    for port in graph.outputs:
        np.testing.assert_array_equal(found[port.name], expected[port.name], err_msg=port.name)


@settings(max_examples=30, deadline=None)
@given(small_graphs(), st.data())
def test_a_mixed_file_is_read_back_as_it_was_written(graph, data):
    graph, plan = widened(graph, plan_for(graph), wide_choices(graph, data))
    written = TFLITE.write(graph, plan)
    again = TFLITE.write(*read(written))
    assert TFLITE.operators(again) == TFLITE.operators(written)
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(1)))
    expected = run_int(graph, plan, feeds)
    found = run_int(*read(written), feeds)  # type: ignore[arg-type]
    for port in graph.outputs:
        np.testing.assert_array_equal(found[port.name], expected[port.name], err_msg=port.name)


def test_widths_change_only_at_the_border_of_wide_operators_and_ports_stay_int8():
    graph = picture_graph()
    mixed, plan = widened(graph, plan_for(graph), frozenset({"h0", "h1"}))
    changes = [(op.x, op.output) for op in mixed.ops if isinstance(op, Requantize)]
    assert changes == [("luma", "luma/wide"), ("h1/wide", "h1")]
    assert {plan.tensors[port.name].dtype for port in (*mixed.inputs, *mixed.outputs)} == {"int8"}
    assert set(plan.tensors) == set(mixed.shapes)


def test_no_wide_operator_is_the_network_itself():
    graph = sound_graph()
    plan = plan_for(graph)
    mixed, same = widened(graph, plan, frozenset())
    assert mixed.ops == graph.ops and same == plan


def test_an_operator_without_a_kernel_of_16_bits_is_refused_by_name():
    graph = picture_graph()
    with pytest.raises(GraphError, match="'enlarged' cannot have 16 bits: Conv2D, Add, Mul, Sigmoid can"):
        widened(graph, plan_for(graph), frozenset({"enlarged"}))


@pytest.mark.parametrize("graph", [picture_graph(), sound_graph()], ids=["picture", "sound"])
def test_a_choice_keeps_to_its_budget_and_lowers_the_error(graph):
    plan = plan_for(graph)
    states = {state.input for state in graph.states}
    rng = np.random.default_rng(5)
    frames = [quantized(plan, random_feeds(graph, rng)) for _ in range(8 if states else 1)]
    calls = [{k: v for k, v in frame.items() if k not in states} for frame in frames]
    ranked = sensitivity(graph, plan, calls)
    assert [c.gain_db for c in ranked] == sorted((c.gain_db for c in ranked), reverse=True)
    budget = min(candidate.share for candidate in ranked if candidate.gain_db > 0)
    some, more = (choose(graph, plan, calls, share) for share in (budget, 1.0))
    assert 0 <= some.share <= budget and some.gain_db > 0  # Add and Mul have no MACs
    assert more.gain_db >= some.gain_db
    assert choose(graph, plan, calls, 0.0).operators <= {
        c for r in ranked if not r.share for c in r.operators
    }


def test_onnx_says_that_it_has_one_precision():
    graph = picture_graph()
    with pytest.raises(GraphError, match="one precision; write it as TFLite"):
        formats.get("onnx").write(*widened(graph, plan_for(graph), frozenset({"h0"})))
