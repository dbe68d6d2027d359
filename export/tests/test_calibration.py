"""Scales: which tensors share one, what is fixed, what is measured; the plan as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import conv, picture_graph, plan_for, random_feeds, sound_graph
from lumavox.errors import OptionError
from lumavox_export.calibration import calibrate, largest
from lumavox_export.errors import GraphError
from lumavox_export.graph import Add, Conv2D, Graph, Port, Sigmoid, State
from lumavox_export.quant_plan import LIMITS, Precision, QuantPlan, TensorQuant, weights_of
from lumavox_export.reference import run_int

RNG = np.random.default_rng(0)


def test_tensors_that_are_copied_share_one_scale():
    plan = plan_for(sound_graph())
    assert len({plan.tensors[name] for name in ("past2", "past1", "now", "three")}) == 1
    plan = plan_for(picture_graph())
    assert plan.tensors["sub"] == plan.tensors["enlarged"]


def test_the_mask_has_the_scale_that_litert_demands():
    assert plan_for(sound_graph()).tensors["mask"] == TensorQuant("int8", 1 / 256, -128)
    assert plan_for(sound_graph(), "w8a16").tensors["mask"] == TensorQuant("int16", 1 / 32768, 0)


def test_an_output_of_relu_uses_all_steps_above_zero():
    assert plan_for(sound_graph()).tensors["global"].zero_point == -128


def test_a_fixed_range_is_kept_also_by_the_tensors_that_share_it():
    graph = picture_graph()
    ranges = {"luma": (0.0, 1.0), "h0": (0.0, 1.0), "enlarged": (0.0, 1.0)}
    plan = calibrate(graph, [random_feeds(graph, RNG)], ranges=ranges)
    for name in ("luma", "h0", "enlarged", "sub"):
        assert plan.tensors[name] == TensorQuant("int8", float(np.float32(1 / 255)), -128)


def test_the_measured_range_holds_every_value_seen():
    graph = Graph(
        (Port("x", (1, 1, 8, 2)),), (conv(RNG, "x", "y", (3, 1, 1, 2)),), (Port("y", (1, 1, 8, 3)),)
    )
    feeds = random_feeds(graph, RNG)
    quant = calibrate(graph, [feeds]).tensors["x"]
    error = np.abs(quant.dequantize(quant.quantize(feeds["x"])) - feeds["x"])
    assert error.max() <= 0.51 * quant.scale


def test_a_percentile_ignores_a_rare_outlier():
    graph = Graph((Port("x", (1, 1, 500, 1)),), (conv(RNG, "x", "y", (1, 1, 1, 1)),), ())
    x = RNG.uniform(0, 1, (1, 1, 500, 1)).astype(np.float32)
    x[0, 0, 7] = 100.0
    assert calibrate(graph, [{"x": x}]).tensors["x"].scale * 255 > 99
    assert calibrate(graph, [{"x": x}], percentile=99.0).tensors["x"].scale * 255 < 2


def test_what_moves_a_memory_is_not_cut_and_in_8_bits_as_fine_as_the_memory():
    """x sees a rare value, and so does y, which is added to a small or a large state."""
    one = (1, 1, 1, 1)
    graph = Graph(
        (Port("x", one), Port("before", one)),
        (Conv2D("x", "y", np.ones(one, np.float32), np.zeros(1, np.float32)), Add("before", "y", "h")),
        (Port("h", one),),
        (State("before", "h", 1),),
    )
    values = [1.0] * 500 + [100.0]

    def steps(before: float, precision: Precision) -> dict[str, float]:
        samples = [
            {"x": np.full(one, v, np.float32), "before": np.full(one, before, np.float32)} for v in values
        ]
        plan = calibrate(graph, samples, percentile=99.0, precision=precision)
        return {name: plan.tensors[name].scale * (255 if precision == "int8" else 32767) for name in "xyh"}

    large = steps(400.0, "int8")
    assert large["x"] < 2 and 99 < large["y"] < 101
    small = steps(3.0, "int8")
    assert small["x"] < 2 and small["y"] == small["h"] < 6
    assert 99 < steps(3.0, "w8a16")["y"] < 101


@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_what_a_sigmoid_reads_spans_what_its_output_tells_apart(precision: Precision):
    """All that lies beyond gives the same steps; in 16 bits there is room for it."""
    graph = Graph(
        (Port("x", (1, 1, 400, 1)),),
        (conv(RNG, "x", "y", (1, 1, 1, 1)), Sigmoid("y", "z")),
        (Port("z", (1, 1, 400, 1)),),
    )
    graph = replace(
        graph, ops=(replace(graph.ops[0], weight=np.ones((1, 1, 1, 1), np.float32)), graph.ops[1])
    )
    feeds = {"x": np.linspace(-40, 40, 400, dtype=np.float32).reshape(1, 1, 400, 1)}
    plan = calibrate(graph, [feeds], precision=precision)
    low, high = plan.tensors["y"].dequantize(np.array(LIMITS[plan.tensors["y"].dtype]))
    assert -12 < low < -6.3 and 5.2 < high < 12
    made = run_int(graph, plan, {"x": plan.tensors["x"].quantize(feeds["x"])})["z"]
    x = plan.tensors["x"].dequantize(plan.tensors["x"].quantize(feeds["x"])) + graph.ops[0].bias
    wanted = plan.tensors["z"].quantize(1 / (1 + np.exp(-x.astype(np.float64))))
    outside = (x < low) | (x > high)
    assert outside.sum() > 200
    apart = np.abs(made[outside].astype(int) - wanted[outside])
    assert apart.max() <= (0 if precision == "int8" else 1)  # the table of 16 bits is within one step


def test_the_largest_of_a_channel_is_over_all_samples_and_places():
    graph = Graph((Port("x", (1, 1, 2, 2)),), (conv(RNG, "x", "y", (1, 1, 1, 2)),), ())
    samples = [
        {"x": np.array([[[[1, -5], [2, 0]]]], np.float32)}, {"x": np.array([[[[-3, 1], [0, 4]]]], np.float32)}
    ]  # fmt: skip
    assert largest(graph, samples)["x"].tolist() == [3.0, 5.0]


def test_a_tensor_that_is_always_zero_gets_a_usable_scale():
    graph = Graph((Port("x", (1, 1, 4, 1)),), (conv(RNG, "x", "y", (1, 1, 1, 1)),), ())
    assert calibrate(graph, [{"x": np.zeros((1, 1, 4, 1), np.float32)}]).tensors["x"].scale > 1e-3


def test_given_weight_scales_replace_the_measured_ones():
    graph = picture_graph()
    plan = calibrate(graph, [random_feeds(graph, RNG)], weight_scales={"h0": np.full(8, 0.5)})
    assert plan.weights["h0"] == (0.5,) * 8
    weight, _ = weights_of(graph.ops[0], plan)
    np.testing.assert_array_equal(weight, np.rint(graph.ops[0].weight / 0.5))


def test_quantized_weights_are_within_half_a_step_and_the_bias_too():
    graph = picture_graph()
    plan = plan_for(graph)
    for op in graph.ops[:3]:
        weight, bias = weights_of(op, plan)
        steps = np.array(plan.weights[op.output])
        assert np.abs(weight * steps[:, None, None, None] - op.weight).max() <= 0.5001 * steps.max()
        bias_steps = steps * plan.tensors[op.x].scale
        assert np.all(np.abs(bias * bias_steps - op.bias) <= 0.5001 * bias_steps)


@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_a_plan_survives_json(precision):
    plan = plan_for(sound_graph(), precision)
    assert QuantPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@given(st.dictionaries(st.sampled_from(["precision", "tensors", "weight"]), st.just("int8")))
def test_a_plan_with_unknown_or_missing_keys_is_refused(data):
    with pytest.raises(OptionError, match="key"):
        QuantPlan.from_dict({k: v for k, v in data.items() if k != "tensors"})


def test_impossible_requests_are_refused_and_the_nearest_is_named():
    graph = picture_graph()
    feeds = [random_feeds(graph, RNG)]
    with pytest.raises(OptionError, match="did you mean 'luma'"):
        calibrate(graph, feeds, ranges={"luna": (0, 1)})
    with pytest.raises(OptionError, match="unknown convolution"):
        calibrate(graph, feeds, weight_scales={"luma": np.ones(1)})
    with pytest.raises(OptionError, match="unknown precision 'int4'"):
        calibrate(graph, feeds, precision="int4")
    with pytest.raises(OptionError, match="percentile"):
        calibrate(graph, feeds, percentile=10)
    with pytest.raises(GraphError, match="at least one sample"):
        calibrate(graph, [])
