"""The training loop: one for every family and task.

Batches are a function of the step alone, so a run that was stopped at any moment goes on from its last
checkpoint as if nothing had happened. Knows nothing of pictures, sound or recipes.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .errors import StageError
from .memory import keep_freed_memory
from .progress import progress
from .soap import Soap


@dataclass(frozen=True)
class Schedule:
    """How a network is optimized: warm-up, cosine to ``final_share`` of the rate, averaged weights."""

    steps: int = 1000
    optimizer: Literal["adamw", "soap"] = "adamw"
    learning_rate: float = 1e-3
    warmup_share: float = 0.04  # of the steps
    final_share: float = 0.01  # of the learning rate
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # 0 = no clipping
    ema_decay: float = 0.999
    checkpoint_seconds: float = 120.0

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        warmup = max(1, round(self.steps * self.warmup_share))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        share = (step - warmup) / max(1, self.steps - warmup)
        low = self.final_share
        return self.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))

    def optimizer_for(self, module: nn.Module) -> torch.optim.Optimizer:
        """A fresh optimizer of the module's parameters."""
        if self.optimizer == "soap":
            return Soap(module.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.AdamW(
            module.parameters(), self.learning_rate, weight_decay=self.weight_decay, betas=(0.9, 0.99)
        )


Loss = Callable[[nn.Module, int], Tensor]  # of the module, on the batch of that step


def fit(
    module: nn.Module,
    loss: Loss,
    schedule: Schedule,
    out_dir: Path,
    *,
    resume: bool = False,
    label: str = "train",
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    validate_every: int = 0,
) -> dict[str, Tensor]:
    """Train ``module`` in place; returns the averaged weights, which are also loaded into it.

    Writes ``log.jsonl`` (step, loss, rate, seconds) and ``checkpoint.pt`` to ``out_dir``; with ``resume``
    goes on from the checkpoint. Raises StageError if the loss is not finite or the checkpoint is of another
    schedule.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = out_dir / "checkpoint.pt"
    keep_freed_memory()
    optimizer = schedule.optimizer_for(module)
    average = {k: v.detach().clone() for k, v in module.state_dict().items()}
    start, spent = 0, 0.0
    if resume and checkpoint.is_file():
        start, spent = _restore(checkpoint, schedule, module, optimizer, average)
    elif not resume:
        (out_dir / "log.jsonl").unlink(missing_ok=True)
    begin = saved = time.monotonic()
    running, note = 0.0, [""]
    module.train()
    for step in progress(range(start, schedule.steps), label, schedule.steps - start, note):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        value = loss(module, step)
        if not torch.isfinite(value):
            raise StageError(
                f"{label}: the loss is {value.item()} at step {step}; lower learning_rate or set clip_norm"
            )
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if schedule.clip_norm:
            nn.utils.clip_grad_norm_(module.parameters(), schedule.clip_norm)
        optimizer.step()
        decay = min(schedule.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, current in module.state_dict().items():
                average[key].lerp_(current, 1 - decay)
        running += (value.item() - running) * (0.01 if step - start > 100 else 1 / (step - start + 1))
        note[0] = f"loss {running:.5f}"
        now = time.monotonic()
        last = step == schedule.steps - 1
        due = validate is not None and validate_every > 0 and ((step + 1) % validate_every == 0 or last)
        if step % 200 == 0 or last or due:
            entry: dict[str, Any] = {"step": step, "loss": round(running, 6), "rate": schedule.rate(step)}
            entry["seconds"] = round(spent + now - begin, 1)
            if due and validate is not None:
                entry |= _with_weights(module, average, validate)
            with (out_dir / "log.jsonl").open("a") as log:
                log.write(json.dumps(entry) + "\n")
        if now - saved > schedule.checkpoint_seconds or last:
            saved = now
            _save(checkpoint, step + 1, spent + now - begin, schedule, module, optimizer, average)
    module.load_state_dict(average)
    module.eval()
    return average


def _with_weights(
    module: nn.Module, average: dict[str, Tensor], validate: Callable[[nn.Module], dict[str, float]]
) -> dict[str, float]:
    """Validate the averaged weights, then put the running ones back."""
    running = {k: v.detach().clone() for k, v in module.state_dict().items()}
    module.load_state_dict(average)
    module.eval()
    with torch.no_grad():
        figures = validate(module)
    module.load_state_dict(running)
    module.train()
    return {k: round(v, 4) for k, v in figures.items()}


def _save(
    path: Path,
    step: int,
    seconds: float,
    schedule: Schedule,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> None:
    state = {"step": step, "seconds": seconds, "schedule": asdict(schedule), "average": average}
    state |= {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
    partial = path.with_suffix(f".{os.getpid()}")
    torch.save(state, partial)
    partial.replace(path)


def _restore(
    path: Path,
    schedule: Schedule,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> tuple[int, float]:
    state = torch.load(path, weights_only=True)
    if state["schedule"] != asdict(schedule):
        raise StageError(f"{path} was made with another schedule; resume with the same recipe or start anew")
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    average |= state["average"]
    return int(state["step"]), float(state["seconds"])
