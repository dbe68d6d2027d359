"""Runs in the environment ``coreml``: builds a Core ML ML Program operator by operator and reads it back."""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path
from typing import Any

import coremltools as ct  # type: ignore[import-not-found]
import numpy as np
from coremltools.converters.mil import Builder as mb  # type: ignore[import-not-found]
from coremltools.converters.mil.mil import Function, Program, types  # type: ignore[import-not-found]
from numpy.typing import NDArray

_TARGET = ct.target.iOS17  # the first with quantize and dequantize
_DATA = "com.apple.CoreML"


def build(request: dict[str, Any], arrays: Any) -> Program:
    """The program: float16, activations rounded to the plan's integers where the request has scales."""
    specs = {p["name"]: mb.placeholder(tuple(p["shape"]), types.fp16) for p in request["inputs"]}
    program = Program()
    with Function(specs, _TARGET) as function:
        tensors = {
            p["name"]: _rounded(function.inputs[p["name"]], p["quant"], f"{p['name']}/in")
            for p in request["inputs"]
        }
        for op in request["operators"]:
            value = _operator(op, [tensors[name] for name in op["inputs"]], arrays)
            tensors[op["output"]] = _rounded(value, op["quant"], op["output"])
        function.set_outputs([tensors[port["name"]] for port in request["outputs"]])
        program.add_function("main", function)
    return program


def _operator(op: dict[str, Any], xs: list[Any], arrays: Any) -> Any:
    kind, rounded = op["kind"], op["quant"] is not None
    name = f"{op['output']}/{kind}" if rounded or op.get("relu") else op["output"]
    if kind == "Conv2D":
        weight = arrays[f"0:{op['output']}/weight"]
        if weight.dtype == np.int8:
            weight = mb.constexpr_affine_dequantize(
                quantized_data=weight,
                zero_point=np.int8(0),
                scale=arrays[f"0:{op['output']}/scales"].astype(np.float16),
                axis=np.int32(0),
                name=f"{op['output']}/weight",
            )
        else:
            weight = weight.astype(np.float16)
        value = mb.conv(
            x=xs[0],
            weight=weight,
            bias=arrays[f"0:{op['output']}/bias"].astype(np.float16),
            pad_type="custom",
            pad=op["pads"],
            strides=op["strides"],
            dilations=op["dilations"],
            groups=op["groups"],
            name=name,
        )
        last = f"{op['output']}/relu" if rounded else op["output"]
        return mb.relu(x=value, name=last) if op["relu"] else value
    if kind == "Constant":
        return mb.const(val=arrays[f"0:{op['output']}"].astype(np.float16), name=name)
    if kind in ("Add", "Mul"):
        return (mb.add if kind == "Add" else mb.mul)(x=xs[0], y=xs[1], name=name)
    if kind == "Concat":
        return mb.concat(values=xs, axis=op["axis"], name=name)
    if kind == "Sigmoid":
        return mb.sigmoid(x=xs[0], name=name)
    return mb.depth_to_space(x=xs[0], block_size=op["block"], name=name)


def _rounded(value: Any, quant: list[float] | None, name: str) -> Any:
    """``value`` through int8 of that scale and zero point, named ``name``."""
    if quant is None:
        return value
    scale, zero_point = np.float16(quant[0]), np.int8(quant[1])
    q = mb.quantize(
        input=value, scale=scale, zero_point=zero_point, output_dtype="int8", name=f"{name}/quantized"
    )
    return mb.dequantize(input=q, scale=scale, zero_point=zero_point, name=name)


def convert(request: dict[str, Any], arrays: Any) -> dict[str, Any]:
    model = ct.convert(
        build(request, arrays),
        convert_to="mlprogram",
        minimum_deployment_target=_TARGET,
        compute_precision=ct.precision.FLOAT16,
        skip_model_load=True,
    )
    model.save(request["package"])
    return _read_back(Path(request["package"]), arrays)


def _read_back(package: Path, arrays: Any) -> dict[str, Any]:
    """Operators of the saved package, its ports, and how many int8 weights are those of ``arrays``."""
    model = ct.models.MLModel(str(package), skip_model_load=True)
    spec = model.get_spec()
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    operators = collections.Counter(operation.type for operation in block.operations)
    weights = (package / "Data" / _DATA / "weights" / "weight.bin").read_bytes()
    asked = [value for name in arrays.files if (value := arrays[name]).dtype == np.int8]
    return {
        "operators": {kind: count for kind, count in operators.items() if kind != "const"},
        "inputs": [port.name for port in spec.description.input],
        "outputs": [port.name for port in spec.description.output],
        "weights": sum(_held(value, weights, spec) for value in asked),
    }


def _held(value: NDArray[np.int8], weights: bytes, spec: Any) -> bool:
    """Large constants lie in the weight file, small ones in the program."""
    return value.tobytes() in weights or value.tobytes() in spec.SerializeToString()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asked_for = json.loads((place / "request.json").read_text())
    with np.load(place / "feeds.npz") as given:
        (place / "answer.json").write_text(json.dumps(convert(asked_for, given)))
