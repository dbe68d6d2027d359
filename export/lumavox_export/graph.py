"""The one small network language between a torch family and every file format.

A family draws its trained network as a `Graph`; calibration, the integer reference, the writers and the
parity chain read nothing else, so a network is quantized once and written many times. It is no general
compiler representation: only operators that every NPU toolchain takes (DESIGN: plain convolutions, no
transposes, no reshapes), batch 1, layout NHWC. For sound the axes are (1, time, band, channel).

    graph = Graph((Port("x", (1, -1, -1, 1)),),
                  (Conv2D("x", "h", weight, bias, activation="relu"), DepthToSpace("h", "y", 2)),
                  (Port("y", (1, -1, -1, 1)),))
    graph.parameters(), graph.macs(540, 960)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import GraphError

Shape: TypeAlias = tuple[int, int, int, int]
Floats: TypeAlias = NDArray[np.float32]
ANY = -1  # a height or width that is known only when the network runs


@dataclass(frozen=True)
class Port:
    """A graph input or output. ``shape`` is NHWC; ``-1`` is any height or width."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class State:
    """``input`` is what ``output`` was ``delay_frames`` calls ago; zeros before the stream began."""

    input: str
    output: str
    delay_frames: int


@dataclass(frozen=True, eq=False)
class Conv2D:
    """2-D convolution (correlation), bias, optional ReLU.

    ``weight`` is ``(outputs, kernel_h, kernel_w, inputs / groups)`` float32. ``groups`` is 1, or the number
    of channels (depthwise, one filter per channel). ``padding`` is "valid", or "same" as TensorFlow does it:
    zeros, the odd one at the end.
    """

    x: str
    output: str
    weight: Floats
    bias: Floats
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "same"
    groups: int = 1
    activation: str = "none"  # or "relu"

    def __post_init__(self) -> None:
        where = f"Conv2D {self.output!r}"
        if self.weight.ndim != 4 or self.bias.shape != self.weight.shape[:1]:
            raise GraphError(
                f"{where}: need weight (outputs, kernel_h, kernel_w, inputs / groups) and bias (outputs,), "
                f"got {self.weight.shape} and {self.bias.shape}"
            )
        if self.groups != 1 and (self.groups != self.weight.shape[0] or self.weight.shape[3] != 1):
            raise GraphError(
                f"{where}: groups is 1 or one per channel, got {self.groups} for {self.weight.shape}"
            )
        if self.padding not in ("same", "valid") or self.activation not in ("none", "relu"):
            raise GraphError(
                f"{where}: padding is same or valid and activation none or relu, "
                f"got {self.padding!r} and {self.activation!r}"
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)

    @property
    def channels_in(self) -> int:
        return self.weight.shape[3] * self.groups

    def pads(self, axis: int, size: int) -> tuple[int, int]:
        """Zeros before and after along ``axis`` (0 height, 1 width) of an input of ``size``."""
        if self.padding == "valid":
            return 0, 0
        stride, reach = self.stride[axis], (self.weight.shape[1 + axis] - 1) * self.dilation[axis]
        total = reach if stride == 1 else max(0, (-(-size // stride) - 1) * stride + reach + 1 - size)
        return total // 2, total - total // 2

    def size(self, axis: int, size: int) -> int:
        """Output size along ``axis`` for an input of ``size`` (``ANY`` stays ``ANY``)."""
        if size == ANY:
            return ANY
        if self.padding == "same":
            return -(-size // self.stride[axis])
        return (size - 1 - (self.weight.shape[1 + axis] - 1) * self.dilation[axis]) // self.stride[axis] + 1


@dataclass(frozen=True, eq=False)
class TransposeConv2D:
    """Every pixel becomes a ``block`` x ``block`` cell, a weighted sum of its channels; cells do not overlap.

    ``weight`` is ``(outputs, block, block, inputs)`` float32: kernel equals stride. Families do not draw it;
    it is how `DepthToSpace` is written for engines that have no kernel for that.
    """

    x: str
    output: str
    weight: Floats

    def __post_init__(self) -> None:
        if self.weight.ndim != 4 or self.weight.shape[1] != self.weight.shape[2]:
            raise GraphError(
                f"TransposeConv2D {self.output!r}: need weight (outputs, block, block, inputs), "
                f"got {self.weight.shape}"
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)

    @property
    def block(self) -> int:
        """Kernel and stride."""
        return self.weight.shape[1]


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor of the network itself, ``value`` float32 NHWC: the other side of an `Add` or `Mul`."""

    output: str
    value: Floats

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Add:
    """``a + b``; an axis of size 1 is repeated to the other's size."""

    a: str
    b: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.a, self.b


@dataclass(frozen=True)
class Mul:
    """``a * b``; an axis of size 1 is repeated to the other's size."""

    a: str
    b: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.a, self.b


@dataclass(frozen=True)
class Concat:
    """Tensors one after the other along ``axis`` (NHWC: 1 height, 2 width, 3 channels)."""

    xs: tuple[str, ...]
    output: str
    axis: int

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.xs


@dataclass(frozen=True)
class Sigmoid:
    """``1 / (1 + exp(-x))``."""

    x: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@dataclass(frozen=True)
class DepthToSpace:
    """Channels to a ``block`` x ``block`` cell of pixels, order DCR: depth = (by * block + bx) * C + c."""

    x: str
    output: str
    block: int

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@dataclass(frozen=True)
class Reshape:
    """The same numbers, in NHWC order of memory, as another ``shape``. Families do not draw it (see
    `TransposeConv2D`)."""

    x: str
    output: str
    shape: Shape

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@dataclass(frozen=True)
class Requantize:
    """The same real values on the scale and in the width of another tensor. Families do not draw it; mixed
    precision does (`precision`)."""

    x: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


Op: TypeAlias = (
    Conv2D | TransposeConv2D | Constant | Add | Mul | Concat | Sigmoid | DepthToSpace | Reshape | Requantize
)


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in order of execution. Wrong wiring is refused when it is built (`GraphError`)."""

    inputs: tuple[Port, ...]
    ops: tuple[Op, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...] = field(default=())

    def __post_init__(self) -> None:
        shapes = self.shapes
        made = [op.output for op in self.ops]
        for port in self.outputs:
            if port.name not in made:
                raise GraphError(f"output {port.name!r} is made by no operator (made: {', '.join(made)})")
            if port.shape != shapes[port.name]:
                raise GraphError(f"output {port.name!r} is {shapes[port.name]}, but declared as {port.shape}")
        inputs, outputs = {p.name: p for p in self.inputs}, {p.name: p for p in self.outputs}
        for state in self.states:
            if state.input not in inputs or state.output not in outputs or state.delay_frames < 1:
                raise GraphError(f"{state} needs a graph input, a graph output and a delay of 1 or more")
            if inputs[state.input].shape != outputs[state.output].shape:
                raise GraphError(f"{state}: the two tensors have different shapes")

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of every tensor; ``-1`` where it follows from an input of any size."""
        return self.shapes_for({})

    def shapes_for(self, sizes: Mapping[str, Shape]) -> dict[str, Shape]:
        """The shape of every tensor when the inputs named in ``sizes`` have these shapes."""
        shapes: dict[str, Shape] = {}
        for port in self.inputs:
            shape = tuple(sizes.get(port.name, port.shape))
            if len(shape) != 4 or any(want not in (ANY, got) for want, got in zip(port.shape, shape)):
                raise GraphError(f"input {port.name!r} takes {port.shape} (-1 any), got {shape}")
            _define(shapes, port.name, shape)  # type: ignore[arg-type]
        for op in self.ops:
            missing = [name for name in op.inputs if name not in shapes]
            if missing:
                raise GraphError(f"{type(op).__name__} {op.output!r} reads {missing[0]!r} before it is made")
            _define(shapes, op.output, _output_shape(op, [shapes[name] for name in op.inputs]))
        return shapes

    def parameters(self) -> int:
        """Weights and biases of all convolutions, and constants."""
        convs = sum(op.weight.size + op.bias.size for op in self.ops if isinstance(op, Conv2D))
        convs += sum(op.weight.size for op in self.ops if isinstance(op, TransposeConv2D))
        return convs + sum(op.value.size for op in self.ops if isinstance(op, Constant))

    def macs(self, height: int = 1, width: int = 1) -> int:
        """Multiply-accumulates of the convolutions in one call; the sizes replace ``-1`` of the inputs."""
        sizes = {p.name: _filled(p.shape, height, width) for p in self.inputs}
        shapes = self.shapes_for(sizes)
        return sum(
            int(np.prod(shapes[op.output]))
            * int(np.prod(op.weight.shape[1:] if isinstance(op, Conv2D) else op.weight.shape[3]))
            for op in self.ops
            if isinstance(op, (Conv2D, TransposeConv2D))
        )


def _filled(shape: Shape, height: int, width: int) -> Shape:
    n, h, w, c = shape
    return n, height if h == ANY else h, width if w == ANY else w, c


def _define(shapes: dict[str, Shape], name: str, shape: Shape) -> None:
    if name in shapes:
        raise GraphError(f"tensor {name!r} is made twice")
    shapes[name] = shape


def _output_shape(op: Op, shapes: list[Shape]) -> Shape:
    where = f"{type(op).__name__} {op.output!r}"
    if isinstance(op, Constant):
        if op.value.ndim != 4:
            raise GraphError(f"{where}: need 4 axes (NHWC), got {op.value.shape}")
        return op.value.shape  # type: ignore[return-value]
    n, h, w, c = shapes[0]
    if isinstance(op, Conv2D):
        if c != op.channels_in:
            raise GraphError(f"{where}: weight {op.weight.shape} takes {op.channels_in} channels, got {c}")
        out = (n, op.size(0, h), op.size(1, w), op.weight.shape[0])
        if 0 in out or min(out) < ANY:
            raise GraphError(f"{where}: the kernel is larger than its input {shapes[0]}")
        return out
    if isinstance(op, TransposeConv2D):
        if c != op.weight.shape[3]:
            raise GraphError(
                f"{where}: weight {op.weight.shape} takes {op.weight.shape[3]} channels, got {c}"
            )
        rows, columns = (ANY if size == ANY else size * op.block for size in (h, w))
        return n, rows, columns, op.weight.shape[0]
    if isinstance(op, (Add, Mul)):
        pairs = list(zip(*shapes))
        if any(1 not in pair and len(set(pair)) > 1 for pair in pairs):
            raise GraphError(f"{where}: {shapes[0]} and {shapes[1]} do not fit together")
        return tuple(next((s for s in pair if s != 1), 1) for pair in pairs)  # type: ignore[return-value]
    if isinstance(op, Concat):
        if not 1 <= op.axis <= 3 or any(
            len({s[axis] for s in shapes}) > 1 for axis in range(4) if axis != op.axis
        ):
            raise GraphError(f"{where}: {shapes} do not fit together along axis {op.axis}")
        along = [s[op.axis] for s in shapes]
        total = ANY if ANY in along else sum(along)
        return shapes[0][: op.axis] + (total,) + shapes[0][op.axis + 1 :]  # type: ignore[return-value]
    if isinstance(op, Reshape):
        if ANY in shapes[0] or ANY in op.shape or np.prod(shapes[0]) != np.prod(op.shape):
            raise GraphError(f"{where}: {shapes[0]} cannot become {op.shape}")
        return op.shape
    if isinstance(op, DepthToSpace):
        if op.block < 1 or c % op.block**2:
            raise GraphError(f"{where}: {c} channels are no multiple of {op.block}²")
        enlarged = [ANY if size == ANY else size * op.block for size in (h, w)]
        return n, enlarged[0], enlarged[1], c // op.block**2
    return shapes[0]
