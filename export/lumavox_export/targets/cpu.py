"""The CPU of this machine through the engines that products use: the rung that is measured here.

One thread, median of several calls. tflite-runtime, which devices with an old image have, needs numpy 1.26
and therefore an isolated environment.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..engines import Runner, open_onnx, open_tflite
from ..npu.agreement import example
from ..npu.environments import Environments
from ._program import call
from .base import Availability, Compiled, Feeds, Job, Limits, Outputs, Rules, Target

_RUNS = 7
_KINDS = ("Conv2D", "DepthwiseConv2D", "TransposeConv2D", "Constant", "Add", "Mul", "Concat", "Sigmoid")
_ANY = {kind: Limits() for kind in (*_KINDS, "DepthToSpace")}
_TFLITE = Rules(_ANY | {kind: Limits() for kind in ("Reshape", "Requantize")})


@dataclass(frozen=True, kw_only=True)
class Cpu(Target):
    """``distribution`` is the engine's package; ``open`` opens a file with it, None: in the environment."""

    distribution: str
    open: Callable[[bytes], Runner] | None = None


TARGETS: tuple[Cpu, ...] = (
    Cpu(
        name="cpu-litert",
        description="LiteRT with XNNPACK, one thread of this CPU",
        format="tflite",
        precisions=("int8", "w8a16", "float32", "float16"),
        rules=_TFLITE,
        distribution="ai-edge-litert",
        open=open_tflite,
    ),
    Cpu(
        name="cpu-ort",
        description="ONNX Runtime, one thread of this CPU",
        format="onnx",
        precisions=("int8", "float32"),
        rules=Rules(_ANY),
        ports="NCHW",
        distribution="onnxruntime",
        open=open_onnx,
    ),
    Cpu(
        name="cpu-tflite-runtime",
        description="tflite-runtime 2.14, one thread of this CPU",
        format="tflite",
        precisions=("int8", "float32"),
        rules=_TFLITE,
        environment="tflite-runtime",
        distribution="tflite-runtime",
    ),
)


def availability(target: Target, environments: Environments) -> Availability:
    """Whether the engine is here."""
    assert isinstance(target, Cpu)
    if target.environment is not None:
        return Availability.of_environment(environments, target.environment, target.distribution)
    return Availability.of_package(target.distribution, 'pip install "lumavox[export]"')


def compile(target: Target, job: Job) -> Compiled:
    """Write the file and time it."""
    assert isinstance(target, Cpu)
    name = f"model.{target.format}"
    data = job.network.tflite() if target.format == "tflite" else job.network.onnx()
    (job.folder / name).write_bytes(data)
    feeds = example(job.network)
    if target.environment is not None:
        request = {"model": str((job.folder / name).resolve()), "calls": 1, "repeats": 3}
        values = call(job, target.environment, request, [feeds], keep_log=True).values
        median, fastest = float(values["median_ms"]), float(values["fastest_ms"])
    else:
        median, fastest = _milliseconds(target, data, feeds)
    operators = len([op for op in job.network.graph.ops if op.inputs])
    here = availability(target, job.environments)
    return Compiled(
        files=(name,),
        tool=here.tool,
        tool_version=here.version or "unknown",
        rung="measured",
        operators=operators,
        on_npu=0,
        npu_ms=median,
        unknown={
            "cycles": "not counted on CPUs",
            "sram_kib": "CPUs use main memory",
            "dram_kib": "the engine does not report it",
        },
        notes=(f"fastest call {fastest:.3g} ms",),
    )


def simulate(target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]) -> Sequence[Outputs]:
    """What the engine computes."""
    assert isinstance(target, Cpu)
    model = job.folder / compiled.files[0]
    if target.open is not None:
        run = target.open(model.read_bytes())
        return [run(feed) for feed in feeds]
    request = {"model": str(model.resolve()), "calls": len(feeds), "repeats": 1}
    return call(job, target.environment or "", request, feeds, keep_log=False).outputs


def _milliseconds(target: Cpu, data: bytes, feeds: Feeds) -> tuple[float, float]:
    """Median and fastest call."""
    assert target.open is not None
    run = target.open(data)
    run(feeds)  # allocates
    times = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        run(feeds)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3, min(times) * 1e3
