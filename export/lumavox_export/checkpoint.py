"""Checkpoints of training: written whole or not at all, and read on any device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import StageError


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The file and what it holds: a module, its optimizer and its averaged weights, under one schedule.

    ``ends`` are the averaged weights at the ends of earlier cycles.
    """

    path: Path
    schedule: Mapping[str, object]
    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    ends: list[dict[str, Tensor]] = field(default_factory=list)

    def save(self, **progress: float) -> None:
        """Write the state; ``progress`` is what `restore` returns (``step``, ``seconds``, …).

        Killed at any moment, it leaves the former file as it was.
        """
        state = {**progress, "schedule": dict(self.schedule), "average": self.average}
        state["ends"] = self.ends
        state |= {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}
        partial = self.path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
        partial.replace(self.path)

    def restore(self) -> dict[str, float]:
        """Load the state onto the devices where module, optimizer and average are.

        Raises StageError if the file is damaged or of another schedule or network.
        """
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file raises whatever its damaged part is read by
            raise StageError(f"{self.path} cannot be read; start without --resume") from error
        if state.pop("schedule") != self.schedule:
            raise StageError(
                f"{self.path} was made with another schedule; resume with the same recipe or start anew"
            )
        try:
            self.module.load_state_dict(state.pop("module"))
            self.optimizer.load_state_dict(state.pop("optimizer"))
            average = state.pop("average")
            for key, value in self.average.items():
                value.copy_(average[key])
            self.ends[:] = state.pop("ends", [])
        except (RuntimeError, ValueError, KeyError) as error:
            raise StageError(f"{self.path} was made with another network; start without --resume") from error
        return state
