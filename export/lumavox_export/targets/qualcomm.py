"""Qualcomm Hexagon HTP, three generations, by ONNX Runtime's QNN plugin in an isolated environment (x86-64).

The whole network goes to the HTP or is refused: falling back to the CPU is switched off. What is deployed is
a context binary with the small ONNX file that names it, for ONNX Runtime on the device. `simulate` runs
that very binary in Qualcomm's HTP simulator; it is not bit exact to the integer reference, since the HTP
rounds in its own way. Nothing here was loaded on a device, and no tool estimates times without one.

Files are QDQ with int8 activations and one weight scale per channel: the HTP takes them as they are, and
gives the same bits for the same file in uint8. w8a16 networks are written by `formats.onnx.write_unsigned`.
Inputs and outputs are NHWC, as the HTP computes, so that its graph has no operator that ours has not.
Qualcomm's libraries stay in the environment; none is put into a bundle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import RefusedError, ToolError
from ..formats import onnx
from ..npu.environments import Environments
from ._program import call
from .base import Availability, Compiled, Feeds, Job, Limits, Outputs, Rules, Target

_ENVIRONMENT = "qnn"
_CONTEXT, _BINARY = "network.onnx", "network_qnn.bin"  # the plugin derives the second name
_UNSUPPORTED = re.compile(r"Unsupported nodes in QNN EP: (\{.*\})")
_NODE = re.compile(r"\{ name: (\S+), type: (\w+) \}")
_NAMED = 6  # operators in a refusal
_UNKNOWN = (
    "the simulator's cycles are those of this machine's processor; Qualcomm's tools estimate on devices"
)


@dataclass(frozen=True, kw_only=True)
class Htp(Target):
    """``soc_model`` and ``htp_arch`` as the QNN plugin numbers them."""

    soc_model: int
    htp_arch: int
    simulator: str = "Qualcomm HTP simulator"


_RULES = Rules(
    {
        kind: Limits()
        for kind in (
            "Conv2D",
            "DepthwiseConv2D",
            "Constant",
            "Add",
            "Mul",
            "Concat",
            "Sigmoid",
            "DepthToSpace",
        )
    },
    rewrites=("depth_to_space_in_runtime",),
)


def _target(htp_arch: int, soc_model: int, products: str) -> Htp:
    return Htp(
        name=f"qualcomm-htp-v{htp_arch}",
        description=f"Qualcomm Hexagon HTP v{htp_arch} ({products})",
        format="onnx",
        precisions=("int8", "w8a16"),
        rules=_RULES,
        environment=_ENVIRONMENT,
        soc_model=soc_model,
        htp_arch=htp_arch,
    )


TARGETS: tuple[Htp, ...] = (
    _target(73, 43, "SM8550, Snapdragon 8 Gen 2"),
    _target(75, 57, "SM8650, Snapdragon 8 Gen 3"),
    _target(79, 69, "SM8750, Snapdragon 8 Elite"),
)


def availability(target: Target, environments: Environments) -> Availability:
    """Whether the plugin's environment was made."""
    return Availability.of_environment(environments, _ENVIRONMENT, "onnxruntime-qnn")


def compile(target: Target, job: Job) -> Compiled:
    """The context binary of the whole network."""
    network, model = job.network, job.folder.resolve() / "source.onnx"
    wide = network.precision == "w8a16"
    source = onnx.write_unsigned(network.graph, network.plan) if wide else network.onnx()  # type: ignore[arg-type]
    model.write_bytes(onnx.with_nhwc_ports(source))
    request = {"command": "compile", "model": str(model), "context": str(model.with_name(_CONTEXT))}
    answer = call(job, _ENVIRONMENT, request | {"provider": _provider(target)}, keep_log=True)
    where = f"{network.model} ({network.content}) for {target.name}"
    if "failed" in answer.values:
        left = unsupported(answer.said)
        if not left:
            raise ToolError(f"{where}: the QNN plugin failed: {answer.values['failed']}")
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        helpful = (
            "depth_to_space_in_runtime" if any("DepthToSpace" in name for name in left) else "none known"
        )
        raise RefusedError(
            f"{where}: the HTP leaves to the CPU: {', '.join(left[:_NAMED])}{more}; rewrite: {helpful}"
        )
    context = job.folder / _CONTEXT
    if not context.is_file() or not (job.folder / _BINARY).is_file():
        raise ToolError(f"{where}: the QNN plugin ended without its context binary; see {job.folder}")
    held = onnx.operators(context.read_bytes())
    if set(held) != {"EPContext"}:
        raise ToolError(f"{where}: operators outside of the context binary: {held}")
    model.unlink()
    operators = len([op for op in network.graph.ops if op.inputs])
    return Compiled(
        files=(_CONTEXT, _BINARY),
        tool="onnxruntime-qnn",
        tool_version=job.environments.version(_ENVIRONMENT, "onnxruntime-qnn") or "unknown",
        rung="simulated",
        operators=operators,
        on_npu=operators,
        unknown={
            "npu_ms": _UNKNOWN,
            "cycles": _UNKNOWN,
            "sram_kib": "the plugin does not say how it plans the HTP's own memory (VTCM)",
            "dram_kib": "the plugin does not say",
        },
        notes=_notes(held["EPContext"], answer.values["operators"]),
    )


def simulate(target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]) -> Sequence[Outputs]:
    """What Qualcomm's HTP simulator makes of the context binary."""
    graph, plan = job.network.graph, job.network.plan
    assert plan is not None
    wide = plan.precision == "w8a16"
    request = {"command": "run", "model": str(job.folder.resolve() / compiled.files[0]), "calls": len(feeds)}
    inputs = [{name: onnx.to_unsigned(q) if wide else q for name, q in feed.items()} for feed in feeds]
    answer = call(job, _ENVIRONMENT, request | {"provider": _provider(target)}, inputs, keep_log=False)
    if not wide:
        return answer.outputs
    return [{name: onnx.from_unsigned(graph, plan, name, q) for name, q in y.items()} for y in answer.outputs]


def unsupported(said: str) -> list[str]:
    """Operators that the plugin's log says the HTP does not take, as "kind output"; the last word counts."""
    lists = _UNSUPPORTED.findall(said) or [""]
    return [f"{kind} {name.partition(':')[2] or name}" for name, kind in _NODE.findall(lists[-1])]


def _provider(target: Target) -> dict[str, str]:
    assert isinstance(target, Htp)
    return {"soc_model": str(target.soc_model), "htp_arch": str(target.htp_arch)}


def _notes(parts: int, operators: dict[str, int]) -> tuple[str, ...]:
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(operators.items()))
    return (f"{parts} HTP graph of {counted}" if parts == 1 else f"{parts} HTP graphs of {counted}",)
