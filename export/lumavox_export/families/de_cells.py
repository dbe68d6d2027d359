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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lumavox.errors import OptionError

from ..drawing import Drawing
from ..graph import Add, Constant, Graph, Port, Sigmoid
from ..parity import Tolerances
from ..scan import scan

FRAMES = 3  # of features that the stem sees
LEAST_SHARE = 0.02  # of a tensor's range that a channel fills: engines take no weights of 1000

# One rounding to the other side in an early layer moves many values of later ones: engines are equal to their
# own arithmetic, and differ from golden vectors, which are rounded otherwise, by some steps in most values.
TOLERANCES = Tolerances(float_abs=1e-4, lsb=12, golden_share=1.0)


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
    def equalize(self, largest: Mapping[str, Tensor]) -> None:
        """Rescale channels to fill their tensors alike; the function stays (Nagel et al., ICCV 2019).

        ``largest`` is the largest magnitude ``(channels,)`` of each channel by tensor of `to_graph`. The sum
        that runs through all blocks has one scale a channel, the (geometric) mean of what its parts ask for.
        """
        share = {name: (x / x.max().clamp_min(1e-9)).clamp_min(LEAST_SHARE) for name, x in largest.items()}
        blocks = range(1, len(self.mix) + 1)
        parts = ["now0", *(f"now{n}" for n in blocks), *(f"memory{n}" for n in blocks)]
        parts += [f"now{n}_informed" for n in self.network.wide_after]
        trunk = torch.stack([share[name].log() for name in parts]).mean(0).exp()
        _rescale(self.stem, outputs=trunk)
        self.place.div_(trunk[:, None, None])
        for number, mix, cell in zip(blocks, self.mix, self.cells, strict=True):
            _rescale(mix, trunk, share[f"mix{number}"])
            _rescale(cell.gate, share[f"mix{number}"])
            _rescale(cell.candidate, share[f"mix{number}"], trunk)
        for number, layer in enumerate(self.wide, 1):
            squeezed, gathered = share[f"wide{number}_squeezed"], share[f"wide{number}_gathered"]
            memory = share[f"wide{number}"]
            _rescale(layer.squeeze, trunk, squeezed)
            _rescale(layer.gather, squeezed, gathered)
            _rescale(layer.cell.gate, gathered)
            _rescale(layer.cell.candidate, gathered, memory)
            _rescale(layer.spread, memory, trunk)
        _rescale(self.head, trunk)

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
        draw = Drawing()
        draw.inputs.append(Port("features", (1, 1, network.bands, 1)))
        x = draw.conv(draw.recent("features", network.bands, FRAMES), "stem", self.stem,
                      stride=(1, group), activation="relu")  # fmt: skip
        place = self.place.detach().cpu().numpy().transpose(0, 2, 3, 1).copy()
        draw.ops += [Constant("place", place), Add(x, "place", "now0")]
        x, wide = "now0", iter(enumerate(self.wide))
        for number, (mix, cell) in enumerate(zip(self.mix, self.cells, strict=True), 1):
            u = draw.conv(x, f"mix{number}", mix, dilation=mix.dilation, activation="relu")
            memory = draw.memory(
                u, f"memory{number}", cell.gate, cell.candidate, (1, 1, network.positions, network.channels)
            )
            draw.ops.append(Add(x, memory, f"now{number}"))
            x = f"now{number}"
            if number in network.wide_after:
                index, layer = next(wide)
                name = f"wide{index + 1}"
                g = draw.linear(x, f"{name}_squeezed", layer.squeeze, activation="relu")
                g = draw.conv(g, f"{name}_gathered", layer.gather, padding="valid", activation="relu")
                memory = draw.memory(
                    g, name, layer.cell.gate, layer.cell.candidate, (1, 1, 1, network.wide_channels)
                )
                draw.ops.append(Add(x, draw.linear(memory, f"{name}_spread", layer.spread), f"{x}_informed"))
                x = f"{x}_informed"
        draw.ops.append(Sigmoid(draw.linear(x, "logits", self.head), "mask"))
        mask = Port("mask", (1, 1, network.positions, group))
        return Graph(tuple(draw.inputs), tuple(draw.ops), (mask, *draw.outputs), tuple(draw.states))


def _rescale(
    layer: nn.Conv2d | nn.Linear, inputs: Tensor | None = None, outputs: Tensor | None = None
) -> None:
    """What a layer reads was divided by ``inputs``, what it makes is to be divided by ``outputs``."""
    if inputs is not None:
        layer.weight.mul_(inputs.view(-1, *[1] * (layer.weight.dim() - 2)))
    if outputs is not None:
        layer.weight.div_(outputs.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.div_(outputs)  # type: ignore[union-attr]


def _along_frequency(conv: nn.Conv2d, x: Tensor, padding: int) -> Tensor:
    """A ``(1, k)`` convolution of ``(frames, batch, positions, channels)``."""
    y = functional.conv2d(
        x.flatten(0, 1)[:, None].permute(0, 3, 1, 2), conv.weight, conv.bias,
        padding=(0, padding), dilation=conv.dilation,
    )  # fmt: skip
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:2], y.shape[3], y.shape[1])
