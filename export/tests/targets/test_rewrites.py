"""Rewrites give the same integers, to the bit: in the integer reference and in LiteRT's reference kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs import picture_graph, plan_for, sound_graph
from lumavox.errors import OptionError
from lumavox_export.engines import open_onnx, open_tflite
from lumavox_export.graph import Conv2D, DepthToSpace, Graph, Port
from lumavox_export.npu import rewrites
from lumavox_export.npu.network import Network
from lumavox_export.npu.presets import Preset
from lumavox_export.reference import run_float, run_int

IN_GRAPH = ("depth_to_space_as_rows", "depth_to_space_as_transpose_conv")


def network_of(graph: Graph, *, integers: bool = True) -> Network:
    plan = plan_for(graph) if integers else None
    task, scale = ("sr", 2.0) if len(graph.inputs) == 1 else ("de", 1.0)
    return Network(f"{task}/t", "1.0.0", "any", task, scale, "v", "0" * 64, graph, plan, golden={})


def two_planes(block: int) -> Graph:
    rng = np.random.default_rng(2)
    weight = rng.normal(0, 0.5, (2 * block**2, 3, 3, 1)).astype(np.float32)
    ops = (Conv2D("x", "deep", weight, np.zeros(len(weight), np.float32)), DepthToSpace("deep", "y", block))
    return Graph((Port("x", (1, -1, -1, 1)),), ops, (Port("y", (1, -1, -1, 2)),))


@pytest.mark.parametrize("name", IN_GRAPH)
@settings(max_examples=8, deadline=None)
@given(block=st.integers(2, 4), height=st.integers(1, 9), width=st.integers(1, 9), planes=st.booleans())
def test_a_rewritten_network_computes_the_same_integers(
    name: str, block: int, height: int, width: int, planes: bool
) -> None:
    graph = two_planes(block) if planes else picture_graph(block=block)
    network = network_of(graph).fixed(Preset("any", height, width))
    rewritten = rewrites.get(name).apply(network)
    assert rewritten.rewrites == (name,)
    assert not any(isinstance(op, DepthToSpace) for op in rewritten.graph.ops)
    x = np.random.default_rng(0).integers(-128, 128, network.graph.inputs[0].shape).astype(np.int8)
    feeds, output = {graph.inputs[0].name: x}, graph.outputs[0].name
    assert network.plan is not None and rewritten.plan is not None
    wanted = run_int(network.graph, network.plan, feeds)[output]
    np.testing.assert_array_equal(run_int(rewritten.graph, rewritten.plan, feeds)[output], wanted)
    np.testing.assert_array_equal(open_tflite(rewritten.tflite(), "BUILTIN_REF")(feeds)[output], wanted)


@pytest.mark.parametrize("name", IN_GRAPH)
def test_a_rewritten_float_network_computes_the_same(name: str) -> None:
    network = network_of(picture_graph(), integers=False).fixed(Preset("any", 5, 6))
    rewritten = rewrites.get(name).apply(network)
    feeds = {"luma": np.random.default_rng(0).uniform(0, 1, (1, 5, 6, 1)).astype(np.float32)}
    wanted = run_float(network.graph, feeds)["enlarged"]
    np.testing.assert_array_equal(run_float(rewritten.graph, feeds)["enlarged"], wanted)
    np.testing.assert_allclose(open_tflite(rewritten.tflite())(feeds)["enlarged"], wanted, atol=1e-5)


def test_a_transposed_convolution_is_also_written_as_onnx() -> None:
    network = network_of(picture_graph()).fixed(Preset("any", 5, 6))
    rewritten = rewrites.get("depth_to_space_as_transpose_conv").apply(network)
    feeds = {"luma": np.random.default_rng(0).integers(-128, 128, (1, 5, 6, 1)).astype(np.int8)}
    assert network.plan is not None
    wanted = run_int(network.graph, network.plan, feeds)["enlarged"].astype(int)
    assert np.abs(open_onnx(rewritten.onnx())(feeds)["enlarged"].astype(int) - wanted).max() <= 1


@settings(max_examples=20, deadline=None)
@given(
    fold=st.integers(2, 4),
    kernel=st.integers(1, 9),
    positions=st.integers(1, 5),
    channels=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid"]),
)
def test_a_folded_stride_computes_the_same_integers(
    fold: int, kernel: int, positions: int, channels: int, padding: str
) -> None:
    width = fold * positions
    if padding == "valid" and kernel > width:
        return
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.3, (3, 1, kernel, channels)).astype(np.float32)
    op = Conv2D("x", "y", weight, rng.normal(0, 1, 3).astype(np.float32), stride=(1, fold), padding=padding)
    port = Port("x", (1, 1, width, channels))
    graph = Graph((port,), (op,), (Port("y", (1, 1, op.size(1, width), 3)),))
    network = network_of(graph)
    rewritten = rewrites.get("stride_folded_into_channels").apply(network)
    assert all(op.stride == (1, 1) for op in rewritten.graph.ops if isinstance(op, Conv2D))
    feeds = {"x": rng.integers(-128, 128, port.shape).astype(np.int8)}
    assert network.plan is not None and rewritten.plan is not None
    wanted = run_int(network.graph, network.plan, feeds)["y"]
    np.testing.assert_array_equal(run_int(rewritten.graph, rewritten.plan, feeds)["y"], wanted)
    np.testing.assert_array_equal(open_tflite(rewritten.tflite(), "BUILTIN_REF")(feeds)["y"], wanted)


def test_depth_to_space_left_to_the_runtime_is_the_tail() -> None:
    network = network_of(picture_graph()).fixed(Preset("any", 5, 6))
    rewritten = rewrites.get("depth_to_space_in_runtime").apply(network)
    assert rewritten.tail == (DepthToSpace("sub", "enlarged", 2),)
    assert rewritten.graph.outputs == (Port("sub", (1, 5, 6, 4)),)


@pytest.mark.parametrize("name", [*IN_GRAPH, "depth_to_space_in_runtime"])
def test_a_rewrite_of_depth_to_space_leaves_others_alone(name: str) -> None:
    network = network_of(sound_graph())
    assert rewrites.get(name).apply(network) is network


def test_an_unknown_rewrite_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'depth_to_space_as_rows'"):
        rewrites.get("depth_to_space_as_row")
