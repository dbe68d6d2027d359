"""OpenVINO: what is asked of it, and what its answers mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_environments import environment, job, real
from graphs import picture_graph, quantized, random_feeds, sound_graph
from lumavox_export.errors import ToolError
from lumavox_export.npu.environments import Environments
from lumavox_export.reference import run_int
from lumavox_export.targets import openvino

CPU, NPU = openvino.TARGETS
MEASURED = "answer(median_ms=2.5, least_ms=2.25, convolutions=3, integer=3)"
ECHO = """
import numpy as np
if request["command"] == "run":
    with np.load(folder / "feeds.npz") as feeds:
        np.savez(folder / "outputs.npz", **{"0:enlarged": feeds["0:luma"]})
answer()
"""


def made(tmp_path: Path, script: str) -> Environments:
    return environment(tmp_path, "openvino", "openvino", script)


def test_the_cpu_is_measured(tmp_path: Path) -> None:
    compiled = openvino.compile(CPU, job(tmp_path, made(tmp_path, MEASURED)))
    assert (compiled.npu_ms, compiled.rung, compiled.on_npu, compiled.operators) == (2.5, "measured", 0, 4)
    assert compiled.notes == ("fastest call 2.25 ms", "3 of 3 convolutions computed in int8")
    assert compiled.files == ("network.xml", "network.bin")


def test_an_npu_is_usable_only_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments = made(tmp_path, MEASURED)
    monkeypatch.setattr(openvino, "_ACCELERATORS", tmp_path / "none")
    here = openvino.availability(NPU, environments)
    assert not here.usable and "no NPU here" in here.reason and here.install
    assert openvino.availability(CPU, environments).usable
    monkeypatch.setattr(openvino, "_ACCELERATORS", tmp_path)
    assert openvino.availability(NPU, environments).usable


def test_an_absent_device_is_named(tmp_path: Path) -> None:
    task = job(tmp_path, made(tmp_path, 'answer(failed="no device NPU; here: CPU")'))
    with pytest.raises(ToolError, match="no device NPU; here: CPU"):
        openvino.compile(NPU, task)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_arrays_go_and_come_in_the_plan_s_integers(tmp_path: Path, precision) -> None:
    task = job(tmp_path, made(tmp_path, MEASURED), precision)
    compiled = openvino.compile(CPU, task)
    again = tmp_path / "again"
    again.mkdir()
    task = job(again, made(again, ECHO), precision)
    feeds = random_feeds(task.network.graph, np.random.default_rng(2))
    feeds = feeds if task.network.plan is None else quantized(task.network.plan, feeds)
    (outputs,) = openvino.simulate(CPU, task, compiled, [feeds])
    np.testing.assert_array_equal(outputs["enlarged"], feeds["luma"])
    assert outputs["enlarged"].dtype == feeds["luma"].dtype


@pytest.mark.slow
@pytest.mark.parametrize("graph", [picture_graph(), sound_graph()], ids=["picture", "sound"])
def test_openvino_computes_the_network(tmp_path: Path, graph) -> None:
    """Oracle: the integer reference; OpenVINO rounds otherwise, 2 steps on these networks."""
    task = job(tmp_path, real(openvino, CPU), graph=graph)
    plan = task.network.plan
    assert plan is not None
    feeds = quantized(plan, random_feeds(task.network.graph, np.random.default_rng(6)))
    (found,) = openvino.simulate(CPU, task, openvino.compile(CPU, task), [feeds])
    expected = run_int(task.network.graph, plan, feeds)
    for port in task.network.graph.outputs:
        assert np.abs(found[port.name].astype(int) - expected[port.name]).max() <= 2
