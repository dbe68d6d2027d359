"""Plain super-resolution: 3x3 convolutions and ReLU at low resolution, DepthToSpace at the end, on luma.

The image-space anchor (nearest repeat of the input) needs no add and no concat: the last hidden channel
carries the input through every layer with an identity kernel, since luma is never negative and ReLU lets
it pass, and the last convolution copies it to every sub-pixel (equivalent transformation, Chao et al.,
CVPR 2023). Every other channel may read it too. With all hidden activations on the scale 1/255, an int8
engine passes it without any error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lumavox.errors import OptionError

from ..graph import Conv2D, DepthToSpace, Graph, Op, Port
from ..parity import Tolerances

TOLERANCES = Tolerances()


@dataclass(frozen=True)
class Network:
    """Recipe section ``[network]`` of this family."""

    scale: int = 2
    channels: int = 32  # hidden channels, the anchor among them
    layers: int = 6  # convolutions in all

    def __post_init__(self) -> None:
        if self.layers < 2 or self.channels < 2 or not 1 <= self.scale <= 4:
            raise OptionError(f"need layers >= 2, channels >= 2 and scale 1..4, got {self}")

    @property
    def receptive_field(self) -> int:
        """Low-resolution pixels across that one output pixel depends on."""
        return 2 * self.layers + 1

    def build(self) -> PlainSr:
        """The network with fresh weights."""
        return PlainSr(self)


class PlainSr(nn.Module):
    """Luma 0..1, ``(batch, 1, height, width)`` to ``(batch, 1, scale * height, scale * width)``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        hidden, outputs = network.channels, network.scale**2
        widths = [1] + [hidden] * (network.layers - 1) + [outputs]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for index, (fan_in, fan_out) in enumerate(zip(widths, widths[1:], strict=False)):
            weight = torch.empty(fan_out, fan_in, 3, 3)
            nn.init.kaiming_normal_(weight)
            last = index == network.layers - 1
            self.weights.append(nn.Parameter(weight * (0.1 if last else 0.7)))
            self.biases.append(nn.Parameter(torch.zeros(fan_out)))
            free, anchor = torch.ones(fan_out, 1, 1, 1), torch.zeros_like(weight)
            if last:
                anchor[:, -1, 1, 1] = 1.0
            else:
                free[-1] = 0.0
                anchor[-1, -1, 1, 1] = 1.0
            self.register_buffer(f"free{index}", free, persistent=False)
            self.register_buffer(f"anchor{index}", anchor, persistent=False)

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Weight and bias of a convolution as it is executed, anchor included."""
        free = getattr(self, f"free{index}")
        weight = self.weights[index] * free + getattr(self, f"anchor{index}")
        return weight, self.biases[index] * free[:, 0, 0, 0]

    def forward(self, x: Tensor) -> Tensor:
        """Not clipped: training sees values beyond 0..1, the executed graph saturates."""
        for index in range(self.network.layers):
            x = functional.conv2d(x, *self.layer(index), padding=1)
            if index < self.network.layers - 1:
                x = functional.relu(x)
        return functional.pixel_shuffle(x, self.network.scale)

    @torch.no_grad()
    def hidden(self, x: Tensor) -> list[Tensor]:
        """The activations after every convolution but the last."""
        found = []
        for index in range(self.network.layers - 1):
            x = functional.relu(functional.conv2d(x, *self.layer(index), padding=1))
            found.append(x)
        return found

    @torch.no_grad()
    def equalize(self, ranges: list[Tensor]) -> None:
        """Rescale hidden channels to 0..1 without changing the function (Nagel et al., ICCV 2019).

        ``ranges[i]`` ``(channels,)`` is the largest activation of each channel after convolution ``i``.
        """
        for index, largest in enumerate(ranges):
            factor = largest.clamp_min(1e-3).clone()
            factor[-1] = 1.0  # the anchor is 0..1 already
            self.weights[index] /= factor[:, None, None, None]
            self.biases[index] /= factor
            self.weights[index + 1] *= factor[None, :, None, None]

    @torch.no_grad()
    def reference(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One call in torch: inputs of ``to_graph`` to its outputs, NHWC."""
        return {
            "enlarged": self(torch.from_numpy(feeds["luma"]).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
        }

    def to_graph(self) -> Graph:
        """The executed network; with one output plane PixelShuffle and DepthToSpace order channels alike."""
        ops: list[Op] = []
        name = "luma"
        last = self.network.layers - 1
        for index in range(self.network.layers):
            weight, bias = (t.detach().cpu().numpy() for t in self.layer(index))
            output = "subpixels" if index == last else f"hidden{index}"
            activation = "none" if index == last else "relu"
            ops.append(
                Conv2D(name, output, weight.transpose(0, 2, 3, 1).copy(), bias.copy(), activation=activation)
            )
            name = output
        ops.append(DepthToSpace(name, "enlarged", self.network.scale))
        return Graph((Port("luma", (1, -1, -1, 1)),), tuple(ops), (Port("enlarged", (1, -1, -1, 1)),))
