"""How a graph is quantized: the scales of every tensor and weight, decided once and applied by each format.

`QuantPlan` is the decision, plain data that goes to JSON and back. It is made by `calibration.calibrate`
and applied by `reference.run_int`, ``formats.tflite`` and ``formats.onnx``, all with the same `weights_of`
and therefore with the same numbers.

    QuantPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan

Real value = scale * (q - zero_point). int8 activations are asymmetric, weights symmetric per output channel
(-127..127), biases int32 on the scale input * weight; "w8a16" has symmetric int16 activations and int64
biases (the LiteRT 8-bit and 16x8 quantization specification).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import OptionError

from .graph import Conv2D, TransposeConv2D

Precision: TypeAlias = Literal["int8", "w8a16"]
DTYPES = {"int8": "int8", "w8a16": "int16"}  # precision to the dtype of its activations
LIMITS = {"int8": (-128, 127), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class TensorQuant:
    """Scale and zero point of one tensor; ``dtype`` is "int8" or "int16"."""

    dtype: str
    scale: float
    zero_point: int

    def quantize(self, values: NDArray[Any]) -> NDArray[Any]:
        """Real values to integers: round half to even, saturate."""
        low, high = LIMITS[self.dtype]
        q = np.rint(np.asarray(values, np.float64) / self.scale) + self.zero_point
        return np.clip(q, low, high).astype(self.dtype)

    def dequantize(self, q: NDArray[Any]) -> NDArray[np.float32]:
        """Integers to real values."""
        return ((q.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


@dataclass(frozen=True)
class QuantPlan:
    """``tensors`` by tensor name; ``weights``: by a convolution's output name, one scale per channel.

    Of mixed precision, "int8" is that of inputs and outputs, and some ``tensors`` are int16.
    """

    precision: Precision
    tensors: Mapping[str, TensorQuant]
    weights: Mapping[str, tuple[float, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "precision": self.precision,
            "tensors": {k: [t.dtype, t.scale, t.zero_point] for k, t in self.tensors.items()},
            "weights": {k: list(v) for k, v in self.weights.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> QuantPlan:
        """What `to_dict` gave; raises `OptionError` for a key it does not know or that is missing."""
        known = ("precision", "tensors", "weights")
        for key in data:
            if key not in known:
                raise OptionError.unknown("key", key, known, "a quantization plan")
        missing = [key for key in known if key not in data]
        if missing:
            raise OptionError(f"a quantization plan needs the key {missing[0]!r}")
        activation_dtype(data["precision"])
        return cls(
            data["precision"],
            {k: TensorQuant(str(d), float(s), int(z)) for k, (d, s, z) in data["tensors"].items()},
            {k: tuple(float(s) for s in v) for k, v in data["weights"].items()},
        )


def activation_dtype(precision: str) -> str:
    """The dtype of activations in ``precision``; raises `OptionError` for an unknown one."""
    if precision not in DTYPES:
        raise OptionError.unknown("precision", precision, DTYPES)
    return DTYPES[precision]


def weight_of(op: Conv2D | TransposeConv2D, plan: QuantPlan) -> NDArray[np.int8]:
    """Quantized weight of a convolution, shaped as ``op.weight``."""
    scales = np.asarray(plan.weights[op.output], np.float64)
    return np.clip(np.rint(op.weight / scales[:, None, None, None]), -127, 127).astype(np.int8)


def weights_of(op: Conv2D, plan: QuantPlan) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Quantized weight (as ``op.weight``) and bias ``(outputs,)`` of a convolution."""
    scales = np.asarray(plan.weights[op.output], np.float64)
    bias = np.rint(op.bias / (plan.tensors[op.x].scale * scales))
    limit = 2**31 - 1 if plan.tensors[op.x].dtype == "int8" else 2**47 - 1
    return weight_of(op, plan), np.clip(bias, -limit, limit).astype(np.int64)
