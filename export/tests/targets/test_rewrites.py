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


def test_depth_to_space_left_to_the_runtime_is_the_tail() -> None:
    network = network_of(picture_graph()).fixed(Preset("any", 5, 6))
    rewritten = rewrites.get("depth_to_space_in_runtime").apply(network)
    assert rewritten.tail == (DepthToSpace("sub", "enlarged", 2),)
    assert rewritten.graph.outputs == (Port("sub", (1, 5, 6, 4)),)


@pytest.mark.parametrize("name", [*IN_GRAPH, "depth_to_space_in_runtime"])
def test_a_rewrite_leaves_alone_what_has_nothing_to_rewrite(name: str) -> None:
    network = network_of(sound_graph())
    assert rewrites.get(name).apply(network) is network


def test_an_unknown_rewrite_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'depth_to_space_as_rows'"):
        rewrites.get("depth_to_space_as_row")
