"""Qualcomm: what is asked of the QNN plugin, and what its answers and logs mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from fake_environments import environment, job, real
from graphs import picture_graph, quantized, random_feeds, sound_graph
from lumavox_export.errors import RefusedError, ToolError
from lumavox_export.npu.environments import Environments
from lumavox_export.reference import run_int
from lumavox_export.targets import qualcomm

V73 = qualcomm.TARGETS[0]
# As onnxruntime-qnn 2.7.0 said it about a 16-bit network; the last list is the final one.
LOG = (
    "\x1b[1;31m2026-11-21 14:50:16.867 [E:onnxruntime:, qnn_execution_provider.cc:2453 GetCapabilityImpl] "
    "Unsupported nodes in QNN EP: { name: DequantizeLinear:h0/bias/real, type: DequantizeLinear }"
    "{ name: Relu:h1/out, type: Relu }\x1b[m\n"
    "\x1b[1;31m2026-11-21 14:50:17.032 [E:onnxruntime:, qnn_execution_provider.cc:2453 GetCapabilityImpl] "
    "Unsupported nodes in QNN EP: { name: DepthToSpace:enlarged/out_token_37, type: DepthToSpace }"
    "{ name: Relu:h1/out, type: Relu }, \x1b[m\n"
)
# What the plugin leaves: a file with nothing but the context, and the binary.
WRITES = """
import onnx
from onnx import helper, TensorProto
if request["command"] == "compile":
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")
    ends = [helper.make_tensor_value_info(n, TensorProto.INT8, [1]) for n in "xy"]
    graph = helper.make_graph([node], "context", ends[:1], ends[1:])
    context = pathlib.Path(request["context"])
    context.write_bytes(helper.make_model(graph).SerializeToString())
    context.with_name("network_qnn.bin").write_bytes(b"binary")
    context.with_name("asked.onnx").write_bytes(pathlib.Path(request["model"]).read_bytes())
    answer(graphs=1, operators={"Conv2d": 3, "DepthToSpace": 1})
else:
    import numpy as np
    with np.load(folder / "feeds.npz") as feeds:
        fed = feeds["1:luma"]
    np.savez(folder / "outputs.npz", **{f"{i}:enlarged": fed + i for i in range(request["calls"])})
    answer()
"""


def made(tmp_path: Path, script: str) -> Environments:
    return environment(tmp_path, "qnn", "onnxruntime-qnn", script)


def test_the_last_list_of_unsupported_nodes_counts() -> None:
    assert qualcomm.unsupported(LOG) == ["DepthToSpace enlarged/out_token_37", "Relu h1/out"]
    assert qualcomm.unsupported("all is well") == []


def test_a_network_that_is_not_whole_is_refused_naming_operators_and_rewrite(tmp_path: Path) -> None:
    task = job(tmp_path, made(tmp_path, f'print({LOG!r}); answer(failed="fallback is disabled")'))
    with pytest.raises(RefusedError, match="CPU: DepthToSpace enlarged.*rewrite: depth_to_space_in_runtime"):
        qualcomm.compile(V73, task)


def test_a_failure_without_such_a_list_is_the_tool_s(tmp_path: Path) -> None:
    task = job(tmp_path, made(tmp_path, 'answer(failed="no such library")'))
    with pytest.raises(ToolError, match="no such library"):
        qualcomm.compile(V73, task)


def test_an_end_without_answer_or_without_binary_is_the_tool_s(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="without an answer"):
        qualcomm.compile(V73, job(tmp_path, made(tmp_path, "")))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ToolError, match="without its context binary"):
        qualcomm.compile(V73, job(other, made(other, "answer(graphs=0, operators={})")))


def test_a_whole_network_is_a_context_binary_without_a_time(tmp_path: Path) -> None:
    task = job(tmp_path, made(tmp_path, WRITES))
    compiled = qualcomm.compile(V73, task)
    assert all((task.folder / name).is_file() for name in compiled.files)
    assert (compiled.operators, compiled.on_npu, compiled.rung) == (4, 4, "simulated")
    assert compiled.npu_ms is None and "devices" in compiled.unknown["npu_ms"]
    assert compiled.notes == ("1 HTP graph of 3 Conv2d, 1 DepthToSpace",)
    assert not (task.folder / "source.onnx").exists()


@pytest.mark.parametrize(("precision", "dtype"), [("int8", "INT8"), ("w8a16", "UINT16")])
def test_the_plugin_is_given_nhwc_integers(tmp_path: Path, precision, dtype) -> None:
    task = job(tmp_path, made(tmp_path, WRITES), precision)
    qualcomm.compile(V73, task)
    tensor = onnx.load(task.folder / "asked.onnx").graph.input[0].type.tensor_type
    assert [size.dim_value for size in tensor.shape.dim] == [1, 10, 12, 1]
    assert tensor.elem_type == getattr(onnx.TensorProto, dtype)


@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_what_was_simulated_comes_back_in_the_plan_s_integers(tmp_path: Path, precision) -> None:
    task = job(tmp_path, made(tmp_path, WRITES), precision)
    plan = task.network.plan
    assert plan is not None
    feeds = [quantized(plan, random_feeds(task.network.graph, np.random.default_rng(i))) for i in (0, 1)]
    outputs = qualcomm.simulate(V73, task, qualcomm.compile(V73, task), feeds)
    np.testing.assert_array_equal(outputs[0]["enlarged"], feeds[1]["luma"])
    assert outputs[1]["enlarged"].dtype == feeds[1]["luma"].dtype


@pytest.mark.slow
@pytest.mark.parametrize("target", qualcomm.TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("precision", ["int8", "w8a16"])
@pytest.mark.parametrize("graph", [picture_graph(), sound_graph()], ids=["picture", "sound"])
def test_the_simulator_computes_the_network_whole(tmp_path: Path, target, precision, graph) -> None:
    """Oracle: the integer reference. The HTP rounds otherwise: 2 steps of 8 bits, 24 of 16 bits."""
    task = job(tmp_path, real(qualcomm, target), precision, graph)
    plan = task.network.plan
    assert plan is not None
    feeds = quantized(plan, random_feeds(task.network.graph, np.random.default_rng(6)))
    compiled = qualcomm.compile(target, task)
    (found,) = qualcomm.simulate(target, task, compiled, [feeds])
    expected = run_int(task.network.graph, plan, feeds)
    assert compiled.on_npu == compiled.operators and "Transpose" not in compiled.notes[0]
    for port in task.network.graph.outputs:
        worst = np.abs(found[port.name].astype(int) - expected[port.name]).max()
        assert worst <= (2 if precision == "int8" else 24), (port.name, worst)
