"""Draws a streaming network of torch layers as a `Graph`, one frame a call: `Drawing`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from .graph import Add, Concat, Constant, Conv2D, Mul, Op, Port, Sigmoid, State


class Drawing:
    """Collects the parts of a `Graph` from the layers of a torch network."""

    def __init__(self) -> None:
        self.inputs: list[Port] = []
        self.ops: list[Op] = []
        self.outputs: list[Port] = []
        self.states: list[State] = []

    def conv(self, x: str, output: str, conv: nn.Conv2d, **options: Any) -> str:
        """A convolution; ``options`` are fields of `Conv2D`. Returns ``output``, as all of these do."""
        weight = conv.weight.detach().cpu().numpy().transpose(0, 2, 3, 1).copy()
        return self._weighted(x, output, weight, conv.bias, **options)

    def linear(self, x: str, output: str, linear: nn.Linear, **options: Any) -> str:
        """A linear layer at every place."""
        weight = linear.weight.detach().cpu().numpy()[:, None, None, :].copy()
        return self._weighted(x, output, weight, linear.bias, **options)

    def _weighted(self, x: str, output: str, weight: Any, bias: Tensor | None, **options: Any) -> str:
        assert bias is not None
        self.ops.append(Conv2D(x, output, weight, bias.detach().cpu().numpy().copy(), **options))
        return output

    def recent(self, x: str, bands: int, frames: int) -> str:
        """The present frame of an input and the ones before it, ``frames`` channels, oldest first."""
        one = np.ones((1, 1, 1, 1), np.float32)
        self.ops += [Constant("one", one), Mul(x, "one", f"{x}_now")]  # a state is an output, not an input
        ago = [f"{x}_{delay}_ago" for delay in range(frames - 1, 0, -1)]
        self.inputs += [Port(name, (1, 1, bands, 1)) for name in ago]
        self.states += [State(name, f"{x}_now", frames - 1 - i) for i, name in enumerate(ago)]
        self.outputs.append(Port(f"{x}_now", (1, 1, bands, 1)))
        self.ops.append(Concat((*ago, x), f"{x}_recent", 3))
        return f"{x}_recent"

    def memory(
        self, x: str, name: str, gate: nn.Linear, candidate: nn.Linear, shape: tuple[int, int, int, int]
    ) -> str:
        """``before + sigmoid(gate) * (candidate - before)``."""
        before = f"{name}_before"
        self.inputs.append(Port(before, shape))
        self.states.append(State(before, name, 1))
        self.outputs.append(Port(name, shape))
        share = self.linear(x, f"{name}_gate", gate)
        wanted = self.linear(x, f"{name}_candidate", candidate)
        minus = np.full((1, 1, 1, 1), -1.0, np.float32)
        self.ops += [
            Sigmoid(share, f"{name}_share"),
            Constant(f"{name}_minus", minus),
            Mul(before, f"{name}_minus", f"{name}_away"),
            Add(wanted, f"{name}_away", f"{name}_way"),
            Mul(f"{name}_share", f"{name}_way", f"{name}_move"),
            Add(before, f"{name}_move", name),
        ]
        return name
