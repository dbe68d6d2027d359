"""TFLite files: the operators of the graph and no others, integers throughout, any picture size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings

from graphs import picture_graph, plan_for, quantized, random_feeds, small_graphs, sound_graph
from lumavox.errors import OptionError
from lumavox_export import formats
from lumavox_export.engines import open_tflite
from lumavox_export.errors import GraphError
from lumavox_export.formats import tflite
from lumavox_export.graph import Conv2D
from lumavox_export.reference import run_float, run_int

TFLITE = formats.get("tflite")
GRAPHS = {"picture": picture_graph(), "sound": sound_graph()}


def tensor_types(data: bytes) -> set[str]:
    names = {value: key for key, value in vars(schema.TensorType).items() if not key.startswith("_")}
    return {names[tensor.type] for tensor in schema.ModelT.InitFromPackedBuf(data, 0).subgraphs[0].tensors}


def test_a_picture_network_is_convolutions_and_depth_to_space_only():
    graph = GRAPHS["picture"]
    for plan in (None, plan_for(graph)):
        assert TFLITE.operators(TFLITE.write(graph, plan)) == {"CONV_2D": 3, "DEPTH_TO_SPACE": 1}


def test_a_sound_network_has_no_operator_that_the_graph_has_not():
    graph = GRAPHS["sound"]
    wanted = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 1, "ADD": 2, "MUL": 1, "CONCATENATION": 1, "LOGISTIC": 1}
    for plan in (None, plan_for(graph), plan_for(graph, "w8a16")):
        assert TFLITE.operators(TFLITE.write(graph, plan)) == wanted


@pytest.mark.parametrize("name", GRAPHS)
def test_an_int8_file_holds_no_float_tensor(name):
    assert tensor_types(TFLITE.write(GRAPHS[name], plan_for(GRAPHS[name]))) == {"INT8", "INT32"}


def test_a_16_bit_file_holds_int8_weights_and_int64_biases():
    data = TFLITE.write(GRAPHS["sound"], plan_for(GRAPHS["sound"], "w8a16"))
    assert tensor_types(data) == {"INT8", "INT16", "INT64"}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_graph_gives_the_same_bytes(name):
    graph = GRAPHS[name]
    assert TFLITE.write(graph, plan_for(graph)) == TFLITE.write(graph, plan_for(graph))


def test_weights_lie_aligned_in_the_file():
    """Engines map them in place; 16 bytes is what the schema asks for."""
    data = TFLITE.write(GRAPHS["sound"], plan_for(GRAPHS["sound"]))
    model = schema.Model.GetRootAs(data, 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            field = buffer._tab.Offset(4)
            assert buffer._tab.Vector(field) % 16 == 0


@settings(max_examples=40, deadline=None)
@given(small_graphs())
def test_a_float_file_computes_the_graph(graph):
    feeds = random_feeds(graph, np.random.default_rng(0))
    wanted = run_float(graph, feeds)
    for name, got in open_tflite(TFLITE.write(graph))(feeds).items():
        np.testing.assert_allclose(got, wanted[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_one_file_takes_pictures_of_any_size_one_after_the_other():
    graph = GRAPHS["picture"]
    plan = plan_for(graph)
    run = open_tflite(TFLITE.write(graph, plan))
    for size in ((6, 10), (17, 3), (1, 1), (6, 10)):
        feeds = quantized(plan, random_feeds(graph, np.random.default_rng(0), size))
        got, wanted = run(feeds)["enlarged"], run_int(graph, plan, feeds)["enlarged"]
        assert got.shape == (1, 2 * size[0], 2 * size[1], 1)
        assert np.abs(got.astype(int) - wanted).max() <= 1


def test_the_signature_names_inputs_and_outputs_as_the_graph_does():
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=TFLITE.write(GRAPHS["sound"], plan_for(GRAPHS["sound"])))
    signature = interpreter.get_signature_list()["serving_default"]
    assert sorted(signature["inputs"]) == ["features", "past1", "past2"]
    assert sorted(signature["outputs"]) == ["mask", "now"]
    assert [d["name"] for d in interpreter.get_input_details()] == ["features", "past2", "past1"]
    assert [d["name"] for d in interpreter.get_output_details()] == ["mask", "now"]


def test_the_file_holds_the_scales_of_the_plan():
    from ai_edge_litert.interpreter import Interpreter

    plan = plan_for(GRAPHS["sound"])
    interpreter = Interpreter(model_content=TFLITE.write(GRAPHS["sound"], plan))
    for detail in [*interpreter.get_input_details(), *interpreter.get_output_details()]:
        quant = plan.tensors[detail["name"]]
        assert detail["quantization"] == (quant.scale, quant.zero_point)


def test_16_bit_depth_to_space_is_refused_since_no_kernel_exists():
    graph = GRAPHS["picture"]
    with pytest.raises(GraphError, match="DepthToSpace 'enlarged' with int16"):
        TFLITE.write(graph, plan_for(graph, "w8a16"))


def test_an_unknown_format_is_refused_and_the_known_ones_are_named():
    with pytest.raises(OptionError, match="did you mean 'tflite'"):
        formats.get("tflit")


@pytest.mark.parametrize("name", formats.names())
def test_every_format_found_offers_what_a_format_must(name):
    form = formats.get(name)
    assert form.LAYOUT in ("NHWC", "NCHW")
    assert form.SUFFIX.startswith(".")
    assert {"float32", "int8"} <= set(form.PRECISIONS)
    assert sum(form.operators(form.write(GRAPHS["picture"])).values()) >= 4


def test_float16_weights_halve_the_file_and_cost_their_rounding_only():
    """Oracle: LiteRT on the float32 file of the network with its weights rounded to float16."""
    graph = picture_graph(channels=24)
    rounded = dataclasses.replace(
        graph,
        ops=tuple(
            dataclasses.replace(op, weight=half(op.weight), bias=half(op.bias))
            if isinstance(op, Conv2D)
            else op
            for op in graph.ops
        ),
    )
    data, full = tflite.write_float16(graph), tflite.write(graph)
    assert len(data) < 0.65 * len(full)
    assert tflite.operators(data)["DEQUANTIZE"] == 6
    feeds = random_feeds(graph, np.random.default_rng(2), (12, 16))
    found, wanted = (
        open_tflite(data)(feeds)["enlarged"],
        open_tflite(tflite.write(rounded))(feeds)["enlarged"],
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def half(values):
    return values.astype(np.float16).astype(np.float32)
