"""Rockchip RK3588 and RK3576 by rknn-toolkit2, in an isolated environment.

The toolkit takes over the scales of a QDQ file: that is how a network's own quantization gets there. Weights
whose zero points are all 0 it takes for 128 / 127 wider and rounds a second time, which costs more than 1 dB;
so one channel of each has the zero point -1 (`with_marked_weights`), and all come out as our integers.
It stumbles over networks whose inner tensors are outputs too; those it quantizes on its own, from the float
file and calibration calls of the reference, and the notes say so. Float networks are computed in float16.

Figures are the compiler's own: operators on NPU or CPU and cycles of one NPU core from its layer table,
memory from its plan. ``simulate`` is the toolkit's simulator, which rounds in its own way. Nothing here ran
on a device.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from .. import formats
from ..errors import RefusedError, ToolError
from ..formats import from_layout, to_layout
from ..graph import Graph, Port
from ..npu.agreement import example, samples
from ..npu.environments import Environments
from ..npu.network import Network
from ..reference import run_int
from ._program import call
from .base import Availability, Compiled, Fallback, Feeds, Job, Limits, Outputs, Rules, Target

_ENVIRONMENT = "rknn"
_RKNN = "network.rknn"
# By where the scales come from: what the toolkit reads.
_FILES: Mapping[str, tuple[str, ...]] = {
    "plan": ("quantized.onnx",),
    "toolkit": ("calibrated.onnx", "calibration.npz"),
    "float": ("float.onnx",),
}
_NO_REASON = "the compiler's choice; it gives no reason"
_KINDS = ("Conv2D", "DepthwiseConv2D", "Constant", "Add", "Mul", "Concat", "Sigmoid", "DepthToSpace")
_LOG_MARK = re.compile(r"^D RKNN: \[[\d:.]+\] ", re.MULTILINE)
_LAYER = re.compile(  # kind, unit, cycles in total; some platforms have a column of sparseness in between
    r"^\d+ +(\w+) +\w+ +(NPU|CPU) .*? \d+/\d+/(\d+) +(?:\d+% +)?\d+ +(\S+)", re.MULTILINE
)
_MEMORY = re.compile(r"Total (?:Internal|Weight) Memory Size: ([\d.]+)KB")
_ACCURACY = re.compile(r"^\[\w+\] (\S+) +(\d\.\d+) \|", re.MULTILINE)  # layer, cosine with all before it
_ACCURACY_SIZE = 1 << 19  # elements of the largest tensor; accuracy does not depend on the size, time does


@dataclass(frozen=True, kw_only=True)
class Rockchip(Target):
    """``platform`` as the toolkit names it; ``mhz`` and ``cores`` of its NPU, a network runs on one."""

    platform: str
    mhz: int
    cores: int
    simulator: str = "rknn-toolkit2 simulator"


def _target(platform: str, mhz: int, cores: int) -> Rockchip:
    return Rockchip(
        name=f"rockchip-{platform}",
        description=f"Rockchip {platform.upper()}, one of {cores} NPU cores at {mhz} MHz",
        format="onnx",
        precisions=("int8", "float32"),
        rules=Rules({kind: Limits() for kind in _KINDS}),
        ports="NCHW",
        environment=_ENVIRONMENT,
        platform=platform,
        mhz=mhz,
        cores=cores,
    )


# 1 GHz is the RK3588's highest NPU clock; the RK3576's is taken to be the same, so that cycles compare.
TARGETS: tuple[Rockchip, ...] = (_target("rk3588", 1000, 3), _target("rk3576", 1000, 2))


def availability(target: Target, environments: Environments) -> Availability:
    """Whether the toolkit's environment was made."""
    return Availability.of_environment(environments, _ENVIRONMENT, "rknn-toolkit2")


