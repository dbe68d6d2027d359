"""Quantization-aware training computes what the integer network will compute."""

import numpy as np
import torch

from lumavox_export.calibration import calibrate
from lumavox_export.families.sr_plain import Network
from lumavox_export.qat import FakeQuantGraph, weights_to_dict, with_weights
from lumavox_export.reference import run_int


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
