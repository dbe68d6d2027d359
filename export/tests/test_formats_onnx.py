"""ONNX files: NCHW without transposes, QDQ with integer inputs and outputs, any picture size."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs import conv, picture_graph, plan_for, quantized, random_feeds, small_graphs, sound_graph
from lumavox_export import formats
from lumavox_export.engines import open_onnx
from lumavox_export.errors import GraphError
from lumavox_export.formats.onnx import from_unsigned, to_unsigned, with_nhwc_ports, write_unsigned
from lumavox_export.graph import Concat, Constant, Graph, Port
from lumavox_export.quant_plan import TensorQuant
from lumavox_export.reference import run_float, run_int

ONNX = formats.get("onnx")
GRAPHS = {"picture": picture_graph(), "sound": sound_graph()}
PLAN = plan_for(GRAPHS["picture"], "w8a16")


def test_a_picture_network_is_convolutions_relu_and_depth_to_space_only():
    graph = GRAPHS["picture"]
    assert ONNX.operators(ONNX.write(graph)) == {"Conv": 3, "Relu": 2, "DepthToSpace": 1}
    found = ONNX.operators(ONNX.write(graph, plan_for(graph)))
    assert set(found) == {"Conv", "Relu", "DepthToSpace", "QuantizeLinear", "DequantizeLinear"}


@pytest.mark.parametrize("name", GRAPHS)
def test_integer_files_begin_and_end_with_integers(name):
    graph = GRAPHS[name]
    model = onnx.load_from_string(ONNX.write(graph, plan_for(graph))).graph
    assert {v.type.tensor_type.elem_type for v in [*model.input, *model.output]} == {onnx.TensorProto.INT8}
    weights = [i for i in model.initializer if i.name.endswith("/weight")]
    assert {w.data_type for w in weights} == {onnx.TensorProto.INT8}
    assert len(weights) == sum(hasattr(op, "weight") for op in graph.ops)


@pytest.mark.parametrize("name", GRAPHS)
def test_onnx_runtime_can_execute_the_whole_file_in_integers(name, tmp_path):
    """Every operator finds its QDQ pattern. Left alone on x86, ONNX Runtime uses its faster uint8 kernels
    where it can, and float between int8 and uint8."""
    graph = GRAPHS[name]
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this machine only
    onnxruntime.InferenceSession(
        ONNX.write(graph, plan_for(graph)), options, providers=["CPUExecutionProvider"]
    )
    found = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    integer = {"QLinearConv", "QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearSigmoid"}
    assert found <= integer | {"DepthToSpace", "Transpose"}  # its integer convolution is channels-last


@settings(max_examples=40, deadline=None)
@given(small_graphs())
def test_a_float_file_computes_the_graph(graph):
    feeds = random_feeds(graph, np.random.default_rng(0))
    wanted = run_float(graph, feeds)
    for name, got in open_onnx(ONNX.write(graph))(feeds).items():
        np.testing.assert_allclose(got, wanted[name], rtol=1e-4, atol=1e-4, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(small_graphs())
def test_an_integer_file_differs_by_one_step_at_the_first_difference(graph):
    plan = plan_for(graph)
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(0)))
    wanted, got = run_int(graph, plan, feeds), open_onnx(ONNX.write(graph, plan))(feeds)
    for op in graph.ops:
        if op.output in got:
            steps = np.abs(got[op.output].astype(int) - wanted[op.output]).max()
            assert steps <= 1, op
            if steps:
                return  # what follows starts from another value


def test_one_file_takes_pictures_of_any_size_one_after_the_other():
    graph = GRAPHS["picture"]
    run = open_onnx(ONNX.write(graph))
    for size in ((6, 10), (17, 3), (1, 1)):
        feeds = random_feeds(graph, np.random.default_rng(0), size)
        np.testing.assert_allclose(run(feeds)["enlarged"], run_float(graph, feeds)["enlarged"], atol=1e-5)


def test_a_strided_convolution_of_any_size_pads_as_tflite_does():
    rng = np.random.default_rng(0)
    op = conv(rng, "x", "y", (2, 3, 4, 1), stride=(2, 2))
    graph = Graph((Port("x", (1, -1, -1, 1)),), (op,), (Port("y", (1, -1, -1, 2)),))
    run = open_onnx(ONNX.write(graph))
    for size in ((7, 8), (8, 7)):
        feeds = random_feeds(graph, rng, size)
        np.testing.assert_allclose(run(feeds)["y"], run_float(graph, feeds)["y"], atol=1e-5)


def test_an_axis_means_the_same_in_both_layouts():
    value = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    for axis in (1, 2, 3):
        port = Port("x", (1, 1, 2, 3))
        shape = tuple(2 * s if i == axis else s for i, s in enumerate(port.shape))
        graph = Graph((port,), (Constant("c", value), Concat(("x", "c"), "y", axis)), (Port("y", shape),))
        feeds = {"x": -value}
        np.testing.assert_array_equal(
            open_onnx(ONNX.write(graph))(feeds)["y"], np.concatenate([-value, value], axis)
        )


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_graph_gives_the_same_bytes(name):
    graph = GRAPHS[name]
    assert ONNX.write(graph, plan_for(graph)) == ONNX.write(graph, plan_for(graph))


def test_other_precisions_are_refused():
    with pytest.raises(GraphError, match="not w8a16"):
        ONNX.write(GRAPHS["sound"], plan_for(GRAPHS["sound"], "w8a16"))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_wide_file_computes_the_integers_of_its_plan(name):
    """Oracle: the integer reference. ONNX Runtime computes in float between roundings to 16 bits; each
    rounding may differ by a step, and later layers carry it on."""
    graph = GRAPHS[name]
    plan = plan_for(graph, "w8a16")
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(3)))
    found = open_onnx(write_unsigned(graph, plan))({key: to_unsigned(q) for key, q in feeds.items()})
    expected = run_int(graph, plan, feeds)
    for port in graph.outputs:
        q = from_unsigned(graph, plan, port.name, found[port.name])
        assert q.dtype == np.int16
        assert np.abs(q.astype(int) - expected[port.name]).max() <= 4


@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_16_bits_are_the_same_after_being_wide(values):
    q = np.array(values, np.int16)
    np.testing.assert_array_equal(from_unsigned(GRAPHS["picture"], PLAN, "luma", to_unsigned(q)), q)


def test_a_wide_relu_stands_between_quantized_tensors():
    nodes = onnx.load_from_string(write_unsigned(GRAPHS["picture"], PLAN)).graph.node
    makers, readers = {n.output[0]: n for n in nodes}, {n.input[0]: n for n in nodes}
    relus = [node for node in nodes if node.op_type == "Relu"]
    assert relus
    for node in relus:
        assert makers[node.input[0]].op_type == "DequantizeLinear"
        assert readers[node.output[0]].op_type == "QuantizeLinear"


def test_biases_have_32_bits():
    tiny = dataclasses.replace(PLAN, tensors={**PLAN.tensors, "luma": TensorQuant("int16", 1e-12, 0)})
    with pytest.raises(GraphError, match="'h0': a bias needs more than the 32 bits"):
        write_unsigned(GRAPHS["picture"], tiny)


@pytest.mark.parametrize("name", GRAPHS)
def test_unsigned_bytes_are_the_same_integers(name):
    graph = GRAPHS[name]
    plan = plan_for(graph)
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(5)))
    unsigned = {key: to_unsigned(q) for key, q in feeds.items()}
    # Optimised, ONNX Runtime saturates unsigned products on CPUs without VNNI: here the file counts.
    found, expected = (
        _exactly(write_unsigned(graph, plan), unsigned),
        _exactly(ONNX.write(graph, plan), feeds),
    )
    for port, value in zip(graph.outputs, found):
        assert value.dtype == np.uint8
        np.testing.assert_array_equal(
            from_unsigned(graph, plan, port.name, value), expected[graph.outputs.index(port)]
        )


def _exactly(data, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: formats.to_layout(value, "NCHW") for name, value in feeds.items()})


@pytest.mark.parametrize("name", GRAPHS)
def test_nhwc_ports_change_nothing_but_the_layout(name):
    graph = GRAPHS[name]
    plan = plan_for(graph)
    feeds = quantized(plan, random_feeds(graph, np.random.default_rng(4)))
    data = ONNX.write(graph, plan)
    session = onnxruntime.InferenceSession(with_nhwc_ports(data), providers=["CPUExecutionProvider"])
    expected = open_onnx(data)(feeds)
    for port, value in zip(graph.outputs, session.run([p.name for p in graph.outputs], feeds)):
        np.testing.assert_array_equal(value, expected[port.name])


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_layout_and_back_is_the_same_array(layout):
    x = np.arange(24).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(formats.from_layout(formats.to_layout(x, layout), layout), x)