def compile(target: Target, job: Job) -> Compiled:
    """The ``.rknn`` file, what its layer table says, and for small pictures the accuracy of its layers."""
    assert isinstance(target, Rockchip)
    network, folder = job.network, job.folder.resolve()
    ways = _write(network, folder)
    request = _request(target, network, ways, folder) | {"command": "compile", "rknn": str(folder / _RKNN)}
    given = [_nchw(example(network)), _nchw(_real(network, example(network)))]  # by kind of way
    small = max(int(np.prod(shape)) for shape in network.graph.shapes.values()) <= _ACCURACY_SIZE
    answer = call(job, _ENVIRONMENT, request | {"accuracy": small}, given, keep_log=True)
    where = f"{network.model} ({network.content}) for {target.name}"
    if "failed" in answer.values:
        raise RefusedError(f"{where}: the toolkit refuses it: {answer.values['failed']}; rewrite: none known")
    table = layers(answer.said)
    if not (folder / _RKNN).is_file() or not table:
        raise ToolError(f"{where}: the toolkit ended without file or layer table; see {job.folder}")
    for way, files in _FILES.items():
        if way != answer.values["scales"]:
            for name in files:
                (folder / name).unlink(missing_ok=True)
    kept = [name for name in _FILES[answer.values["scales"]] if (folder / name).is_file()]
    operators = len([op for op in network.graph.ops if op.inputs])
    on_cpu = tuple(Fallback(f"{x.kind} {x.name}", _NO_REASON) for x in table if x.unit == "CPU")
    cycles = sum(layer.cycles for layer in table) or None
    unknown = {"sram_kib": "activations are in DRAM; the compiler does not report its on-chip buffer"}
    if cycles is None:
        unknown |= dict.fromkeys(("npu_ms", "cycles"), f"the compiler counts no cycles for {target.platform}")
    return Compiled(
        files=(_RKNN, *kept),
        tool="rknn-toolkit2",
        tool_version=job.environments.version(_ENVIRONMENT, "rknn-toolkit2") or "unknown",
        rung="simulated",
        operators=operators,
        on_npu=max(0, operators - len(on_cpu)),
        fallbacks=on_cpu,
        npu_ms=None if cycles is None else cycles / target.mhz / 1e3,
        cycles=cycles,
        dram_kib=sum(float(size) for size in _MEMORY.findall(answer.said)[-2:]),
        unknown=unknown,
        notes=(*_notes(answer.values, table), *(_layer_note(target, job, answer.values) if small else ())),
    )


def simulate(target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]) -> Sequence[Outputs]:
    """What the toolkit's simulator computes."""
    assert isinstance(target, Rockchip)
    network, folder = job.network, job.folder.resolve()
    way = next(way for way, files in _FILES.items() if files[0] in compiled.files)
    request = _request(target, network, [way], folder) | {"command": "run", "calls": len(feeds)}
    given = [_nchw(feed if way != "toolkit" else _real(network, feed)) for feed in feeds]
    answer = call(job, _ENVIRONMENT, request, given, keep_log=False)
    if "failed" in answer.values:
        raise ToolError(f"{target.name}: the simulator failed: {answer.values['failed']}")
    outputs = [{name: from_layout(value, "NCHW") for name, value in y.items()} for y in answer.outputs]
    plan = network.plan
    if plan is None or way != "toolkit":
        return outputs
    return [{name: plan.tensors[name].quantize(value) for name, value in y.items()} for y in outputs]


@dataclass(frozen=True)
class Layer:
    """A row of the layer table."""

    kind: str
    unit: str  # "NPU" or "CPU"
    cycles: int  # of one core, memory included
    name: str


def layers(said: str) -> tuple[Layer, ...]:
    """The layer table that the compiler printed last, inputs and outputs left out."""
    tables = _LOG_MARK.sub("", said).split("Network Layer Information Table")
    if len(tables) == 1:
        return ()
    rows = _LAYER.findall(tables[-1])
    return tuple(
        Layer(kind, unit, int(total), name)
        for kind, unit, total, name in rows
        if kind not in ("InputOperator", "OutputOperator")
    )


def with_marked_weights(data: bytes) -> bytes:
    """A QDQ file with the same real weights, where the channel of the smallest step has the zero point -1."""
    model = onnx.load_from_string(data)
    kept = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in kept or not node.attribute:
            continue
        q, scales, zeros = (numpy_helper.to_array(kept[name]).copy() for name in node.input)
        if q.dtype == np.int8:  # weights are in -127..127
            channel = int(scales.argmin())
            q[channel] -= 1
            zeros[channel] = -1
            for name, value in ((node.input[0], q), (node.input[2], zeros)):
                kept[name].CopyFrom(numpy_helper.from_array(value, name))
    return bytes(model.SerializeToString(deterministic=True))


