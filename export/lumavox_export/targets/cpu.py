"""The CPU of this machine through the engines that products use: the only rung that is measured here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..engines import Runner, open_onnx, open_tflite
from ..npu.environments import Environments
from .base import Availability, Compiled, Feeds, Job, Limits, Outputs, Rules, Target

_ANYTHING = Rules(
    {
        kind: Limits()
        for kind in ("Conv2D", "DepthwiseConv2D", "Constant", "Add", "Mul", "Concat", "Sigmoid")
        + ("DepthToSpace", "TransposeConv2D")
    },
    static=False,
)


@dataclass(frozen=True, kw_only=True)
class Cpu(Target):
    """``distribution`` is the engine's package."""

    distribution: str


TARGETS: tuple[Cpu, ...] = (
    Cpu(
        name="cpu-litert",
        description="LiteRT with XNNPACK, one thread of this CPU",
        format="tflite",
        precisions=("int8", "float32"),
        rules=_ANYTHING,
        distribution="ai-edge-litert",
    ),
    Cpu(
        name="cpu-ort",
        description="ONNX Runtime, one thread of this CPU",
        format="onnx",
        precisions=("int8", "float32"),
        rules=_ANYTHING,
        distribution="onnxruntime",
    ),
)
_RUNS = 9


def availability(target: Target, environments: Environments) -> Availability:
    """Both engines are dependencies of the export."""
    assert isinstance(target, Cpu)
    return Availability.of_package(target.distribution, 'pip install "lumavox[export]"')


def compile(target: Target, job: Job) -> Compiled:
    """Write the file and time it on one thread, median."""
    assert isinstance(target, Cpu)
    from importlib import metadata

    data = job.network.tflite() if target.format == "tflite" else job.network.onnx()
    name = f"model.{target.format}"
    (job.folder / name).write_bytes(data)
    run = _open(target, data)
    dtype = job.network.graph.inputs
    feeds = {p.name: np.zeros(p.shape, _dtype(job)) for p in dtype}
    run(feeds)
    times = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        run(feeds)
        times.append(time.perf_counter() - begin)
    count = len([op for op in job.network.graph.ops if op.inputs])
    return Compiled(
        files=(name,),
        tool=target.distribution,
        tool_version=metadata.version(target.distribution),
        rung="measured",
        operators=count,
        on_npu=0,
        npu_ms=statistics.median(times) * 1e3,
        unknown={
            "cycles": "not counted on CPUs",
            "sram_kib": "CPUs use main memory",
            "dram_kib": "not reported by the engine",
        },
    )


def simulate(target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]) -> Sequence[Outputs]:
    """What the engine computes."""
    run = _open(target, (job.folder / compiled.files[0]).read_bytes())
    return [run(feed) for feed in feeds]


def _open(target: Target, data: bytes) -> Runner:
    return open_tflite(data) if target.format == "tflite" else open_onnx(data)


def _dtype(job: Job) -> str:
    plan = job.network.plan
    return "float32" if plan is None else plan.tensors[job.network.graph.inputs[0].name].dtype
