"""ExecuTorch ``.pte`` files in an isolated environment: XNNPACK on this CPU, and Arm Ethos-U85.

The environment's program draws the network anew in PyTorch with the scales of our own plan (no quantizer has
a say), exports it and gives as much of it as possible to a backend. XNNPACK files run here, on one thread;
what XNNPACK leaves is done by ExecuTorch's portable kernels. Ethos-U85 files are compiled by the Vela that
ExecuTorch pins, whose estimates are given; they run on the device only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import RefusedError, ToolError
from ..formats import from_layout, to_layout
from ..npu.environments import Environments
from ..npu.network import Precision
from ..npu.portable import portable
from ._program import call
from .base import Availability, Compiled, Fallback, Feeds, Job, Limits, Outputs, Rules, Target

_ENVIRONMENT = "executorch"
_PTE, _ARRAYS = "network.pte", "network.npz"
_KINDS = ("Conv2D", "DepthwiseConv2D", "Constant", "Add", "Mul", "Concat", "Sigmoid", "DepthToSpace")
_RULES = Rules({kind: Limits() for kind in _KINDS})
_CPU_UNKNOWN = {
    "cycles": "not counted on CPUs",
    "sram_kib": "CPUs use main memory",
    "dram_kib": "the engine does not report it",
}
_SUMMARY = {  # of Vela's summary of each part of the network
    "cycles": re.compile(r"^Total cycles +(\d+)", re.MULTILINE),
    "sram_kib": re.compile(r"^Total SRAM used +([\d.]+) KiB", re.MULTILINE),
    "dram_kib": re.compile(r"^Total (?:DRAM|Off-chip Flash) used +([\d.]+) KiB", re.MULTILINE),
}


@dataclass(frozen=True, kw_only=True)
class ExecuTorch(Target):
    """``backend``: "xnnpack", or an Ethos-U as Vela names it, with sections of Vela's ``Arm/vela.ini``."""

    backend: str
    system: str = ""
    memory: str = ""
    cache_kib: int = 0
    mhz: int = 0


def _target(backend: str, description: str, precisions: tuple[Precision, ...], **settings: Any) -> ExecuTorch:
    return ExecuTorch(
        name=f"executorch-{backend}",
        description=description,
        format="onnx",
        precisions=precisions,
        rules=_RULES,
        ports="NCHW",
        environment=_ENVIRONMENT,
        backend=backend,
        **settings,
    )


TARGETS: tuple[ExecuTorch, ...] = (
    _target("xnnpack", "ExecuTorch with XNNPACK, one thread of this CPU", ("int8", "float32")),
    _target(
        "ethos-u85-512",
        "ExecuTorch with Arm Ethos-U85, 512 MACs per cycle, 1000 MHz",
        ("int8",),
        system="Ethos_U85_SYS_DRAM_Mid",
        memory="Dedicated_Sram",
        cache_kib=2048,
        mhz=1000,
    ),
)


def availability(target: Target, environments: Environments) -> Availability:
    """Whether the environment of ExecuTorch was made."""
    return Availability.of_environment(environments, _ENVIRONMENT, "executorch")


def compile(target: Target, job: Job) -> Compiled:
    """The ``.pte`` file; for XNNPACK with its time on this CPU."""
    assert isinstance(target, ExecuTorch)
    network, pte = job.network, job.folder.resolve() / _PTE
    drawn, arrays = portable(network.graph, network.plan)
    np.savez(pte.with_name(_ARRAYS), **arrays)  # type: ignore[arg-type]
    request = {
        "command": "compile",
        "backend": target.backend,
        "system": target.system,
        "memory": target.memory,
        "cache_kib": target.cache_kib,
        "network": drawn,
        "arrays": str(pte.with_name(_ARRAYS)),
        "pte": str(pte),
    }
    answer = call(job, _ENVIRONMENT, request, keep_log=True)
    pte.with_name(_ARRAYS).unlink()
    where = f"{network.model} ({network.content}) for {target.name}"
    if "failed" in answer.values:
        raise RefusedError(f"{where}: ExecuTorch refuses it: {answer.values['failed']}; rewrite: none known")
    if not pte.is_file():
        raise ToolError(f"{where}: ExecuTorch ended without its file; see {job.folder}")
    here = target.backend == "xnnpack"
    operators = len([op for op in network.graph.ops if op.inputs])
    left = fallbacks(answer.values["left"], target)
    figures: Mapping[str, float] | None = {} if here else vela_figures(answer.said, target.mhz)
    if figures is None:
        raise ToolError(f"{where}: Vela printed no summary; see {job.folder}")
    return Compiled(
        files=(_PTE,),
        tool="executorch",
        tool_version=job.environments.version(_ENVIRONMENT, "executorch") or "unknown",
        rung="measured" if here else "simulated",
        operators=operators,
        on_npu=0 if here else max(0, operators - len(left)),
        fallbacks=() if here else left,
        npu_ms=answer.values["median_ms"] if here else figures["npu_ms"],
        cycles=None if here else int(figures["cycles"]),
        sram_kib=figures.get("sram_kib"),
        dram_kib=figures.get("dram_kib"),
        unknown=_CPU_UNKNOWN if here else {},
        notes=_notes(answer.values, left),
    )


def simulate(target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]) -> Sequence[Outputs]:
    """What ExecuTorch computes with XNNPACK. Raises `ToolError` for Ethos-U85, which needs the device."""
    assert isinstance(target, ExecuTorch)
    if target.backend != "xnnpack":
        raise ToolError(f"{target.name}: its file runs on the device only; ethos-u85-512 has the numerics")
    graph = job.network.graph
    request = {
        "command": "run",
        "pte": str(job.folder.resolve() / compiled.files[0]),
        "calls": len(feeds),
        "inputs": [port.name for port in graph.inputs],
        "outputs": [port.name for port in graph.outputs],
    }
    inputs = [{name: to_layout(value, "NCHW") for name, value in feed.items()} for feed in feeds]
    answer = call(job, _ENVIRONMENT, request, inputs, keep_log=False)
    return [{name: from_layout(value, "NCHW") for name, value in y.items()} for y in answer.outputs]


def vela_figures(said: str, mhz: int) -> dict[str, float] | None:
    """Vela's estimates, of all parts together: time and cycles add up, memory is the largest part's."""
    found = {name: [float(value) for value in pattern.findall(said)] for name, pattern in _SUMMARY.items()}
    if not found["cycles"]:
        return None
    cycles = sum(found["cycles"])
    return {
        "npu_ms": cycles / mhz / 1e3,
        "cycles": cycles,
        "sram_kib": max(found["sram_kib"], default=0.0),
        "dram_kib": max(found["dram_kib"], default=0.0),
    }


def fallbacks(left: Mapping[str, int], target: ExecuTorch) -> tuple[Fallback, ...]:
    """Operators that stayed outside of the backend, by kind, as one entry each."""
    return tuple(
        Fallback(kind, f"{target.backend} does not take it; ExecuTorch's portable kernel does it")
        for kind, count in sorted(left.items())
        for _ in range(count)
    )


def _notes(values: Mapping[str, object], left: Sequence[Fallback]) -> tuple[str, ...]:
    parts = f"{values['delegates']} part(s) by the backend"
    kinds = ", ".join(dict.fromkeys(fallback.operator for fallback in left))
    return (f"{parts}; portable kernels: {kinds or 'none'}",)
