"""The numpy interpreter against torch (float) and against LiteRT's own reference kernels (integers)."""

from __future__ import annotations

import platform

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from torch.nn import functional

from graphs import picture_graph, plan_for, quantized, random_feeds, small_graphs, sound_graph
from lumavox.errors import InputError, OptionError
from lumavox_export import fixed_point as fx
from lumavox_export import formats
from lumavox_export.engines import ENGINES, open_tflite
from lumavox_export.graph import Add, Conv2D, DepthToSpace, Graph, Mul, Port, Sigmoid
from lumavox_export.quant_plan import QuantPlan, TensorQuant
from lumavox_export.reference import run_float, run_int, stream

TFLITE = formats.get("tflite")


@pytest.mark.parametrize(
    ("kernel", "options", "torch_options"),
    [
        ((3, 3), {}, {"padding": 1}),
        ((3, 1), {"padding": "valid"}, {}),
        ((1, 3), {"dilation": (1, 2)}, {"padding": (0, 2), "dilation": (1, 2)}),
        ((1, 4), {"stride": (1, 2)}, {"padding": (0, 1), "stride": (1, 2)}),
        ((3, 3), {"groups": 4}, {"padding": 1, "groups": 4}),
    ],
)
def test_a_convolution_is_the_one_of_torch(kernel, options, torch_options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 6, 8, 4)).astype(np.float32)
    weight = rng.normal(size=(4, *kernel, 4 // options.get("groups", 1))).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    graph = Graph((Port("x", x.shape),), (Conv2D("x", "y", weight, bias, **options),), ())
    wanted = functional.conv2d(
        torch.from_numpy(x).permute(0, 3, 1, 2),
        torch.from_numpy(weight).permute(0, 3, 1, 2),
        torch.from_numpy(bias),
        **torch_options,
    )
    got = run_float(graph, {"x": x})["y"]
    np.testing.assert_allclose(got, wanted.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_depth_to_space_of_one_plane_is_pixel_shuffle():
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 9)).astype(np.float32)
    graph = Graph((Port("x", x.shape),), (DepthToSpace("x", "y", 3),), ())
    wanted = functional.pixel_shuffle(torch.from_numpy(x).permute(0, 3, 1, 2), 3)
    np.testing.assert_array_equal(run_float(graph, {"x": x})["y"][0, :, :, 0], wanted[0, 0].numpy())


@settings(max_examples=150, deadline=None)
@given(small_graphs())
def test_integers_equal_litert_reference_kernels_bit_for_bit(graph):
    plan = plan_for(graph)
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(0)))
    wanted = run_int(graph, plan, feeds)
    for name, got in open_tflite(TFLITE.write(graph, plan), "BUILTIN_REF")(feeds).items():
        np.testing.assert_array_equal(got, wanted[name], err_msg=name)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors round elsewhere")
@settings(max_examples=100, deadline=None)
@given(small_graphs())
def test_integers_equal_litert_as_products_run_it_bit_for_bit_with_its_rounding(graph):
    """XNNPACK (its default) rounds once, its built-in kernels twice.

    Depthwise convolutions, which no family of ours draws, go their own ways. ONNX Runtime rounds as XNNPACK
    does, but for values within float's error of a tie: see test_formats_onnx.
    """
    assume(all(op.groups == 1 for op in graph.ops if isinstance(op, Conv2D)))
    plan = plan_for(graph)
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(0)))
    for engine in ENGINES["tflite"].values():
        wanted = run_int(graph, plan, feeds, engine.kernels)
        for name, got in engine.open(TFLITE.write(graph, plan))(feeds).items():
            np.testing.assert_array_equal(got, wanted[name], err_msg=f"{engine} {name}")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors round elsewhere")
@pytest.mark.parametrize("scales", [(0.0321104, 0.0346993, 0.0453665), (0.02, 0.02, 0.02), (0.9, 0.001, 0.7)])
@pytest.mark.parametrize("made", [Add, Mul])
def test_every_sum_and_product_of_two_int8_values_equals_xnnpacks(made, scales):
    """Near ties are rare: one value of hundreds, in a network that remembers, moves many others."""
    shape = (1, 256, 256, 1)
    graph = Graph((Port("a", shape), Port("b", shape)), (made("a", "b", "y"),), (Port("y", shape),))
    scales = (*scales[:2], scales[2] * (100 if made is Mul else 1))
    plan = QuantPlan(
        "int8",
        {n: TensorQuant("int8", float(np.float32(s)), z) for n, s, z in zip("aby", scales, (3, -100, 17))},
        {},
    )
    every = np.arange(-128, 128, dtype=np.int8)
    a, b = (x.reshape(shape) for x in np.meshgrid(every, every))
    got = open_tflite(TFLITE.write(graph, plan))({"a": a, "b": b})["y"]
    np.testing.assert_array_equal(got, run_int(graph, plan, {"a": a, "b": b}, "xnnpack")["y"])


@settings(max_examples=40, deadline=None)
@given(small_graphs())
def test_integers_are_within_one_step_of_litert_built_in_and_default_kernels(graph):
    """Of one operator: each output is compared given the engine's own output of the operator before."""
    for op in graph.ops:
        if not op.inputs or any(name not in graph.shapes for name in op.inputs):
            continue
        constants = tuple(o for o in graph.ops if o.output in op.inputs and not o.inputs)
        real = tuple(dict.fromkeys(name for name in op.inputs if name not in {o.output for o in constants}))
        ports = tuple(Port(name, graph.shapes[name]) for name in real)
        alone = Graph(ports, (*constants, op), (Port(op.output, graph.shapes[op.output]),))
        plan = plan_for(alone)
        feeds = quantized(plan, random_feeds(alone, np.random.default_rng(0)))
        wanted = run_int(alone, plan, feeds)[op.output].astype(int)
        for resolver in ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "AUTO"):
            got = open_tflite(TFLITE.write(alone, plan), resolver)(feeds)[op.output]
            assert np.abs(got - wanted).max() <= 1, (resolver, op)


