"""Apple: the graph as it is asked for, and the package that is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_environments import environment, job, real
from graphs import picture_graph, sound_graph
from lumavox_export.errors import ToolError
from lumavox_export.graph import Constant, Graph, Mul, Port
from lumavox_export.targets import apple

(TARGET,) = apple.TARGETS
# What the program for `picture_graph` holds: three convolutions, two with ReLU, five rounded tensors.
OPERATORS = {
    "constexpr_affine_dequantize": 3,
    "conv": 3,
    "depth_to_space": 1,
    "dequantize": 5,
    "quantize": 5,
    "relu": 2,
}
ANSWER = {"operators": OPERATORS, "inputs": ["luma"], "outputs": ["enlarged"], "weights": 3}


def compiled_with(tmp_path: Path, answer: dict[str, object]):
    environments = environment(tmp_path, "coreml", "coremltools", f"answer(**{answer!r})")
    return apple.compile(TARGET, job(tmp_path, environments))


def test_a_package_that_is_the_network_is_compiled_and_never_run(tmp_path: Path) -> None:
    compiled = compiled_with(tmp_path, ANSWER)
    assert compiled.rung == "compiled" and not hasattr(apple, "simulate")
    assert compiled.npu_ms is None and "macOS" in compiled.unknown["npu_ms"]
    assert compiled.operators == 4 and compiled.on_npu == 0
    assert [fallback.operator for fallback in compiled.fallbacks][-1] == "depth_to_space enlarged"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"operators": OPERATORS | {"conv": 2}}, "2 conv, not 3"),
        ({"operators": OPERATORS | {"transpose": 1}}, "1 transpose, not 0"),
        ({"operators": OPERATORS | {"dequantize": 4}}, "4 dequantize, not 5"),
        ({"outputs": ["var_3"]}, "outputs var_3"),
        ({"weights": 1}, "1 of 3 int8 weights found"),
    ],
)
def test_another_network_is_not_accepted(tmp_path: Path, change, said) -> None:
    with pytest.raises(ToolError, match=said):
        compiled_with(tmp_path, {**ANSWER, **change})


def test_a_tensor_that_two_read_may_be_dequantized_twice(tmp_path: Path) -> None:
    compiled_with(tmp_path, {**ANSWER, "operators": OPERATORS | {"dequantize": 6}})


def test_a_multiplication_by_one_may_be_left_out_and_no_other() -> None:
    ports = Port("x", (1, 2, 2, 1)), Port("y", (1, 2, 2, 1))
    one, other = (Constant("c", np.full((1, 1, 1, 1), value, np.float32)) for value in (1, 2))
    answer = {"operators": {}, "inputs": ["x"], "outputs": ["y"], "weights": 0}
    assert not apple.differences(Graph(ports[:1], (one, Mul("x", "c", "y")), ports[1:]), None, answer)
    graph = Graph(ports[:1], (other, Mul("x", "c", "y")), ports[1:])
    assert apple.differences(graph, None, answer) == ["0 mul, not 1"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("graph", [picture_graph(), sound_graph()], ids=["picture", "sound"])
def test_coremltools_writes_the_network(tmp_path: Path, precision, graph) -> None:
    task = job(tmp_path, real(apple, TARGET), precision, graph)
    compiled = apple.compile(TARGET, task)
    assert all((task.folder / name).stat().st_size for name in compiled.files)
