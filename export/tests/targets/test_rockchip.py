"""Rockchip: what the toolkit is asked, what its layer table means, and whose scales are used."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from fake_environments import environment, job, real
from graphs import picture_graph, quantized, random_feeds
from lumavox_export.engines import open_onnx
from lumavox_export.errors import RefusedError, ToolError
from lumavox_export.reference import run_int
from lumavox_export.targets import rockchip
from lumavox_export.targets.base import Job

RK3588, RK3576 = rockchip.TARGETS
# As rknn-toolkit2 2.5.0 prints it; the compiler goes over a network more than once.
ROW = "D RKNN: [14:54:42.690] "
TABLE = "\n".join(
    ROW + line
    for line in (
        "                        Network Layer Information Table                        ",
        "ID   OpType  DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName",
        "0    InputOperator  INT8  CPU  \\  (1,1,64,96)  0/0/0  0  InputOperator:luma",
        "1    ConvRelu  INT8  NPU  (1,1,64,96),(32,1,3,3),(32)  (1,32,64,96)  8778/55296/55296  10  Conv:h0",
        "2    Conv  INT8  NPU  (1,32,64,96),(4,32,3,3),(4)  (1,4,64,96)  12528/55296/55296  193  Conv:sub",
        "3    Sigmoid  INT8  CPU  (1,4,64,96)  (1,4,64,96)  0/0/0  96  Sigmoid:mask",
        "4    OutputOperator  INT8  CPU  (1,1,128,192)  \\  0/0/0  768  OutputOperator:enlarged",
        "Total Internal Memory Size: 1152KB",
        "Total Weight Memory Size: 45.375KB",
    )
)
ACCURACY = """
layer_name                                 simulator_error
[Input] luma                      1.00000 | 0.00000   1.00000 | 0.00000
[Conv] hidden0/linear
[Relu] hidden0                    0.99965 | 1.67457   0.99965 | 1.67457
[Conv] subpixels                  0.99998 | 0.62068   0.99999 | 0.46254
"""
BUILDS = f"""
import numpy as np
if request["command"] == "compile":
    print({TABLE!r})
    pathlib.Path(request["rknn"]).write_bytes(b"rknn")
    answer(scales=SCALES, refused="KeyError: 'h0'", accuracy={ACCURACY!r})
elif request["command"] == "run":
    with np.load(folder / "feeds.npz") as feeds:
        np.savez(folder / "outputs.npz", **{{f"{{i}}:enlarged": feeds[f"{{i}}:luma"] for i in (0, 1)}})
    answer(scales=SCALES)
else:
    np.savez(folder / "outputs.npz", **{{"0:h0": np.zeros((1, 8, 10, 12), np.int8)}})
    answer()
