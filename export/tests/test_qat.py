"""Quantization-aware training computes what the integer network will compute."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs import quantized, random_feeds, small_graphs
from lumavox_export.calibration import calibrate
from lumavox_export.errors import GraphError
from lumavox_export.families import de_cells
from lumavox_export.families.sr_plain import Network
from lumavox_export.graph import Add, Constant, Conv2D, Graph, Mul, Port, State
from lumavox_export.qat import FakeQuantGraph, weights_to_dict, with_weights
from lumavox_export.quant_plan import Precision
from lumavox_export.reference import run_int, stream


def _quantized() -> tuple[FakeQuantGraph, np.ndarray]:
    torch.manual_seed(1)
    graph = Network(channels=8, layers=3).build().to_graph()
    luma = np.random.default_rng(1).integers(0, 256, (1, 12, 14, 1)).astype(np.float32) / 255
    plan = calibrate(graph, [{"luma": luma}], ranges=dict.fromkeys(graph.shapes, (0.0, 1.0)))
    return FakeQuantGraph(graph, plan), luma


def test_simulated_rounding_is_within_one_step_of_the_integer_reference() -> None:
    student, luma = _quantized()
    with torch.no_grad():
        simulated = student(torch.from_numpy(luma.transpose(0, 3, 1, 2)))[0, 0].numpy() * 255
    graph, plan = student.trained_graph(), student.plan
    integers = run_int(graph, plan, {"luma": plan.tensors["luma"].quantize(luma)})["enlarged"][0, ..., 0]
    assert np.abs(simulated - (integers.astype(float) + 128)).max() <= 1.001


def test_the_anchor_passes_training_unchanged() -> None:
    student, luma = _quantized()
    before = student.graph.ops[0].weight[-1].copy()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.5)
    x = torch.from_numpy(luma.transpose(0, 3, 1, 2))
    for _ in range(3):
        loss = (student(x) - 0.2).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    graph = student.trained_graph()
    assert np.array_equal(graph.ops[0].weight[-1], before)
    assert not np.array_equal(graph.ops[-2].weight, student.graph.ops[-2].weight)


def test_weights_go_to_a_file_and_back() -> None:
    graph = Network(channels=4, layers=2).build().to_graph()
    other = Network(channels=4, layers=2).build().to_graph()
    restored = with_weights(other, weights_to_dict(graph))
    assert all(
        np.array_equal(a.weight, b.weight) for a, b in zip(restored.ops[:2], graph.ops[:2], strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(small_graphs(), st.sampled_from(["int8", "w8a16"]))
def test_every_operator_that_families_draw_is_simulated(graph: Graph, precision: Precision) -> None:
    """Against the integer reference, in steps of each tensor that no copy was made of."""
    graph = replace(graph, outputs=graph.outputs[-1:])
    feeds = random_feeds(graph, np.random.default_rng(3))
    plan = calibrate(graph, [feeds], precision=precision)
    student = FakeQuantGraph(graph, plan)
    with torch.no_grad():
        made = student(torch.from_numpy(feeds["x"].transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    name = graph.outputs[0].name
    quant = plan.tensors[name]
    integers = run_int(graph, plan, quantized(plan, feeds))[name].astype(np.float64) - quant.zero_point
    assert np.abs(made / quant.scale - integers).max() <= 1.01 * 4 ** (len(graph.ops) - 1)


@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_whole_signals_with_memories_are_what_a_device_makes_frame_by_frame(precision: Precision) -> None:
    """Rounding to the other side is carried on; in 8 bits a mask of 256 steps stays within 6 of it."""
    torch.manual_seed(2)
    network = de_cells.Network(bands=24, positions=6, channels=8, frequency_dilations=(1, 2), wide_after=(1,))
    graph = network.build().to_graph()
    features = np.random.default_rng(2).uniform(0.2, 1.2, (2, 30, 24)).astype(np.float32)

    def frames(sound: np.ndarray) -> list[dict[str, np.ndarray]]:
        return [{"features": frame.reshape(1, 1, -1, 1)} for frame in sound]

    plan = calibrate(graph, [feeds for feeds, _ in stream(graph, frames(features[0]))], precision=precision)
    with torch.no_grad():
        masks = FakeQuantGraph(graph, plan)(torch.from_numpy(features.swapaxes(0, 1))[:, :, None, None])
    quant = plan.tensors["mask"]
    for sound, made in zip(features, masks.numpy().swapaxes(0, 1), strict=True):
        rounded = [quantized(plan, frame) for frame in frames(sound)]
        device = np.stack([tensors["mask"][0] for _, tensors in stream(graph, rounded, plan)])
        difference = (device.astype(np.float64) - quant.zero_point) * quant.scale - made.transpose(0, 2, 3, 1)
        assert np.abs(difference).max() * 256 <= (6 if precision == "int8" else 0.2)


def test_a_memory_learns_through_time_with_simulated_rounding() -> None:
    """``h += 0.5 * (w x - h)``: the gradient of the last frame is the sum over all frames before it."""
    one, half = np.ones((1, 1, 1, 1), np.float32), np.full((1, 1, 1, 1), 0.5, np.float32)
    graph = Graph(
        (Port("x", (1, 1, 1, 1)), Port("before", (1, 1, 1, 1))),
        (
            Conv2D("x", "wanted", one * 0.75, np.zeros(1, np.float32)),
            Constant("half", half),
            Mul("wanted", "half", "come"),
            Mul("before", "half", "stay"),
            Add("come", "stay", "h"),
            Mul("h", "half", "out"),
        ),
        (Port("out", (1, 1, 1, 1)), Port("h", (1, 1, 1, 1))),
        (State("before", "h", 1),),
    )
    plan = calibrate(graph, [{"x": one, "before": one}], precision="w8a16")
    student = FakeQuantGraph(graph, plan)
    student(torch.ones(4, 1, 1, 1, 1))[-1].sum().backward()  # type: ignore[no-untyped-call]
    gradient = student.weights["wanted"].grad
    assert gradient is not None
    assert gradient.item() == pytest.approx(0.5 * (1 - 0.5**4), rel=1e-3)


def test_a_graph_of_two_inputs_is_refused() -> None:
    port = Port("a", (1, 1, 1, 1))
    graph = Graph((port, replace(port, name="b")), (Add("a", "b", "c"),), (replace(port, name="c"),))
    plan = calibrate(graph, [random_feeds(graph, np.random.default_rng(0))])
    with pytest.raises(GraphError, match="one input and one output"):
        FakeQuantGraph(graph, plan)
