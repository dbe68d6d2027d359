"""The network graph: wiring is checked when it is built, sizes and costs are counted."""

from __future__ import annotations

import numpy as np
import pytest

from graphs import conv, picture_graph, sound_graph
from lumavox_export.errors import GraphError
from lumavox_export.graph import Add, Concat, Constant, Conv2D, DepthToSpace, Graph, Port, Sigmoid, State

RNG = np.random.default_rng(0)
X = Port("x", (1, 4, 6, 2))


def test_unknown_sizes_stay_unknown_through_the_graph():
    assert picture_graph(block=3).shapes["enlarged"] == (1, -1, -1, 1)


def test_known_sizes_follow_from_the_inputs():
    graph = picture_graph(block=3)
    assert graph.shapes_for({"luma": (1, 5, 7, 1)})["enlarged"] == (1, 15, 21, 1)


def test_macs_and_parameters_are_those_counted_by_hand():
    graph = picture_graph(channels=8, block=2)
    weights = 8 * 9 + 4 * 9 * 8 + 8 * 9 * 8
    assert graph.parameters() == weights + 8 + 8 + 4
    assert graph.macs(10, 20) == 200 * weights


def test_macs_of_a_strided_depthwise_convolution_count_one_filter_per_channel():
    graph = Graph(
        (X,),
        (conv(RNG, "x", "y", (2, 3, 3, 1), groups=2, stride=(2, 2)),),
        (Port("y", (1, 2, 3, 2)),),
    )
    assert graph.macs() == 2 * 3 * 2 * 9


def test_states_connect_an_output_with_an_input():
    assert sound_graph().states == (State("past2", "now", 2), State("past1", "now", 1))


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ((Sigmoid("z", "y"),), "reads 'z' before it is made"),
        ((Sigmoid("x", "x"),), "made twice"),
        ((Concat(("x", "x"), "y", 0),), "axis 0"),
        ((DepthToSpace("x", "y", 2),), "no multiple"),
        ((conv(RNG, "x", "y", (3, 1, 1, 5)),), "takes 5 channels, got 2"),
        ((conv(RNG, "x", "y", (3, 5, 1, 2), padding="valid"),), "larger than its input"),
        ((Constant("c", np.zeros((1, 1, 3, 2), np.float32)), Add("x", "c", "y")), "do not fit"),
        ((Sigmoid("x", "other"),), "made by no operator"),
    ],
)
def test_wrong_wiring_is_refused_and_named(ops, message):
    with pytest.raises(GraphError, match=message):
        Graph((X,), ops, (Port("y", X.shape),))


def test_a_declared_output_shape_must_be_the_one_computed():
    with pytest.raises(GraphError, match="declared"):
        Graph((X,), (Sigmoid("x", "y"),), (Port("y", (1, 4, 6, 3)),))


def test_an_input_cannot_be_an_output_directly():
    with pytest.raises(GraphError, match="made by no operator"):
        Graph((X,), (Sigmoid("x", "y"),), (X,))


@pytest.mark.parametrize("state", [State("x", "nothing", 1), State("y", "y", 1), State("x", "y", 0)])
def test_a_state_needs_both_ends_and_a_delay(state):
    with pytest.raises(GraphError, match="needs a graph input"):
        Graph((X,), (Sigmoid("x", "y"),), (Port("y", X.shape),), (state,))


def test_a_state_needs_the_same_shape_at_both_ends():
    with pytest.raises(GraphError, match="different shapes"):
        Graph(
            (X, Port("past", (1, 4, 6, 1))),
            (Sigmoid("x", "y"),),
            (Port("y", X.shape),),
            (State("past", "y", 1),),
        )


@pytest.mark.parametrize(
    "options",
    [{"bias": np.zeros(4, np.float32)}, {"groups": 2}, {"padding": "reflect"}, {"activation": "gelu"}],
)
def test_an_impossible_convolution_is_refused(options):
    arguments = {"weight": np.zeros((3, 1, 1, 2), np.float32), "bias": np.zeros(3, np.float32)}
    with pytest.raises(GraphError, match="Conv2D 'y'"):
        Conv2D("x", "y", **{**arguments, **options})


def test_a_size_that_the_input_does_not_take_is_refused():
    with pytest.raises(GraphError, match="input 'luma' takes"):
        picture_graph().shapes_for({"luma": (1, 5, 7, 3)})
