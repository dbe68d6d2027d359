"""Apple by coremltools, in an isolated environment: an ML Program (``.mlpackage``) drawn from our graph.

Weights are our int8 with one scale per channel. coremltools quantizes activations on macOS only, because it
calibrates by running the model; we need no calibration, so the plan's own scales are written as the pairs of
quantize and dequantize that Core ML has since iOS 17. Between them it computes in float16, scales included.
Inputs and outputs are real values, float16, NCHW.

The package is read back: operators, ports, and every int8 weight. It cannot be run outside of macOS and iOS,
so there are no numerics, no times, and no word about which operators the Neural Engine takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ToolError
from ..graph import Add, Concat, Constant, Conv2D, DepthToSpace, Graph, Mul, Op, Sigmoid
from ..npu.environments import Environments
from ..quant_plan import QuantPlan, weights_of
from ._program import call
from .base import Availability, Compiled, Fallback, Job, Limits, Rules, Target

_ENVIRONMENT, _PACKAGE = "coreml", "network.mlpackage"
_FILES = tuple(
    f"{_PACKAGE}/{name}"
    for name in (
        "Manifest.json",
        "Data/com.apple.CoreML/model.mlmodel",
        "Data/com.apple.CoreML/weights/weight.bin",
    )
)
_AXES = (0, 2, 3, 1)  # where the NHWC axes are in NCHW
_PLANNED = "Core ML decides on the device whether the Neural Engine takes it, so it is not counted"
_UNKNOWN = "Core ML plans and runs on macOS and iOS only"
_MIL = {
    Conv2D: "conv",
    Add: "add",
    Mul: "mul",
    Concat: "concat",
    Sigmoid: "sigmoid",
    DepthToSpace: "depth_to_space",
}

TARGETS: tuple[Target, ...] = (
    Target(
        name="apple-coreml",
        description="Apple Core ML (iOS 17, macOS 14)",
        format="onnx",
        precisions=("int8", "float32"),
        rules=Rules(
            {
                kind: Limits()
                for kind in ("Conv2D", "DepthwiseConv2D", "Constant", "Add", "Mul", "Concat", "Sigmoid")
                + ("DepthToSpace",)
            }
        ),
        environment=_ENVIRONMENT,
    ),
)


def availability(target: Target, environments: Environments) -> Availability:
    """Whether the environment of coremltools was made."""
    return Availability.of_environment(environments, _ENVIRONMENT, "coremltools")


def compile(target: Target, job: Job) -> Compiled:
    """The package, read back and compared with what was asked for."""
    graph, plan = job.network.graph, job.network.plan
    request, arrays = _request(graph, plan)
    package = job.folder.resolve() / _PACKAGE
    answer = call(job, _ENVIRONMENT, request | {"package": str(package)}, [arrays], keep_log=True).values
    wrong = differences(graph, plan, answer)
    if wrong:
        raise ToolError(
            f"{job.network.model} for {target.name}: coremltools wrote another network: {'; '.join(wrong)}"
        )
    made = [f"{_MIL[type(op)]} {op.output}" for op in graph.ops if op.inputs]
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(answer["operators"].items()))
    return Compiled(
        files=_FILES,
        tool="coremltools",
        tool_version=job.environments.version(_ENVIRONMENT, "coremltools") or "unknown",
        rung="compiled",
        operators=len(made),
        on_npu=0,
        fallbacks=tuple(Fallback(name, _PLANNED) for name in made),
        unknown=dict.fromkeys(("npu_ms", "cycles", "sram_kib", "dram_kib"), _UNKNOWN),
        notes=(f"ML Program of {counted}",),
    )


def differences(graph: Graph, plan: QuantPlan | None, answer: Mapping[str, Any]) -> list[str]:
    """Where the package that was read back is not the graph.

    coremltools drops multiplications by 1, with their rounding where it is that of their input.
    """
    found, wanted = dict(answer["operators"]), Counter(_MIL[type(op)] for op in graph.ops if type(op) in _MIL)
    ones = {op.output for op in graph.ops if isinstance(op, Constant) and (op.value == 1).all()}
    idle = sum(isinstance(op, Mul) and not ones.isdisjoint(op.inputs) for op in graph.ops)
    dropped = min(max(wanted["mul"] - found.get("mul", 0), 0), idle)
    wanted["mul"] -= dropped
    convolutions = [op for op in graph.ops if isinstance(op, Conv2D)]
    wanted["relu"] = sum(op.activation == "relu" for op in convolutions)
    if plan is not None:
        wanted["constexpr_affine_dequantize"] = len(convolutions)
        wanted["quantize"] = len(graph.inputs) + sum(not isinstance(op, Constant) for op in graph.ops)
        wanted["quantize"] -= min(max(wanted["quantize"] - found.get("quantize", 0), 0), dropped)
        # One more where coremltools gives a reader of a tensor a dequantize of its own, with another scale.
        wanted["dequantize"] = max(found.get("dequantize", 0), wanted["quantize"])
    wrong = [
        f"{found.get(kind, 0)} {kind}, not {wanted[kind]}"
        for kind in sorted(set(found) | set(wanted))
        if found.get(kind, 0) != wanted[kind]
    ]
    for key, ports in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if sorted(answer[key]) != sorted(port.name for port in ports):
            wrong.append(f"{key} {', '.join(answer[key])}")
    if plan is not None and answer["weights"] != len(convolutions):
        wrong.append(f"{answer['weights']} of {len(convolutions)} int8 weights found")
    return wrong


def _request(graph: Graph, plan: QuantPlan | None) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The graph as plain data, NCHW, and its arrays by name."""
    arrays: dict[str, NDArray[Any]] = {}
    operators = []
    for op in graph.ops:
        entry: dict[str, Any] = {"kind": type(op).__name__, "inputs": op.inputs, "output": op.output}
        entry["quant"] = None if isinstance(op, Constant) else _quant(plan, op.output)
        operators.append(entry | _settings(op, graph, plan, arrays))
    ports = [
        {"name": p.name, "shape": [p.shape[axis] for axis in (0, 3, 1, 2)], "quant": _quant(plan, p.name)}
        for p in graph.inputs
    ]
    return {
        "inputs": ports,
        "outputs": [{"name": p.name} for p in graph.outputs],
        "operators": operators,
    }, arrays


