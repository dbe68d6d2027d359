"""A network as plain data, for programs that cannot import this package: `portable`.

    drawn, arrays = portable(graph, plan)      # for JSON and for .npz

``drawn["ops"]`` are operators in order: "kind", "output", "inputs" and what the kind needs; paddings are
zeros before and after along height and width. ``arrays`` hold "<output>/weight" (outputs, kernel_h,
kernel_w, inputs / groups) and "<output>/bias" of convolutions, and "<output>/value" of constants. With a
plan they are the integers of every written file, ``drawn["tensors"]`` has [scale, zero point] by tensor and
"<output>/scale" the weight's scale per output channel (the bias's is that times the input's).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from ..graph import Concat, Constant, Conv2D, DepthToSpace, Graph, Op, Requantize, Reshape, TransposeConv2D
from ..quant_plan import QuantPlan, weights_of


def portable(graph: Graph, plan: QuantPlan | None) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Plain data for JSON, and arrays. Raises `GraphError` for an operator that only rewrites draw."""
    arrays: dict[str, NDArray[Any]] = {}
    drawn = {
        "inputs": [{"name": port.name, "shape": port.shape} for port in graph.inputs],
        "ops": [_op(graph, op, plan, arrays) for op in graph.ops],
        "outputs": [port.name for port in graph.outputs],
    }
    if plan is not None:
        drawn["tensors"] = {name: [t.scale, t.zero_point] for name, t in plan.tensors.items()}
    return drawn, arrays


def _op(graph: Graph, op: Op, plan: QuantPlan | None, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": type(op).__name__, "output": op.output, "inputs": list(op.inputs)}
    if isinstance(op, Conv2D):
        height, width = graph.shapes[op.x][1:3]
        entry |= {
            "stride": op.stride,
            "dilation": op.dilation,
            "groups": op.groups,
            "relu": op.activation == "relu",
            "pads": [op.pads(0, height), op.pads(1, width)],
        }
        weight, bias = (op.weight, op.bias) if plan is None else weights_of(op, plan)
        arrays[f"{op.output}/weight"], arrays[f"{op.output}/bias"] = weight, bias
        if plan is not None:
            arrays[f"{op.output}/scale"] = np.asarray(plan.weights[op.output], np.float64)
    elif isinstance(op, Constant):
        arrays[f"{op.output}/value"] = (
            op.value if plan is None else plan.tensors[op.output].quantize(op.value)
        )
    elif isinstance(op, Concat):
        entry["axis"] = op.axis
    elif isinstance(op, DepthToSpace):
        entry["block"] = op.block
    elif isinstance(op, (Reshape, Requantize, TransposeConv2D)):
        raise GraphError(f"{type(op).__name__} {op.output!r} has no portable form; families do not draw it")
    return entry