"""


def made(tmp_path: Path, script: str) -> Job:
    task = job(tmp_path, environment(tmp_path, "rknn", "rknn-toolkit2", script))
    return complete(task)


def complete(task: Job) -> Job:
    golden = {"luma": np.random.default_rng(0).integers(-128, 128, (1, 6, 5, 1)).astype(np.int8)}
    network = dataclasses.replace(task.network, golden=golden, float_graph=task.network.graph)
    return dataclasses.replace(task, network=network)


def test_the_layer_table_tells_units_and_cycles_without_inputs_and_outputs() -> None:
    table = rockchip.layers(TABLE.replace("55296 ", "1 ") + "\n" + TABLE)
    assert [(layer.kind, layer.unit, layer.cycles) for layer in table] == [
        ("ConvRelu", "NPU", 55296),
        ("Conv", "NPU", 55296),
        ("Sigmoid", "CPU", 0),
    ]
    assert rockchip.layers(TABLE.replace("  193  ", "  0%  193  ")) == table  # as for the RK3576
    assert rockchip.layers("no table") == ()


def test_the_layer_furthest_from_float_is_the_one_of_the_least_cosine() -> None:
    assert rockchip.worst_layer(ACCURACY) == ("hidden0", 0.99965)
    assert rockchip.worst_layer("") is None


def test_one_channel_of_each_weight_has_a_zero_point_and_all_real_weights_are_the_same(
    tmp_path: Path,
) -> None:
    """Oracle: ONNX Runtime computes the same integers from both files."""
    task = made(tmp_path, "")
    data = task.network.onnx()
    marked = rockchip.with_marked_weights(data)
    kept = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(marked).graph.initializer}
    for name in ("h0", "h1", "sub"):
        zeros = kept[f"{name}/weight/zero_point"]
        assert zeros.min() == -1 and np.count_nonzero(zeros) == 1
        assert kept[f"{name}/weight/scale"].argmin() == zeros.argmin()
    plan = task.network.plan
    assert plan is not None
    feeds = quantized(plan, random_feeds(task.network.graph, np.random.default_rng(3), (10, 12)))
    np.testing.assert_array_equal(open_onnx(marked)(feeds)["enlarged"], open_onnx(data)(feeds)["enlarged"])


def test_with_the_scales_of_the_plan_the_file_goes_with_the_qdq_file_only(tmp_path: Path) -> None:
    task = made(tmp_path, BUILDS.replace("SCALES", "'plan'"))
    compiled = rockchip.compile(RK3588, task)
    assert compiled.files == ("network.rknn", "quantized.onnx")
    assert sorted(p.name for p in task.folder.iterdir()) == ["network.rknn", "quantized.onnx", "tool.log"]
    assert (compiled.operators, compiled.on_npu, compiled.cycles) == (4, 3, 110592)
    assert compiled.npu_ms == pytest.approx(0.110592) and compiled.dram_kib == 1197.375
    assert [fallback.operator for fallback in compiled.fallbacks] == ["Sigmoid Sigmoid:mask"]
    assert "own plan" in compiled.notes[0] and "LSB rms" in compiled.notes[2]


def test_a_network_that_the_toolkit_quantizes_itself_says_so_and_is_simulated_in_real_numbers(
    tmp_path: Path,
) -> None:
    task = made(tmp_path, BUILDS.replace("SCALES", "'toolkit'"))
    compiled = rockchip.compile(RK3588, task)
    assert compiled.files == ("network.rknn", "calibrated.onnx", "calibration.npz")
    assert "stumbles over ours (KeyError: 'h0')" in compiled.notes[0]
    assert compiled.notes[2] == "layer furthest from float: hidden0, cosine 0.99965"
    plan = task.network.plan
    assert plan is not None
    feeds = [quantized(plan, random_feeds(task.network.graph, np.random.default_rng(i))) for i in (0, 1)]
    outputs = rockchip.simulate(RK3588, task, compiled, feeds)
    real = plan.tensors["luma"].dequantize(feeds[1]["luma"])
    np.testing.assert_array_equal(outputs[1]["enlarged"], plan.tensors["enlarged"].quantize(real))


def test_without_counted_cycles_there_is_no_time_but_a_reason(tmp_path: Path) -> None:
    script = BUILDS.replace("SCALES", "'plan'").replace("/55296 ", "/0 ")
    compiled = rockchip.compile(RK3576, made(tmp_path, script))
    assert compiled.npu_ms is None and "rk3576" in compiled.unknown["npu_ms"]


def test_what_the_toolkit_refuses_is_refused_and_an_end_without_a_file_is_the_tool_s(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="build gave -1"):
        rockchip.compile(RK3588, made(tmp_path, 'answer(failed="RuntimeError: build gave -1")'))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ToolError, match="without file or layer table"):
        rockchip.compile(RK3588, made(other, 'answer(scales="plan", refused=None)'))


@pytest.mark.slow
@pytest.mark.parametrize("target", rockchip.TARGETS, ids=lambda target: target.name)
def test_the_simulator_keeps_the_plan_s_integers_within_a_step_or_two(tmp_path: Path, target) -> None:
    """Oracle: the integer reference; the simulator rounds each layer in its own way."""
    task = complete(job(tmp_path, real(rockchip, target), graph=picture_graph()))
    plan = task.network.plan
    assert plan is not None
    feeds = quantized(plan, random_feeds(task.network.graph, np.random.default_rng(6)))
    compiled = rockchip.compile(target, task)
    (found,) = rockchip.simulate(target, task, compiled, [feeds])
    expected = run_int(task.network.graph, plan, feeds)["enlarged"]
    assert compiled.on_npu == compiled.operators and "own plan" in compiled.notes[0]
    assert np.abs(found["enlarged"].astype(int) - expected).max() <= 2
