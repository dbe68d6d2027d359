"""One streaming network, stepped frame by frame: features in, mask out, its states kept.

It knows the tensors of a variant, not sound: `BandFrontEnd` makes features and uses masks. The same
object serves the runtime and the exporter's parity tests.

    network = StreamingNetwork(engine, variant)
    mask = network.step(features)                     # (bands,) float32 -> (bands,) float32

A state input is fed what its output was ``delay_frames`` calls ago, and zeros (quantized: the zero point)
before. Integer tensors are quantized and dequantized here; states stay as the engine wrote them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends.base import Engine
from .bundle import StateSpec, TensorSpec, Variant
from .errors import BundleFormatError

Float = NDArray[np.float32]
Tensor = NDArray[Any]

_TINY = np.float32(1e-30)  # smaller state values become zero: denormal numbers are slow on many CPUs


class StreamingNetwork:
    """Steps ``engine`` as ``variant`` describes it: one feature input, one mask output, any states.

    Raises BundleFormatError if the variant has another form. No view of the engine's memory is held
    between calls. Not for several threads at a time.
    """

    def __init__(self, engine: Engine, variant: Variant) -> None:
        self._engine = engine
        fed = {state.input for state in variant.states}
        kept = {state.output for state in variant.states}
        self._features = _only([t for t in variant.inputs if t.name not in fed], "feature input", variant)
        self._mask = _only([t for t in variant.outputs if t.name not in kept], "mask output", variant)
        self._rings = [
            _Ring(tensor, [state for state in variant.states if state.output == tensor.name])
            for tensor in variant.outputs
            if tensor.name in kept
        ]

    @property
    def bands(self) -> int:
        """Bands of features and mask."""
        return math.prod(self._features.shape)

    def reset(self) -> None:
        """The stream begins anew: all states at zero."""
        for ring in self._rings:
            ring.reset()

    def step(self, features: Float) -> Float:
        """The mask ``(bands,)`` of the next frame with ``features`` ``(bands,)``. Raises EngineError."""
        folded = _fold(features, self._features)
        self._engine.input(self._features.name)[...] = quantize(folded, self._features)
        for ring in self._rings:
            for name, delay in ring.feeds:
                self._engine.input(name)[...] = ring.past(delay)
        self._engine.run()
        mask = _unfold(dequantize(self._engine.output(self._mask.name), self._mask), self._mask)
        for ring in self._rings:
            ring.push(self._engine.output(ring.output))
        return mask


class _Ring:
    """The last values of one state output, which feeds one or several inputs at different delays."""

    def __init__(self, tensor: TensorSpec, states: list[StateSpec]) -> None:
        self.output = tensor.name
        self.feeds = [(state.input, state.delay_frames) for state in states]
        self._zero = tensor.zero_point or 0
        self._values = np.empty((max(delay for _, delay in self.feeds), *tensor.shape), tensor.dtype)
        self.reset()

    def reset(self) -> None:
        self._values[...] = self._zero
        self._next = 0

    def past(self, delay: int) -> Tensor:
        return np.asarray(self._values[(self._next - delay) % len(self._values)])

    def push(self, value: Tensor) -> None:
        slot = self._values[self._next]
        slot[...] = value
        if slot.dtype.kind == "f":
            slot[np.abs(slot) < _TINY] = 0
        self._next = (self._next + 1) % len(self._values)


def quantize(values: Float, spec: TensorSpec) -> Tensor:
    """Real values as a tensor of ``spec`` stores them; float tensors store them as they are."""
    if spec.scale is None or spec.zero_point is None:
        return np.asarray(values, spec.dtype)
    limits = np.iinfo(spec.dtype)
    steps = np.rint(values / np.float32(spec.scale)) + spec.zero_point
    return np.clip(steps, limits.min, limits.max).astype(spec.dtype)


def dequantize(stored: Tensor, spec: TensorSpec) -> Float:
    """Real values of what a tensor of ``spec`` stores; always a copy."""
    if spec.scale is None or spec.zero_point is None:
        return np.array(stored, np.float32)
    return (stored.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)


def _fold(bands: Float, spec: TensorSpec) -> Float:
    """``(bands,)`` as a tensor: band ``position * channels + channel``, in the tensor's layout."""
    if spec.layout == "NHWC" or len(spec.shape) != 4:
        return bands.reshape(spec.shape)
    n, channels, height, width = spec.shape
    return bands.reshape(n, height, width, channels).transpose(0, 3, 1, 2)


def _unfold(tensor: Float, spec: TensorSpec) -> Float:
    """The inverse of ``_fold``."""
    if spec.layout == "NCHW" and len(spec.shape) == 4:
        tensor = tensor.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(tensor).reshape(-1)


def _only(tensors: list[TensorSpec], what: str, variant: Variant) -> TensorSpec:
    if len(tensors) != 1:
        names = ", ".join(t.name for t in tensors) or "none"
        raise BundleFormatError(
            f"variant {variant.name!r} has {len(tensors)} tensors beside its states "
            f"where one {what} is needed ({names})"
        )
    if any(size < 1 for size in tensors[0].shape):
        raise BundleFormatError(
            f"variant {variant.name!r}: {what} {tensors[0].name!r} has the open shape {tensors[0].shape}; "
            "a streaming network needs fixed shapes"
        )
    return tensors[0]
