"""Streaming dialog mask over bands: gated memories whose weights are shared along frequency.

96 bands become 24 positions of ``channels``. Each block mixes along frequency and then remembers: every
channel of every position holds a value ``h`` that moves towards a candidate by a share that the sound itself
decides, ``h += z * (c - h)`` (minGRU, Feng et al. 2024, arXiv:2410.01201, with a linear candidate). Gates
read the present only, so training scans whole signals at little cost, a memory may last for seconds, and it
never leaves the range of its candidates, which keeps it sound in integers. ``wide`` cells see all positions
at once and give their finding back to every position.

One definition for training (whole signals), for streaming (one frame a call, explicit states) and for export
(``to_graph``): convolutions, Sigmoid, Mul and Add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lumavox.errors import OptionError

from ..graph import Add, Concat, Constant, Conv2D, Graph, Mul, Op, Port, Sigmoid, State
from ..parity import Tolerances

FRAMES = 3  # of features that the stem sees

# Memories carry an engine's rounding on for a while: frames of a stream end up to 8 steps apart on speech.
TOLERANCES = Tolerances(float_abs=1e-4, lsb=12, share=0.5)


@dataclass(frozen=True)
class Network:
    """Recipe section ``[network]`` of this family."""

    bands: int = 96
    positions: int = 24
    channels: int = 32
    frequency_dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)  # positions, one block each
    wide_after: tuple[int, ...] = (2, 4)  # blocks that a wide cell follows
    wide_channels: int = 64
    squeezed_channels: int = 8  # per position, on the way to a wide cell

    def __post_init__(self) -> None:
        if self.bands % self.positions:
            raise OptionError(f"bands {self.bands} must be a multiple of positions {self.positions}")
        if any(not 0 < block <= len(self.frequency_dilations) for block in self.wide_after):
            raise OptionError(
                f"wide_after counts blocks, 1 to {len(self.frequency_dilations)}, got {self.wide_after}"
            )

    def build(self) -> CellMask:
        """The network with fresh weights."""
        return CellMask(self)


class _Scan(torch.autograd.Function):
    """Step by step, so that a step's numbers stay in the processor's cache."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, candidates: Tensor) -> Tensor:
        shares, states = torch.empty_like(gates), torch.empty_like(candidates)
        past = torch.zeros_like(candidates[0])
        for a, c, z, h in zip(
            gates.unbind(0), candidates.unbind(0), shares.unbind(0), states.unbind(0), strict=True
        ):
            torch.sigmoid(a, out=z)
            torch.lerp(past, c, z, out=h)
            past = h
        ctx.save_for_backward(shares, states)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        shares, states = ctx.saved_tensors
        to_gates, to_candidates = torch.empty_like(shares), torch.empty_like(shares)
        zero = torch.zeros_like(states[0])
        hs = states.unbind(0)
        carry = zero.clone()
        rows = zip(
            grads[0].unbind(0), shares.unbind(0), hs, (zero, *hs[:-1]), to_gates.unbind(0),
            to_candidates.unbind(0), strict=True,
        )  # fmt: skip
        for grad, z, h, past, to_gate, to_candidate in reversed(list(rows)):
            carry.add_(grad)
            torch.mul(carry, z, out=to_candidate)
            carry.sub_(to_candidate)
            torch.sub(h, past, out=to_gate)  # z * (c - past)
            to_gate.mul_(carry)
        return to_gates, to_candidates


def scan(gates: Tensor, candidates: Tensor) -> Tensor:
    """States ``h[t] = h[t-1] + sigmoid(gates[t]) * (candidates[t] - h[t-1])`` along the first axis."""
    states: Tensor = _Scan.apply(gates, candidates)  # type: ignore[no-untyped-call]
    return states


class Cell(nn.Module):
    """A gated memory of ``width`` channels at every position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, width)
        self.candidate = nn.Linear(width, width)
        with torch.no_grad():  # memories of one frame to about a second
            self.gate.weight.mul_(0.5)
            self.gate.bias.copy_(torch.linspace(1.0, -4.0, width))

    def forward(self, x: Tensor) -> Tensor:
        """``(frames, batch, positions, channels)``, the state before the first frame zero."""
        return scan(self.gate(x), self.candidate(x))

    def step(self, x: Tensor, past: Tensor) -> Tensor:
        """One frame: the state after it."""
        return past + torch.sigmoid(self.gate(x)) * (self.candidate(x) - past)


class Wide(nn.Module):
    """A memory of the whole spectrum."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        width, wide, squeezed = network.channels, network.wide_channels, network.squeezed_channels
        self.squeeze = nn.Linear(width, squeezed)
        self.gather = nn.Conv2d(squeezed, wide, (1, network.positions))
        self.cell = Cell(wide)
        self.spread = nn.Linear(wide, width)
        with torch.no_grad():
            self.spread.weight.mul_(0.5)

    def seen(self, x: Tensor) -> Tensor:
        """All positions in one: ``(..., positions, channels)`` to ``(..., 1, wide)``."""
        return torch.relu(_along_frequency(self.gather, torch.relu(self.squeeze(x)), 0))


