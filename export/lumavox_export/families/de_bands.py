"""Streaming dialog mask over bands: convolutions whose weights are shared along frequency.

96 bands become 24 positions of ``channels``. Each block mixes in time (three causal taps, dilated) and then
along frequency; a global path sees all positions at once and gives its finding back to every position. The
head gives one mask value per band. Sharing weights over frequency learns from several times less sound than
a network with bands as channels.

One definition for training (whole signals), for streaming (one frame a call, explicit states: every state
is a block's own input some frames ago) and for export (``to_graph``).
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

from ..graph import Add, Concat, Constant, Conv2D, Graph, Op, Port, Sigmoid, State
from ..parity import Tolerances

TAPS = 3  # time taps of every causal convolution

# Fifteen convolutions deep with residual sums: engines that round differently end some steps apart.
TOLERANCES = Tolerances(float_abs=1e-4, lsb=6, share=0.5)


@dataclass(frozen=True)
class Network:
    """Recipe section ``[network]`` of this family."""

    bands: int = 96
    positions: int = 24
    channels: int = 32
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)  # frames, one block each
    frequency_dilations: tuple[int, ...] = (1, 2, 4, 1, 2)  # positions, one per block
    global_after: int = 2  # blocks before the global path
    global_channels: int = 48
    global_dilations: tuple[int, ...] = (8, 32)  # frames

    def __post_init__(self) -> None:
        if self.bands % self.positions:
            raise OptionError(f"bands {self.bands} must be a multiple of positions {self.positions}")
        if len(self.dilations) != len(self.frequency_dilations):
            raise OptionError("dilations and frequency_dilations must have one entry per block")

    def build(self) -> BandMask:
        """The network with fresh weights."""
        return BandMask(self)


class CausalTaps(nn.Module):
    """Convolution over ``TAPS`` frames, ``dilation`` apart, the last of them the present one."""

    def __init__(self, fan_in: int, fan_out: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv = nn.Conv2d(fan_in, fan_out, (TAPS, 1), dilation=(dilation, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, frames, positions)``; zeros before the first frame."""
        return functional.relu(self.conv(functional.pad(x, (0, 0, (TAPS - 1) * self.dilation, 0))))