@settings(max_examples=30, deadline=None)
@given(small_graphs())
def test_16_bit_integers_equal_litert_bit_for_bit(graph):
    if any(isinstance(op, DepthToSpace) for op in graph.ops):
        return  # LiteRT has no 16-bit kernel for it; test_formats_tflite shows that it is refused
    plan = plan_for(graph, "w8a16")
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(0)))
    wanted = run_int(graph, plan, feeds)
    for name, got in open_tflite(TFLITE.write(graph, plan), "BUILTIN_REF")(feeds).items():
        np.testing.assert_array_equal(got, wanted[name], err_msg=name)


@pytest.mark.parametrize("graph", [picture_graph(), sound_graph()], ids=["picture", "sound"])
def test_networks_like_ours_equal_litert_reference_kernels(graph):
    plan = plan_for(graph)
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(5), size=(21, 33)))
    wanted = run_int(graph, plan, feeds)
    for name, got in open_tflite(TFLITE.write(graph, plan), "BUILTIN_REF")(feeds).items():
        np.testing.assert_array_equal(got, wanted[name])


@pytest.mark.parametrize("scale", [0.001, 0.02, 0.0625, 0.11, 0.9])
def test_the_sigmoid_of_every_int8_value_equals_the_kernel_and_the_function(scale):
    """The kernel exactly; the function within one step of 1/256."""
    scale = float(np.float32(scale))
    q = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
    graph = Graph((Port("x", q.shape),), (Sigmoid("x", "y"),), (Port("y", q.shape),))
    plan = QuantPlan(
        "int8", {"x": TensorQuant("int8", scale, 3), "y": TensorQuant("int8", 1 / 256, -128)}, {}
    )
    got = run_int(graph, plan, {"x": q})["y"]
    kernel = open_tflite(TFLITE.write(graph, plan), "BUILTIN_REF")({"x": q})["y"]
    np.testing.assert_array_equal(got, kernel)
    exact = 256 / (1 + np.exp(-(q.astype(float) - 3) * scale)) - 128
    assert np.abs(got - np.minimum(exact, 127)).max() <= 1


@pytest.mark.parametrize("scale", [2.0**-12, 0.00034, 0.00031, 0.0001])
def test_the_sigmoid_of_every_int16_value_equals_the_kernel(scale):
    scale = float(np.float32(scale))
    q = np.arange(-32768, 32768).astype(np.int16).reshape(1, 256, 256, 1)
    graph = Graph((Port("x", q.shape),), (Sigmoid("x", "y"),), (Port("y", q.shape),))
    plan = QuantPlan("w8a16", {"x": TensorQuant("int16", scale, 0), "y": TensorQuant("int16", 2**-15, 0)}, {})
    kernel = open_tflite(TFLITE.write(graph, plan), "BUILTIN_REF")({"x": q})["y"]
    np.testing.assert_array_equal(run_int(graph, plan, {"x": q})["y"], kernel)


def test_a_rescaled_value_is_within_one_of_the_real_product():
    rng = np.random.default_rng(0)
    x, real = rng.integers(-(2**30), 2**30, 10_000), rng.uniform(1e-6, 1.0, 10_000)
    got = fx.rescale(x, *fx.quantize_multiplier(real))
    assert np.abs(got - x * real).max() <= 1.0


def test_integer_results_approach_the_float_results():
    """Within 5 % of the range of the mask, on random weights."""
    graph = sound_graph()
    plan, feeds = plan_for(graph), random_feeds(graph, np.random.default_rng(7))
    mask = plan.tensors["mask"].dequantize(run_int(graph, plan, quantized(plan, feeds))["mask"])
    assert np.abs(mask - run_float(graph, feeds)["mask"]).max() < 0.05


@pytest.mark.parametrize("integers", [False, True])
def test_a_stream_feeds_each_state_with_the_output_of_that_many_calls_ago(integers):
    graph = sound_graph()
    plan = plan_for(graph) if integers else None
    rng = np.random.default_rng(0)
    frames = [{"features": random_feeds(graph, rng)["features"]} for _ in range(5)]
    if plan is not None:
        frames = [quantized(plan, frame) for frame in frames]
    calls = list(stream(graph, frames, plan))
    zero = 0 if plan is None else plan.tensors["past1"].zero_point
    assert np.all(calls[0][0]["past1"] == zero)
    assert np.all(calls[1][0]["past2"] == zero)
    for past, now in ((calls[t][0], calls[t - 2][1]["now"]) for t in range(2, 5)):
        np.testing.assert_array_equal(past["past2"], now)
    np.testing.assert_array_equal(calls[3][0]["past1"], calls[2][1]["now"])


def test_wrong_feeds_are_refused_and_named():
    graph, x = picture_graph(), np.zeros((1, 4, 4, 1), np.float32)
    with pytest.raises(OptionError, match="did you mean 'luma'"):
        run_float(graph, {"luna": x})
    with pytest.raises(InputError, match="needs the input 'luma'"):
        run_float(graph, {})
    with pytest.raises(InputError, match="must be int8, got float32"):
        run_int(graph, plan_for(graph), {"luma": x})
