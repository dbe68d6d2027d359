"""ExecuTorch: what the program is given, and what its answers and Vela's summary mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_environments import environment, job, real
from graphs import picture_graph, quantized, random_feeds, sound_graph
from lumavox_export.errors import RefusedError, ToolError
from lumavox_export.reference import run_int
from lumavox_export.targets import executorch
from lumavox_export.targets.base import Job

XNNPACK, ETHOS = executorch.TARGETS
# As vela 5.1.0 prints it for each part of a network.
SUMMARY = """
Total SRAM used                                  9.09 KiB
Total DRAM used                                112.17 KiB
CPU operators = 0 (0.0%)
SRAM Access cycles                              51575 cycles/batch
Total cycles                                    67388 cycles/batch
"""
WRITES = f"""
import numpy as np
if request["command"] == "compile":
    print({SUMMARY!r})
    with np.load(request["arrays"]) as arrays:
        assert arrays["h0/weight"].dtype == np.int8 and arrays["h0/bias"].shape == (8,)
    pathlib.Path(request["pte"]).write_bytes(b"pte")
    answer(left={{"aten.view_copy.default": 2}}, delegates=1, median_ms=1.5)
else:
    with np.load(folder / "feeds.npz") as feeds:
        np.savez(folder / "outputs.npz", **{{"0:enlarged": feeds["0:luma"]}})
    answer()
"""


def made(tmp_path: Path, script: str) -> Job:
    return job(tmp_path, environment(tmp_path, "executorch", "executorch", script))


def test_xnnpack_is_measured_and_names_what_portable_kernels_do(tmp_path: Path) -> None:
    task = made(tmp_path, WRITES)
    compiled = executorch.compile(XNNPACK, task)
    assert (compiled.rung, compiled.npu_ms, compiled.on_npu, compiled.operators) == ("measured", 1.5, 0, 4)
    assert compiled.notes == ("1 part(s) by the backend; portable kernels: aten.view_copy.default",)
    assert sorted(p.name for p in task.folder.iterdir()) == ["network.pte", "tool.log"]


def test_ethos_u85_has_the_estimates_of_vela_and_its_fallbacks(tmp_path: Path) -> None:
    compiled = executorch.compile(ETHOS, made(tmp_path, WRITES))
    assert (compiled.rung, compiled.cycles, compiled.sram_kib, compiled.dram_kib) == (
        "simulated",
        67388,
        9.09,
        112.17,
    )
    assert compiled.npu_ms == pytest.approx(0.067388)
    assert (compiled.on_npu, len(compiled.fallbacks)) == (2, 2)


def test_parts_of_a_network_add_up_in_time_and_share_memory() -> None:
    figures = executorch.vela_figures(SUMMARY + SUMMARY.replace("9.09", "12.5"), 1000)
    assert figures == {"npu_ms": 0.134776, "cycles": 134776, "sram_kib": 12.5, "dram_kib": 112.17}
    assert executorch.vela_figures("nothing", 1000) is None


def test_outputs_come_back_as_nhwc(tmp_path: Path) -> None:
    task = made(tmp_path, WRITES)
    feeds = {"luma": np.arange(120, dtype=np.int8).reshape(1, 10, 12, 1)}
    (found,) = executorch.simulate(XNNPACK, task, executorch.compile(XNNPACK, task), [feeds])
    np.testing.assert_array_equal(found["enlarged"], feeds["luma"])


def test_files_for_the_device_are_not_simulated(tmp_path: Path) -> None:
    task = made(tmp_path, WRITES)
    with pytest.raises(ToolError, match="on the device only"):
        executorch.simulate(ETHOS, task, executorch.compile(ETHOS, task), [])


def test_what_executorch_refuses_is_refused_and_an_end_without_a_file_is_the_tool_s(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="Missing out variants"):
        executorch.compile(XNNPACK, made(tmp_path, 'answer(failed="Missing out variants")'))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ToolError, match="without its file"):
        executorch.compile(XNNPACK, made(other, "answer(left={}, delegates=0)"))


@pytest.mark.slow
@pytest.mark.parametrize("target", executorch.TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("graph", [picture_graph(), sound_graph()], ids=["picture", "sound"])
def test_the_program_computes_the_plan_s_integers(tmp_path: Path, target, graph) -> None:
    """Oracle: the integer reference; XNNPACK rounds each layer within a step of it."""
    task = job(tmp_path, real(executorch, target), graph=graph)
    plan = task.network.plan
    assert plan is not None
    compiled = executorch.compile(target, task)
    if target is ETHOS:
        assert compiled.on_npu == compiled.operators
        return
    feeds = quantized(plan, random_feeds(task.network.graph, np.random.default_rng(6), (10, 12)))
    (found,) = executorch.simulate(target, task, compiled, [feeds])
    expected = run_int(task.network.graph, plan, feeds)
    for port in task.network.graph.outputs:
        assert np.abs(found[port.name].astype(int) - expected[port.name]).max() <= 3, port.name
