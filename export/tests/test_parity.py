"""The parity chain: it holds for right files, and raises and names the link for wrong ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from graphs import picture_graph, plan_for, random_feeds, sound_graph
from lumavox_export import formats
from lumavox_export.errors import ParityError
from lumavox_export.graph import Graph
from lumavox_export.parity import ExportedFile, Tolerances, check
from lumavox_export.quant_plan import QuantPlan, TensorQuant
from lumavox_export.reference import run_float

PICTURE, SOUND = picture_graph(), sound_graph()
FEEDS = [random_feeds(PICTURE, np.random.default_rng(seed), (16, 12)) for seed in range(2)]


def written(graph: Graph, plan: QuantPlan | None, *names: str) -> list[ExportedFile]:
    return [ExportedFile(name, graph, plan, formats.get(name).write(graph, plan)) for name in names]


def in_float(graph: Graph, gain: float = 1.0):
    """Stands for the network in torch; ``gain`` makes it another one."""
    return lambda feeds: {name: gain * value for name, value in run_float(graph, feeds).items()}


def test_every_engine_agrees_on_a_picture_network():
    plan = plan_for(PICTURE)
    files = written(PICTURE, None, "tflite", "onnx") + written(PICTURE, plan, "tflite", "onnx")
    report = check("any", PICTURE, in_float(PICTURE), FEEDS, files, Tolerances(share=0.1))
    names = [link.name for link in report.links]
    assert names == [
        "torch = graph",
        "torch = tflite float32 on LiteRT",
        "torch = tflite float32 on LiteRT built-in kernels",
        "torch = onnx float32 on ONNX Runtime",
        "integers = tflite int8 on LiteRT",
        "golden = tflite int8 on LiteRT",
        "integers = tflite int8 on LiteRT built-in kernels",
        "golden = tflite int8 on LiteRT built-in kernels",
        "integers = tflite int8 on LiteRT reference kernels",
        "integers = onnx int8 on ONNX Runtime",
        "golden = onnx int8 on ONNX Runtime",
    ]
    assert next(link for link in report.links if "reference kernels" in link.name).worst == 0
    assert all(name in report.table() for name in names)


@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_every_engine_agrees_on_a_sound_network(precision):
    """Random weights and no equalization: a step of an early layer may become two of a later one."""
    feeds = [random_feeds(SOUND, np.random.default_rng(0))]
    files = written(SOUND, plan_for(SOUND, precision), "tflite")
    report = check("any", SOUND, in_float(SOUND), feeds, files, Tolerances(lsb=2, share=1.0))
    assert len(report.links) == 6


def test_another_network_than_the_one_drawn_is_refused():
    with pytest.raises(ParityError, match=r"content 'any': torch = graph: .* abs \(limit 0.0001\)"):
        check("any", PICTURE, in_float(PICTURE, 1.01), FEEDS, [], Tolerances())


def test_a_network_that_gives_nan_is_refused():
    with pytest.raises(ParityError, match="torch = graph"):
        check("any", PICTURE, in_float(PICTURE, np.nan), FEEDS, [], Tolerances())


def test_a_file_of_other_weights_is_refused():
    files = written(picture_graph(seed=9), None, "onnx")
    with pytest.raises(ParityError, match="onnx float32 on ONNX Runtime"):
        check("any", PICTURE, in_float(PICTURE), FEEDS, files, Tolerances())


def test_a_file_written_with_another_scale_is_refused_though_its_weights_are_right():
    plan = plan_for(PICTURE)
    other = dict(plan.tensors)
    other["h0"] = TensorQuant("int8", other["h0"].scale * 1.1, other["h0"].zero_point)
    wrong = formats.get("tflite").write(PICTURE, dataclasses.replace(plan, tensors=other))
    files = [ExportedFile("tflite", PICTURE, plan, wrong)]
    with pytest.raises(ParityError, match="reference kernels: .* LSB"):
        check("any", PICTURE, in_float(PICTURE), FEEDS, files, Tolerances(lsb=255, share=1.0))


def test_a_small_difference_in_too_many_values_is_refused():
    plan = plan_for(PICTURE)
    *before, last, shuffle = PICTURE.ops
    step = np.float32(0.6 * plan.tensors["sub"].scale)
    brighter = dataclasses.replace(
        PICTURE, ops=(*before, dataclasses.replace(last, bias=last.bias + step), shuffle)
    )
    files = [ExportedFile("onnx", PICTURE, plan, formats.get("onnx").write(brighter, plan))]
    with pytest.raises(ParityError, match="of values"):
        check("any", PICTURE, in_float(PICTURE), FEEDS, files, Tolerances(share=0.1))
    check("any", PICTURE, in_float(PICTURE), FEEDS, files, Tolerances(share=1.0, golden_share=1.0))


def test_a_missing_output_is_refused_and_named():
    feeds = random_feeds(SOUND, np.random.default_rng(0))
    with pytest.raises(ParityError, match="no 'mask'"):
        check("any", SOUND, lambda feeds: {}, [feeds], [], Tolerances())


def test_an_output_of_another_shape_is_refused():
    def cropped(feeds):
        return {"enlarged": run_float(PICTURE, feeds)["enlarged"][:, 1:]}

    with pytest.raises(ParityError, match="expected shape"):
        check("any", PICTURE, cropped, FEEDS, [], Tolerances())
