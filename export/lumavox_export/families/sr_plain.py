"""Plain super-resolution: 3x3 convolutions and ReLU at low resolution, DepthToSpace at the end, on luma.

The image-space anchor (the input repeated) needs no add and no concat: the last hidden channel carries the
input through every layer with an identity kernel, since luma is never negative and ReLU lets it pass, and
the last convolution copies it to every sub-pixel (equivalent transformation, Chao et al., CVPR 2023). Every
other channel may read it too. With all hidden activations on the scale 1/255, an int8 engine passes it
without any error.

With ``entry_stride = 2`` the first convolution is 4x4 of stride 2, and the trunk works on a quarter of the
positions: a cheaper network per weight, and the way to a scale of 1.5 (2x2 pixels become 3x3). The last
four hidden channels then carry the four pixels of every cell.

With ``expand = N`` every kernel is trained as a product: a convolution to N channels, a 1x1 one back, and
the identity where the widths are equal (SESR, Bhardwaj et al., MLSys 2022; ECBSR, Zhang et al., ACM MM 2021).
The product is made in forward, so that a step costs little more, and what is kept and executed is the plain
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lumavox.errors import OptionError

from ..graph import Conv2D, DepthToSpace, Graph, Op, Port
from ..growth import reshaped
from ..parity import Tolerances

TOLERANCES = Tolerances()


@dataclass(frozen=True)
class Network:
    """Recipe section ``[network]`` of this family."""

    scale: int | float = 2
    channels: int = 32  # hidden channels, the anchor among them
    layers: int = 6  # convolutions in all
    entry_stride: int = 1  # 2: works on cells of 2x2 pixels
    expand: int | None = None  # channels between the two factors of a kernel in training; none = one kernel

    def __post_init__(self) -> None:
        if self.entry_stride not in (1, 2):
            raise OptionError(f"entry_stride is 1 or 2, got {self.entry_stride}")
        if self.layers < 2 or self.channels <= self.entry_stride**2 or not 1 <= self.scale <= 4:
            raise OptionError(f"need layers >= 2, channels beyond the anchor and scale 1..4, got {self}")
        if Fraction(self.scale) * self.entry_stride % 1:
            raise OptionError(
                f"scale {self.scale} needs an entry_stride that makes it whole (2 for 1.5), "
                f"got {self.entry_stride}"
            )

        widest = max(self.channels, self.shuffle**2)
        if self.expand and self.expand < widest:
            raise OptionError(f"expand {self.expand} is narrower than a kernel's {widest} outputs")

    @property
    def shuffle(self) -> int:
        """Block of the DepthToSpace."""
        return int(self.scale * self.entry_stride)

    @property
    def multiple(self) -> int:
        """Low-resolution height and width are multiples of it."""
        return self.entry_stride

    @property
    def receptive_field(self) -> int:
        """Low-resolution pixels across that one output pixel depends on, at most."""
        return (2 * self.layers + 1) * self.entry_stride

    def build(self) -> PlainSr:
        """The network with fresh weights."""
        return PlainSr(self)

    def grown(self, old: PlainSr) -> PlainSr:
        """The network beginning as a trained one of another shape. Raises OptionError if it cannot."""
        module, stride = self.build(), self.entry_stride
        if old.network.entry_stride != stride or old.network.layers > self.layers:
            raise OptionError(f"a network of {old.network} cannot grow into {self}")
        layers, fresh = ((list(m.weights), list(m.biases)) for m in (old, module))
        weights, biases = reshaped(layers, fresh, kept=stride**2)
        module.weights, module.biases = nn.ParameterList(weights), nn.ParameterList(biases)
        return module


class PlainSr(nn.Module):
    """Luma 0..1, ``(batch, 1, height, width)`` to ``(batch, 1, scale * height, scale * width)``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        hidden, anchors = network.channels, network.entry_stride**2
        widths = [1] + [hidden] * (network.layers - 1) + [network.shuffle**2]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for index, (fan_in, fan_out) in enumerate(zip(widths, widths[1:], strict=False)):
            size = 4 if index == 0 and network.entry_stride == 2 else 3
            weight = torch.empty(fan_out, fan_in, size, size)
            nn.init.kaiming_normal_(weight)
            last = index == network.layers - 1
            self.weights.append(nn.Parameter(weight * (0.1 if last else 0.7)))
            self.biases.append(nn.Parameter(torch.zeros(fan_out)))
            free, anchor = torch.ones(fan_out, 1, 1, 1), torch.zeros_like(weight)
            if last:
                anchor[:, -anchors:, 1, 1] = _repeat(network.entry_stride, network.shuffle)
            else:
                free[-anchors:] = 0.0
                for cell in range(anchors):
                    if index == 0:
                        anchor[cell - anchors, 0, 1 + cell // 2, 1 + cell % 2] = 1.0
                    else:
                        anchor[cell - anchors, cell - anchors, 1, 1] = 1.0
            self.register_buffer(f"free{index}", free, persistent=False)
            self.register_buffer(f"anchor{index}", anchor, persistent=False)

    def kernel(self, index: int) -> Tensor:
        """What is learned of a convolution's weight."""
        return self.weights[index]

    def expanded(self) -> PlainSr:
        """The same function as it is trained; itself unless the recipe expands."""
        return ExpandedSr(self) if self.network.expand else self

    def collapsed(self) -> PlainSr:
        """The same function as it is kept and executed."""
        return self

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Weight and bias of a convolution as it is executed, anchor included."""
        free = getattr(self, f"free{index}")
        weight = self.kernel(index) * free + getattr(self, f"anchor{index}")
        return weight, self.biases[index] * free[:, 0, 0, 0]

    def stride(self, index: int) -> int:
        """Stride of a convolution."""
        return self.network.entry_stride if index == 0 else 1

    def forward(self, x: Tensor) -> Tensor:
        """Not clipped: training sees values beyond 0..1, the executed graph saturates."""
        for index in range(self.network.layers):
            x = functional.conv2d(x, *self.layer(index), stride=self.stride(index), padding=1)
            if index < self.network.layers - 1:
                x = functional.relu(x, inplace=True)
        return functional.pixel_shuffle(x, self.network.shuffle)

    @torch.no_grad()
    def equalize(self, largest: Mapping[str, Tensor]) -> None:
        """Rescale hidden channels to 0..1 without changing the function (Nagel et al., ICCV 2019).

        ``largest`` is the largest magnitude ``(channels,)`` of each channel by tensor of `to_graph`. One that
        never fires keeps its scale: there is nothing to show, and engines take no weights of 1000.
        """
        for index in range(self.network.layers - 1):
            factor = largest[f"hidden{index}"]
            factor = torch.where(factor < 1e-3, 1.0, factor)
            factor[-(self.network.entry_stride**2) :] = 1.0  # the anchor is 0..1 already
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
            weight, stride = weight.transpose(0, 2, 3, 1).copy(), self.stride(index)
            ops.append(Conv2D(name, output, weight, bias.copy(), (stride, stride), activation=activation))
            name = output
        ops.append(DepthToSpace(name, "enlarged", self.network.shuffle))
        return Graph((Port("luma", (1, -1, -1, 1)),), tuple(ops), (Port("enlarged", (1, -1, -1, 1)),))


class ExpandedSr(PlainSr):
    """The network in training when the recipe expands: its kernels are products, its function is the same."""

    def __init__(self, plain: PlainSr) -> None:
        super().__init__(plain.network)
        assert plain.network.expand
        del self.weights
        self.biases.load_state_dict(plain.biases.state_dict())
        self.wide, self.narrow = nn.ParameterList(), nn.ParameterList()
        for index, kernel in enumerate(plain.weights):
            identity = torch.zeros_like(kernel, requires_grad=False)
            if kernel.shape[0] == kernel.shape[1]:
                identity[:, :, 1, 1] = torch.eye(len(kernel))
            self.register_buffer(f"identity{index}", identity, persistent=False)
            # Balanced factors, turned so that every one of the channels between them takes part; where the
            # product is nothing (a convolution grown as the identity) one factor is something, and learns.
            left, sizes, right = torch.linalg.svd(
                (kernel.detach() - identity).flatten(1), full_matrices=False
            )
            turn = torch.linalg.qr(torch.randn(plain.network.expand, len(sizes)))[0]
            halves = sizes.sqrt().clamp_min(0.1)
            wide = ((turn * halves) @ right).view(-1, *kernel.shape[1:])
            self.wide.append(nn.Parameter(wide))
            self.narrow.append(nn.Parameter((left * (sizes / halves)) @ turn.T))

    def kernel(self, index: int) -> Tensor:
        """``(outputs, N) @ (N, inputs, height, width)`` and the identity."""
        identity: Tensor = getattr(self, f"identity{index}")
        return (self.narrow[index] @ self.wide[index].flatten(1)).view_as(identity) + identity

    @torch.no_grad()
    def collapsed(self) -> PlainSr:
        """The plain network of these products."""
        plain = PlainSr(self.network)
        plain.biases.load_state_dict(self.biases.state_dict())
        for index, weight in enumerate(plain.weights):
            weight.copy_(self.kernel(index))
        return plain


def _repeat(stride: int, shuffle: int) -> Tensor:
    """``(shuffle ** 2, stride ** 2)``: every sub-pixel of a cell from its pixels, linear inside the cell.

    It never looks beyond the cell, so that the zeros around a picture do not darken its border.
    """
    line = torch.zeros(shuffle, stride)
    for place in range(shuffle):
        source = min(max((place + 0.5) * stride / shuffle - 0.5, 0.0), stride - 1.0)
        left = min(int(source), max(stride - 2, 0))
        line[place, left] = 1 - (source - left)
        if stride > 1:
            line[place, left + 1] = source - left
    return torch.kron(line, line)
