"""Intel by OpenVINO, in an isolated environment: IR from our QDQ file, measured on this CPU; the NPU device.

OpenVINO reads the QDQ file and keeps our scales in its IR; its CPU plugin computes convolutions in int8
wherever it recognises them, and says how many. The file has unsigned activations: from signed ones OpenVINO
2026.4.1 computes networks like de/base wrongly, without a word (199 steps off, where 11 are rounding).

The NPU target needs an Intel NPU with its driver, which holds the compiler: the Python package has none.
That path was never run, for want of a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolError
from ..formats import from_layout, onnx, to_layout
from ..npu.environments import Environments
from ._program import call
from .base import Availability, Compiled, Feeds, Job, Limits, Outputs, Rules, Target

_ENVIRONMENT = "openvino"
_IR, _WEIGHTS, _BLOB = "network.xml", "network.bin", "network.blob"
_ACCELERATORS = Path("/dev/accel")  # where Linux has NPUs
_KINDS = ("Conv2D", "DepthwiseConv2D", "Constant", "Add", "Mul", "Concat", "Sigmoid", "DepthToSpace")


@dataclass(frozen=True, kw_only=True)
class OpenVino(Target):
    """``device`` as OpenVINO names it."""

    device: str


TARGETS: tuple[OpenVino, ...] = (
    OpenVino(
        name="openvino-cpu",
        description="OpenVINO, one thread of this CPU",
        format="onnx",
        precisions=("int8", "float32"),
        rules=Rules({kind: Limits() for kind in _KINDS}),
        environment=_ENVIRONMENT,
        device="CPU",
    ),
    OpenVino(
        name="openvino-npu",
        description="Intel NPU by OpenVINO",
        format="onnx",
        precisions=("int8", "float32"),
        rules=Rules({kind: Limits() for kind in _KINDS}),
        environment=_ENVIRONMENT,
        device="NPU",
    ),
)


def availability(target: Target, environments: Environments) -> Availability:
    """Whether the environment was made, and for the NPU whether the machine has one."""
    assert isinstance(target, OpenVino)
    here = Availability.of_environment(environments, _ENVIRONMENT, "openvino")
    if here.usable and target.device == "NPU" and not _ACCELERATORS.is_dir():
        driver = "a machine with an Intel NPU and the driver intel-npu-driver"
        return Availability(False, f"no NPU here ({_ACCELERATORS} is absent)", "openvino", install=driver)
    return here


def compile(target: Target, job: Job) -> Compiled:
    """Write the IR, compile it for the device, and time it, median of its calls."""
    assert isinstance(target, OpenVino)
    npu = target.device == "NPU"
    folder = job.folder.resolve()
    source = folder / "source.onnx"
    plan = job.network.plan
    source.write_bytes(job.network.onnx() if plan is None else onnx.write_unsigned(job.network.graph, plan))
    request = {"command": "compile", "device": target.device, "model": str(source), "ir": str(folder / _IR)}
    blob = {"blob": str(folder / _BLOB) if npu else ""}
    answer = call(job, _ENVIRONMENT, request | blob, keep_log=True).values
    if "failed" in answer:
        raise ToolError(f"{job.network.model} for {target.name}: {answer['failed']}")
    source.unlink()
    operators = len([op for op in job.network.graph.ops if op.inputs])
    notes = [f"fastest call {answer['least_ms']:.3g} ms"]
    if "integer" in answer:
        notes.append(f"{answer['integer']} of {answer['convolutions']} convolutions computed in int8")
    return Compiled(
        files=(*((_BLOB,) if npu else ()), _IR, _WEIGHTS),
        tool="openvino",
        tool_version=job.environments.version(_ENVIRONMENT, "openvino") or "unknown",
        rung="measured",
        operators=operators,
        on_npu=operators if npu else 0,
        npu_ms=float(answer["median_ms"]),
        unknown={
            "cycles": "OpenVINO measures time",
            "sram_kib": "OpenVINO does not say" if npu else "CPUs use main memory",
            "dram_kib": "OpenVINO does not say",
        },
        notes=tuple(notes),
    )


def simulate(target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]) -> Sequence[Outputs]:
    """What OpenVINO computes on the device."""
    assert isinstance(target, OpenVino)
    request = {"command": "run", "device": target.device, "ir": str(job.folder.resolve() / _IR)}
    plan, graph = job.network.plan, job.network.graph
    inputs = [
        {
            name: to_layout(value if plan is None else onnx.to_unsigned(value), "NCHW")
            for name, value in feed.items()
        }
        for feed in feeds
    ]
    answer = call(job, _ENVIRONMENT, request | {"calls": len(feeds)}, inputs, keep_log=False)
    outputs = [{name: from_layout(value, "NCHW") for name, value in y.items()} for y in answer.outputs]
    if plan is None:
        return outputs
    return [{name: onnx.from_unsigned(graph, plan, name, q) for name, q in y.items()} for y in outputs]