def worst_layer(table: str) -> tuple[str, float] | None:
    """Name and cosine of the layer furthest from float, by the toolkit's accuracy analysis."""
    rows = [(name, float(cosine)) for name, cosine in _ACCURACY.findall(table)]
    return min(rows, key=lambda row: row[1]) if rows else None


def _write(network: Network, folder: Path) -> list[str]:
    """Files for the toolkit; gives the ways that it may go, the best first."""
    plan, floating = network.plan, network.float_graph
    if plan is None:
        (folder / _FILES["float"][0]).write_bytes(network.onnx())
        return ["float"]
    (folder / _FILES["plan"][0]).write_bytes(with_marked_weights(network.onnx()))
    if floating is None:
        return ["plan"]
    model, calibration = _FILES["toolkit"]
    (folder / model).write_bytes(formats.get("onnx").write(floating))
    calls = [_nchw(_real(network, feed)) for feed in samples(network)]
    named = {f"{index}:{name}": value for index, feed in enumerate(calls) for name, value in feed.items()}
    np.savez(folder / calibration, **named)  # type: ignore[arg-type]
    return ["plan", "toolkit"]


def _request(target: Rockchip, network: Network, ways: Sequence[str], folder: Path) -> dict[str, Any]:
    return {
        "platform": target.platform,
        "ways": [{"scales": way, "files": [str(folder / name) for name in _FILES[way]]} for way in ways],
        "inputs": [port.name for port in network.graph.inputs],
        "outputs": [port.name for port in network.graph.outputs],
    }


def _real(network: Network, feed: Feeds) -> Feeds:
    plan = network.plan
    return feed if plan is None else {k: plan.tensors[k].dequantize(np.asarray(q)) for k, q in feed.items()}


def _nchw(feed: Feeds) -> Feeds:
    return {name: to_layout(np.asarray(value), "NCHW") for name, value in feed.items()}


def _notes(values: Mapping[str, Any], table: Sequence[Layer]) -> tuple[str, ...]:
    said = {
        "plan": "scales of the network's own plan, from the QDQ file",
        "toolkit": f"scales of the toolkit's own choosing, since it stumbles over ours ({values['refused']})",
        "float": "computed in float16",
    }
    free = sum(not layer.cycles for layer in table)
    return (
        said[values["scales"]],
        f"cycles are the compiler's count for one NPU core; it counts none for {free} of {len(table)} layers",
    )


def _layer_note(target: Rockchip, job: Job, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Which layer is furthest off. The toolkit analyses what it quantized itself; of our plan the network is
    cut after every layer, simulated, and compared with the integer reference."""
    network, plan = job.network, job.network.plan
    if values["scales"] != "plan" or plan is None:
        worst = worst_layer(values.get("accuracy", ""))
        return () if worst is None else (f"layer furthest from float: {worst[0]}, cosine {worst[1]:.5f}",)
    graph, feed = network.graph, example(network)
    ways = []
    with tempfile.TemporaryDirectory() as name:
        for count, op in enumerate(graph.ops, 1):
            if op.inputs:
                cut = Graph(graph.inputs, graph.ops[:count], (Port(op.output, graph.shapes[op.output]),))
                part = Path(name) / f"{count}.onnx"
                part.write_bytes(with_marked_weights(dataclasses.replace(network, graph=cut).onnx()))
                ways.append({"scales": "plan", "files": [str(part)], "output": op.output})
        request = _request(target, network, [], Path(name)) | {"command": "layers", "ways": ways}
        found = call(job, _ENVIRONMENT, request, [_nchw(feed)], keep_log=False).outputs[0]
    wanted = run_int(graph, plan, feed)
    rms = {n: _rms(from_layout(value, "NCHW"), wanted[n]) for n, value in found.items()}
    if not rms:
        return ()
    furthest = max(rms, key=lambda n: rms[n])
    return (f"layer furthest from the integer reference: {furthest}, {rms[furthest]:.2f} LSB rms",)


def _rms(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))