def _settings(
    op: Op, graph: Graph, plan: QuantPlan | None, arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    if isinstance(op, Constant):
        value = op.value
        if plan is not None:
            quant = plan.tensors[op.output]
            value = quant.dequantize(quant.quantize(value))
        arrays[op.output] = value.transpose(0, 3, 1, 2)
    if isinstance(op, Concat):
        return {"axis": _AXES[op.axis]}
    if isinstance(op, DepthToSpace):
        return {"block": op.block}
    if not isinstance(op, Conv2D):
        return {}
    weight: NDArray[Any] = op.weight
    bias: NDArray[Any] = op.bias
    if plan is not None:
        scales = np.asarray(plan.weights[op.output])
        weight, integers = weights_of(op, plan)
        bias = integers * plan.tensors[op.x].scale * scales
        arrays[f"{op.output}/scales"] = scales
    arrays[f"{op.output}/weight"] = np.ascontiguousarray(weight.transpose(0, 3, 1, 2))
    arrays[f"{op.output}/bias"] = bias
    sizes = graph.shapes[op.x][1:3]
    pads = [amount for axis in (0, 1) for amount in op.pads(axis, sizes[axis])]
    return {
        "pads": pads,
        "strides": op.stride,
        "dilations": op.dilation,
        "groups": op.groups,
        "relu": op.activation == "relu",
    }


def _quant(plan: QuantPlan | None, name: str) -> list[float] | None:
    return None if plan is None else [plan.tensors[name].scale, plan.tensors[name].zero_point]