class CellMask(nn.Module):
    """Features ``(batch, frames, bands)`` to mask logits of the same shape; sigmoid gives the mask."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        width, group = network.channels, network.bands // network.positions
        self.stem = nn.Conv2d(FRAMES, width, (1, 2 * group), stride=(1, group), padding=(0, group // 2))
        self.place = nn.Parameter(torch.zeros(1, width, 1, network.positions))
        self.mix: list[nn.Conv2d] = nn.ModuleList(  # type: ignore[assignment]
            nn.Conv2d(width, width, (1, 3), padding=(0, d), dilation=(1, d))
            for d in network.frequency_dilations
        )
        self.cells: list[Cell] = nn.ModuleList(  # type: ignore[assignment]
            Cell(width) for _ in network.frequency_dilations
        )
        self.wide: list[Wide] = nn.ModuleList(Wide(network) for _ in network.wide_after)  # type: ignore[assignment]
        self.head = nn.Linear(width, group)

    def forward(self, features: Tensor) -> Tensor:
        """Whole signals; frame ``t`` of the result depends on frames up to ``t`` only."""
        batch, frames, bands = features.shape
        past = functional.pad(features, (0, 0, FRAMES - 1, 0))
        seen = torch.stack([past[:, i : i + frames] for i in range(FRAMES)], -1)  # oldest first
        x = self._stem(seen.transpose(0, 1))
        wide = iter(self.wide)
        for number, (mix, cell) in enumerate(zip(self.mix, self.cells, strict=True), 1):
            x = x + cell(torch.relu(_along_frequency(mix, x, mix.dilation[1])))
            if number in self.network.wide_after:
                layer = next(wide)
                x = x + layer.spread(layer.cell(layer.seen(x)))
        return self.head(x).flatten(2).transpose(0, 1)

    def _stem(self, seen: Tensor) -> Tensor:
        """``(frames, batch, bands, FRAMES)`` to ``(frames, batch, positions, channels)``."""
        x = functional.relu(self.stem(seen.flatten(0, 1)[:, None].permute(0, 3, 1, 2))) + self.place
        return x.permute(0, 2, 3, 1).reshape(*seen.shape[:2], self.network.positions, -1)

    @torch.no_grad()
    def reference(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One streaming call in torch: inputs of ``to_graph`` to its outputs, NHWC."""
        out: dict[str, Tensor] = {}
        fed = {name: torch.from_numpy(value) for name, value in feeds.items()}
        ago = [fed[f"features_{delay}_ago"] for delay in range(FRAMES - 1, 0, -1)]
        out["features_now"] = fed["features"] * 1.0
        x = self._stem(torch.cat([*ago, fed["features"]], 3))
        wide = iter(enumerate(self.wide))
        for number, (mix, cell) in enumerate(zip(self.mix, self.cells, strict=True), 1):
            u = torch.relu(_along_frequency(mix, x, mix.dilation[1]))
            out[f"memory{number}"] = cell.step(u, fed[f"memory{number}_before"])
            x = x + out[f"memory{number}"]
            if number in self.network.wide_after:
                index, layer = next(wide)
                name = f"wide{index + 1}"
                out[name] = layer.cell.step(layer.seen(x), fed[f"{name}_before"])
                x = x + layer.spread(out[name])
        out["mask"] = torch.sigmoid(self.head(x))
        return {key: value.numpy() for key, value in out.items()}

    def to_graph(self) -> Graph:
        """One frame per call: features (1, 1, bands, 1) to the mask (1, 1, positions, bands / positions)."""
        network = self.network
        group = network.bands // network.positions
        draw = _Drawing()
        draw.inputs.append(Port("features", (1, 1, network.bands, 1)))
        x = draw.conv(draw.recent("features", network.bands), "stem", self.stem,
                      stride=(1, group), activation="relu")  # fmt: skip
        place = self.place.detach().cpu().numpy().transpose(0, 2, 3, 1).copy()
        draw.ops += [Constant("place", place), Add(x, "place", "now0")]
        x, wide = "now0", iter(enumerate(self.wide))
        for number, (mix, cell) in enumerate(zip(self.mix, self.cells, strict=True), 1):
            u = draw.conv(x, f"mix{number}", mix, dilation=mix.dilation, activation="relu")
            memory = draw.cell(u, f"memory{number}", cell, (1, 1, network.positions, network.channels))
            draw.ops.append(Add(x, memory, f"now{number}"))
            x = f"now{number}"
            if number in network.wide_after:
                index, layer = next(wide)
                name = f"wide{index + 1}"
                g = draw.linear(x, f"{name}_squeezed", layer.squeeze, activation="relu")
                g = draw.conv(g, f"{name}_gathered", layer.gather, padding="valid", activation="relu")
                memory = draw.cell(g, name, layer.cell, (1, 1, 1, network.wide_channels))
                draw.ops.append(Add(x, draw.linear(memory, f"{name}_spread", layer.spread), f"{x}_informed"))
                x = f"{x}_informed"
        draw.ops.append(Sigmoid(draw.linear(x, "logits", self.head), "mask"))
        mask = Port("mask", (1, 1, network.positions, group))
        return Graph(tuple(draw.inputs), tuple(draw.ops), (mask, *draw.outputs), tuple(draw.states))