class BandMask(nn.Module):
    """Features ``(batch, frames, bands)`` to mask logits of the same shape; sigmoid gives the mask."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        width, group = network.channels, network.bands // network.positions
        self.stem = nn.Conv2d(1, width, (1, 2 * group), stride=(1, group), padding=(0, group // 2))
        self.place = nn.Parameter(torch.zeros(1, width, 1, network.positions))
        self.time: list[CausalTaps] = nn.ModuleList(  # type: ignore[assignment]
            CausalTaps(width, width, d) for d in network.dilations
        )
        self.frequency: list[nn.Conv2d] = nn.ModuleList(  # type: ignore[assignment]
            nn.Conv2d(width, width, (1, 3), padding=(0, d), dilation=(1, d))
            for d in network.frequency_dilations
        )
        wide = network.global_channels
        self.gather = nn.Conv2d(width, wide, (1, network.positions))
        self.context: list[CausalTaps] = nn.ModuleList(  # type: ignore[assignment]
            CausalTaps(wide, wide, d) for d in network.global_dilations
        )
        self.spread = nn.Conv2d(wide, width, 1)
        self.head = nn.Conv2d(width, group, 1)
        with torch.no_grad():
            for conv in [*self.frequency, self.spread]:
                conv.weight.mul_(0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Whole signals; frame ``t`` of the result depends on frames up to ``t`` only."""
        x = functional.relu(self.stem(features[:, None])) + self.place
        for index, (time, frequency) in enumerate(zip(self.time, self.frequency, strict=True)):
            if index == self.network.global_after:
                x = x + self._global(x)
            x = x + frequency(time(x))
        logits = self.head(x)  # (batch, group, frames, positions); band = position * group + channel
        return logits.permute(0, 2, 3, 1).flatten(2)

    def _global(self, x: Tensor) -> Tensor:
        g = functional.relu(self.gather(x))
        for layer in self.context:
            g = layer(g)
        return self.spread(g)

    @torch.no_grad()
    def reference(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One streaming call in torch: inputs of ``to_graph`` to its outputs, NHWC."""
        out: dict[str, Tensor] = {}

        def taps(name: str, x: Tensor, layer: CausalTaps) -> Tensor:
            out[name] = x
            delays = range((TAPS - 1) * layer.dilation, 0, -layer.dilation)
            past = [torch.from_numpy(feeds[f"{name}_{delay}_ago"]).permute(0, 3, 1, 2) for delay in delays]
            return functional.relu(
                functional.conv2d(torch.cat([*past, x], 2), layer.conv.weight, layer.conv.bias)
            )

        features = torch.from_numpy(feeds["features"]).permute(0, 3, 1, 2)
        x, name = functional.relu(self.stem(features)) + self.place, "now0"
        for index, (time, frequency) in enumerate(zip(self.time, self.frequency, strict=True)):
            if index == self.network.global_after:
                g, source = functional.relu(self.gather(x)), "gather"
                for j, layer in enumerate(self.context):
                    g, source = taps(source, g, layer), f"context{j}"
                x, name = x + self.spread(g), "informed"
            x, name = x + frequency(taps(name, x, time)), f"now{index + 1}"
        out["mask"] = torch.sigmoid(self.head(x))
        return {key: value.permute(0, 2, 3, 1).numpy() for key, value in out.items()}

    def to_graph(self) -> Graph:
        """One frame per call: features (1, 1, bands, 1) to the mask (1, 1, positions, bands / positions)."""
        network = self.network
        draw = _Drawing()
        draw.inputs.append(Port("features", (1, 1, network.bands, 1)))
        group = network.bands // network.positions
        x = draw.conv("features", "stem", self.stem, stride=(1, group), activation="relu")
        place = self.place.detach().cpu().numpy().transpose(0, 2, 3, 1).copy()
        draw.ops += [Constant("place", place), Add(x, "place", "now0")]
        x = "now0"
        for index, (time, frequency) in enumerate(zip(self.time, self.frequency, strict=True)):
            if index == network.global_after:
                g = draw.conv(x, "gather", self.gather, padding="valid", activation="relu")
                for j, layer in enumerate(self.context):
                    g = draw.taps(g, f"context{j}", layer, (1, 1, 1, network.global_channels))
                draw.ops.append(Add(x, draw.conv(g, "spread", self.spread), "informed"))
                x = "informed"
            shape = (1, 1, network.positions, network.channels)
            timed = draw.taps(x, f"time{index}", time, shape)
            mixed = draw.conv(timed, f"frequency{index}", frequency, dilation=frequency.dilation)
            draw.ops.append(Add(x, mixed, f"now{index + 1}"))
            x = f"now{index + 1}"
        draw.ops.append(Sigmoid(draw.conv(x, "logits", self.head), "mask"))
        mask = Port("mask", (1, 1, network.positions, group))
        return Graph(tuple(draw.inputs), tuple(draw.ops), (mask, *draw.outputs), tuple(draw.states))


class _Drawing:
    """Collects the parts of a graph."""

    def __init__(self) -> None:
        self.inputs: list[Port] = []
        self.ops: list[Op] = []
        self.outputs: list[Port] = []
        self.states: list[State] = []

    def conv(self, x: str, output: str, conv: nn.Conv2d, **options: Any) -> str:
        weight = conv.weight.detach().cpu().numpy().transpose(0, 2, 3, 1).copy()
        bias = conv.bias
        assert bias is not None
        self.ops.append(Conv2D(x, output, weight, bias.detach().cpu().numpy().copy(), **options))
        return output

    def taps(self, x: str, output: str, layer: CausalTaps, shape: tuple[int, int, int, int]) -> str:
        """Causal taps: the present frame and states that hold it ``dilation`` and more frames ago."""
        past = []
        for delay in range((TAPS - 1) * layer.dilation, 0, -layer.dilation):
            name = f"{x}_{delay}_ago"
            past.append(name)
            self.inputs.append(Port(name, shape))
            self.states.append(State(name, x, delay))
        self.outputs.append(Port(x, shape))
        self.ops.append(Concat((*past, x), f"{output}_taps", 1))
        return self.conv(f"{output}_taps", output, layer.conv, padding="valid", activation="relu")
