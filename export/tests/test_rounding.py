"""Compensated rounding: weights on the grid, together nearer to the network than each one's nearest step."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from lumavox_export.calibration import calibrate
from lumavox_export.errors import GraphError
from lumavox_export.families.sr_plain import Network
from lumavox_export.graph import Conv2D, Graph, Port
from lumavox_export.quant_plan import QuantPlan
from lumavox_export.reference import run_float, run_int
from lumavox_export.rounding import compensate


def _samples(count: int = 8) -> list[dict[str, np.ndarray]]:
    """Smooth bright pictures with some noise: neighbouring pixels go together."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:16, 0:20]
    found = []
    for _ in range(count):
        a, b, c = rng.uniform(0.1, 0.6, 3)
        picture = 0.5 + 0.3 * np.sin(a * x + b * y + 6 * c) + rng.normal(0, 0.02, x.shape)
        found.append(
            {"luma": (np.rint(np.clip(picture, 0, 1) * 255) / 255).astype(np.float32)[None, ..., None]}
        )
    return found


def _planned(**network: int) -> tuple[Graph, QuantPlan]:
    torch.manual_seed(5)
    module = Network(**network).build()  # type: ignore[arg-type]
    with torch.no_grad():
        for bias in module.biases:
            bias.add_(0.02 * torch.randn_like(bias))
    graph = module.to_graph()
    return graph, calibrate(graph, _samples(), ranges=dict.fromkeys(graph.shapes, (0.0, 1.0)))


def _error(graph: Graph, plan: QuantPlan, wanted: Graph) -> float:
    """RMS over fresh pictures, in steps of luma bytes."""
    squares = []
    for feeds in _samples(12)[8:]:
        exact = np.clip(run_float(wanted, feeds)["enlarged"], 0, 1) * 255
        integers = run_int(graph, plan, {"luma": plan.tensors["luma"].quantize(feeds["luma"])})["enlarged"]
        squares.append(np.mean((integers.astype(float) + 128 - exact) ** 2))
    return float(np.sqrt(np.mean(squares)))


@pytest.mark.parametrize("network", [{"channels": 8, "layers": 4}, {"channels": 8, "entry_stride": 2}])
def test_the_integer_network_comes_nearer_to_the_float_one(network: dict[str, int]) -> None:
    graph, plan = _planned(**network)
    assert _error(compensate(graph, plan, _samples()), plan, graph) < 0.8 * _error(graph, plan, graph)


def test_every_weight_lies_on_the_grid_of_the_plan_and_the_anchor_is_untouched() -> None:
    graph, plan = _planned(channels=8, layers=3)
    made = compensate(graph, plan, _samples())
    for op, before in zip(made.ops[:3], graph.ops[:3], strict=True):
        assert isinstance(op, Conv2D) and isinstance(before, Conv2D)
        steps = op.weight / np.asarray(plan.weights[op.output], np.float32)[:, None, None, None]
        assert np.abs(steps - np.rint(steps)).max() < 1e-3 and np.abs(steps).max() < 127.01
    first, last = made.ops[0], graph.ops[0]
    assert isinstance(first, Conv2D) and isinstance(last, Conv2D)
    assert np.array_equal(first.weight[-1], last.weight[-1]) and first.bias[-1] == 0


def test_it_is_close_to_the_best_of_all_roundings_of_a_small_filter() -> None:
    """Exhaustive search over both neighbours of each of 6 weights is the oracle."""
    rng = np.random.default_rng(8)
    weight = rng.uniform(-1, 1, (1, 1, 1, 6)).astype(np.float32)
    graph = Graph(
        (Port("x", (1, -1, -1, 6)),),
        (Conv2D("x", "y", weight, np.zeros(1, np.float32)),),
        (Port("y", (1, -1, -1, 1)),),
    )
    mixing = rng.normal(0, 1, (6, 6))
    x = np.clip(0.5 + 0.1 * rng.normal(0, 1, (40, 40, 6)) @ mixing, 0, 1).astype(np.float32)[None]
    plan = calibrate(graph, [{"x": x}], weight_scales={"y": np.array([0.25])})

    def distance(rounded: np.ndarray) -> float:
        """With the best bias."""
        error = x.reshape(-1, 6) @ (rounded - weight.ravel())
        return float(np.var(error))

    steps = np.floor(weight.ravel() / 0.25)
    best = min(distance((steps + np.array(up)) * 0.25) for up in itertools.product((0, 1), repeat=6))
    nearest = distance(np.rint(weight.ravel() / 0.25) * 0.25)
    made = compensate(graph, plan, [{"x": x}]).ops[0]
    assert isinstance(made, Conv2D)
    assert distance(made.weight.ravel()) <= best + 0.35 * (nearest - best)


def test_a_graph_with_states_or_other_operators_is_refused() -> None:
    graph, plan = _planned(channels=8, layers=3)
    conv = graph.ops[1]
    assert isinstance(conv, Conv2D)
    depthwise = replace(conv, weight=conv.weight[:, :, :, :1], groups=8)
    with pytest.raises(GraphError, match="does not know Conv2D yet"):
        compensate(replace(graph, ops=(graph.ops[0], depthwise, *graph.ops[2:])), plan, _samples())