def _along_frequency(conv: nn.Conv2d, x: Tensor, padding: int) -> Tensor:
    """A ``(1, k)`` convolution of ``(frames, batch, positions, channels)``."""
    y = functional.conv2d(
        x.flatten(0, 1)[:, None].permute(0, 3, 1, 2), conv.weight, conv.bias,
        padding=(0, padding), dilation=conv.dilation,
    )  # fmt: skip
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:2], y.shape[3], y.shape[1])


class _Drawing:
    """Collects the parts of a graph."""

    def __init__(self) -> None:
        self.inputs: list[Port] = []
        self.ops: list[Op] = []
        self.outputs: list[Port] = []
        self.states: list[State] = []

    def conv(self, x: str, output: str, conv: nn.Conv2d, **options: Any) -> str:
        weight = conv.weight.detach().cpu().numpy().transpose(0, 2, 3, 1).copy()
        return self._weighted(x, output, weight, conv.bias, **options)

    def linear(self, x: str, output: str, linear: nn.Linear, **options: Any) -> str:
        weight = linear.weight.detach().cpu().numpy()[:, None, None, :].copy()
        return self._weighted(x, output, weight, linear.bias, **options)

    def _weighted(self, x: str, output: str, weight: Any, bias: Tensor | None, **options: Any) -> str:
        assert bias is not None
        self.ops.append(Conv2D(x, output, weight, bias.detach().cpu().numpy().copy(), **options))
        return output

    def recent(self, x: str, bands: int) -> str:
        """The present frame of an input and the ones before it, as channels, oldest first."""
        one = np.ones((1, 1, 1, 1), np.float32)
        self.ops += [Constant("one", one), Mul(x, "one", f"{x}_now")]  # a state is an output, not an input
        ago = [f"{x}_{delay}_ago" for delay in range(FRAMES - 1, 0, -1)]
        self.inputs += [Port(name, (1, 1, bands, 1)) for name in ago]
        self.states += [State(name, f"{x}_now", FRAMES - 1 - i) for i, name in enumerate(ago)]
        self.outputs.append(Port(f"{x}_now", (1, 1, bands, 1)))
        self.ops.append(Concat((*ago, x), f"{x}_recent", 3))
        return f"{x}_recent"

    def cell(self, x: str, name: str, cell: Cell, shape: tuple[int, int, int, int]) -> str:
        """``before + sigmoid(gate) * (candidate - before)``."""
        before = f"{name}_before"
        self.inputs.append(Port(before, shape))
        self.states.append(State(before, name, 1))
        self.outputs.append(Port(name, shape))
        gate = self.linear(x, f"{name}_gate", cell.gate)
        candidate = self.linear(x, f"{name}_candidate", cell.candidate)
        minus = np.full((1, 1, 1, 1), -1.0, np.float32)
        self.ops += [
            Sigmoid(gate, f"{name}_share"),
            Constant(f"{name}_minus", minus),
            Mul(before, f"{name}_minus", f"{name}_away"),
            Add(candidate, f"{name}_away", f"{name}_way"),
            Mul(f"{name}_share", f"{name}_way", f"{name}_move"),
            Add(before, f"{name}_move", name),
        ]
        return name
