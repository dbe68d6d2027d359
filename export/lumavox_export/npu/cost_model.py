"""Predicts what a picture network costs on a target, without its tool: `CostModel.calibrate`.

A sum of three terms that cannot be negative: multiply-accumulates with channels rounded up to 16 (arrays work
on blocks), bytes of activations that are written and read, and operators. The weights are fitted, per
target, to what the target's own tool says of a small grid of plain networks; the error stated is that of
leaving each of them out of the fit in turn.

    model = CostModel.calibrate(compiler, "ethos-u65-512")
    model.predict_ms(graph, plan), model.error
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import RefusedError, TargetError
from ..graph import Conv2D, DepthToSpace, Graph, Op, Port
from ..progress import progress
from ..quant_plan import QuantPlan, TensorQuant
from .compiler import Compiler
from .network import Network
from .presets import Preset

_GRID = ((8, 3), (8, 6), (16, 4), (16, 7), (24, 5), (32, 3), (32, 6), (48, 4))  # channels, layers
_SIZES = (Preset("320x180", 180, 320), Preset("640x360", 360, 640), Preset("960x540", 540, 960))
_BLOCK = 16


@dataclass(frozen=True)
class CostModel:
    """``weights``: ms per term; ``error``: mean of |predicted / tool's - 1| of networks left out."""

    target: str
    weights: tuple[float, ...]
    error: float
    networks: int

    @classmethod
    def calibrate(cls, compiler: Compiler, target: str) -> CostModel:
        """Fit to the tool's estimates (cached like any compilation). Raises `TargetError`."""
        terms, times = [], []
        jobs = [(channels, layers, _SIZES[i % 3]) for i, (channels, layers) in enumerate(_GRID)]
        for channels, layers, size in progress(jobs, f"{target}: calibration"):
            network = plain_network(channels, layers)
            try:
                total = compiler.compile(network, size, target).record.total_ms
            except RefusedError:
                continue  # too large for the target: says nothing about time
            if total is None:
                raise TargetError(f"{target}: its tool estimates no times, so nothing can be predicted")
            terms.append(_terms(network.fixed(size).graph))
            times.append(total)
        if len(times) <= len(terms[0]) if terms else True:
            raise TargetError(f"{target}: too few networks compile to predict anything")
        x, y = np.array(terms), np.array(times)
        left_out = []
        for index in range(len(y)):
            others = np.arange(len(y)) != index
            left_out.append(abs(x[index] @ _fit(x[others], y[others]) / y[index] - 1))
        return cls(target, tuple(float(w) for w in _fit(x, y)), float(np.mean(left_out)), len(y))

    def predict_ms(self, graph: Graph) -> float:
        """Milliseconds of one call of a graph of fixed shapes."""
        return float(_terms(graph) @ np.array(self.weights))


def plain_network(channels: int, layers: int, scale: int = 2) -> Network:
    """A plain super-resolution network with the shapes of a real one and weights of no meaning."""
    rng = np.random.default_rng(channels * 100 + layers)
    widths = [1] + [channels] * (layers - 1) + [scale**2]
    ops: list[Op] = []
    name = "luma"
    for index, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
        output = f"hidden{index}" if index < layers - 1 else "subpixels"
        weight = rng.normal(0, 1 / np.sqrt(9 * fan_in), (fan_out, 3, 3, fan_in)).astype(np.float32)
        activation = "relu" if index < layers - 1 else "none"
        ops.append(Conv2D(name, output, weight, np.zeros(fan_out, np.float32), activation=activation))
        name = output
    ops.append(DepthToSpace(name, "enlarged", scale))
    graph = Graph((Port("luma", (1, -1, -1, 1)),), tuple(ops), (Port("enlarged", (1, -1, -1, 1)),))
    quant = TensorQuant("int8", float(np.float32(1 / 255)), -128)
    convs = [op for op in ops if isinstance(op, Conv2D)]
    plan = QuantPlan(
        "int8",
        dict.fromkeys(graph.shapes, quant),
        {op.output: (float(np.float32(0.01)),) * len(op.bias) for op in convs},
    )
    front_end = {"scale": scale, "plane": "luma", "bit_depth": 8, "receptive_field": 2 * layers + 1}
    golden = {"luma": rng.integers(-128, 128, (1, 16, 16, 1)).astype(np.int8)}
    return Network(
        model=f"plain/{channels}x{layers}-x{scale}",
        version="0",
        content="any",
        task="sr",
        scale=float(scale),
        variant="plain",
        digest=f"plain-{channels}-{layers}-{scale}".ljust(64, "0"),
        graph=graph,
        plan=plan,
        golden=golden,
        front_end=front_end,
    )


def _terms(graph: Graph) -> NDArray[np.float64]:
    shapes = graph.shapes
    macs = bytes_moved = operators = 0.0
    for op in graph.ops:
        operators += 1
        bytes_moved += sum(float(np.prod(shapes[name])) for name in (*op.inputs, op.output))
        if isinstance(op, Conv2D):
            fan_out, *_, fan_in = op.weight.shape
            blocks = _up(fan_out) * (_up(fan_in) if op.groups == 1 else 1)
            macs += float(np.prod(shapes[op.output][1:3])) * np.prod(op.weight.shape[1:3]) * blocks
    return np.array([macs / 1e9, bytes_moved / 1e6, operators])


def _up(channels: int) -> int:
    return -(-channels // _BLOCK) * _BLOCK


def _fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares of the relative error, no weight below zero: terms that would be are left out."""
    kept: Sequence[int] = list(range(x.shape[1]))
    while True:
        solved, *_ = np.linalg.lstsq(x[:, kept] / y[:, None], np.ones(len(y)), rcond=None)
        if (solved >= 0).all() or len(kept) == 1:
            weights = np.zeros(x.shape[1])
            weights[list(kept)] = np.maximum(solved, 0)
            return weights
        kept = [k for k, w in zip(kept, solved) if w >= 0] or [0]
