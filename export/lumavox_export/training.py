"""The training loop: one for every family and task.

Batches are a function of the step alone, so a run that was stopped at any moment goes on from its last
checkpoint as if nothing had happened, on the same machine or another. Knows nothing of pictures, sound or
recipes.
"""

from __future__ import annotations

import json
import math
import signal
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from lumavox._files import replace_file
from lumavox.errors import OptionError

from .checkpoint import Checkpoint
from .errors import StageError
from .machine import CPU, Machine, Network
from .memory import keep_freed_memory
from .prefetch import Prefetch
from .progress import progress
from .ranks import Batch
from .soap import Soap
from .stopping import Stopped, StopRequests

LOG_EVERY = 200  # steps


@dataclass(frozen=True)
class Schedule:
    """How a network is optimized: warm-up, cosine to ``final_share`` of the rate, averaged weights.

    At each of ``restarts`` warm-up and cosine begin anew, at ``restart_share`` of the rate before (Loshchilov
    and Hutter, ICLR 2017): the way to train a finished run further. The result is the mean of what the last
    ``averaged_cycles`` cycles ended with (Izmailov et al., UAI 2018).
    """

    steps: int = 1000
    restarts: tuple[int, ...] = ()  # steps, rising
    restart_share: float = 0.6
    averaged_cycles: int | None = None  # none = the last one alone
    optimizer: Literal["adamw", "soap"] = "adamw"
    learning_rate: float = 1e-3
    warmup_share: float = 0.04  # of the steps
    final_share: float = 0.01  # of the learning rate
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # 0 = no clipping
    ema_decay: float = 0.999
    checkpoint_seconds: float = 120.0

    def __post_init__(self) -> None:
        bounds = (0, *self.restarts, self.steps)
        if self.restarts and any(first >= second for first, second in pairwise(bounds)):
            raise OptionError(f"restarts rise between 0 and {self.steps} steps, got {list(self.restarts)}")
        if not 1 <= self.cycles <= len(self.restarts) + 1:
            raise OptionError(
                f"averaged_cycles is 1 to {len(self.restarts) + 1}, the number of cycles, got {self.cycles}"
            )

    @property
    def cycles(self) -> int:
        """How many cycles' ends make the result."""
        return 1 if self.averaged_cycles is None else self.averaged_cycles

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        cycle = bisect_right(self.restarts, step)
        first, end = (0, *self.restarts, self.steps)[cycle : cycle + 2]
        step, steps = step - first, end - first
        peak = self.learning_rate * self.restart_share**cycle
        warmup = max(1, round(steps * self.warmup_share))
        if step < warmup:
            return peak * (step + 1) / warmup
        share = (step - warmup) / max(1, steps - warmup)
        low = self.final_share
        return peak * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))

    def optimizer_for(self, module: nn.Module) -> torch.optim.Optimizer:
        """A fresh optimizer of the module's parameters."""
        if self.optimizer == "soap":
            return Soap(module.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.AdamW(
            module.parameters(), self.learning_rate, weight_decay=self.weight_decay, betas=(0.9, 0.99)
        )


def fit(
    module: nn.Module,
    batch: Callable[[int], Batch],
    loss: Callable[[Network, Batch], Tensor],
    schedule: Schedule,
    out_dir: Path,
    *,
    machine: Machine = Machine(),  # noqa: B008 - frozen
    resume: bool = False,
    label: str = "train",
    workers: int = 0,
    validate: Callable[[Network], dict[str, float]] | None = None,
    validate_every: int = 0,
) -> dict[str, Tensor]:
    """Train ``module`` in place; returns the averaged weights, which are also loaded into it, on the CPU.

    ``batch`` makes the CPU tensors of a step, rows first, in a background thread or in ``workers`` processes;
    ``loss`` is a mean over rows. Writes ``log.jsonl`` (step, loss, rate, seconds, and how many of those were
    spent in waiting for data) and ``checkpoint.pt`` to ``out_dir``; with ``resume`` goes on from the
    checkpoint. Of several ranks the first averages, validates and writes.

    Raises StageError if the loss is not finite, the checkpoint does not fit, or another rank has ended;
    Stopped, with the checkpoint written, at SIGINT or SIGTERM.
    """
    keep_freed_memory()
    out_dir.mkdir(parents=True, exist_ok=True)
    ranks, log = machine.ranks, out_dir / "log.jsonl"
    module.to(machine.device).train()
    optimizer = schedule.optimizer_for(module)
    average = {k: v.detach().clone() for k, v in module.state_dict().items()}
    checkpoint = Checkpoint(out_dir / "checkpoint.pt", asdict(schedule), module, optimizer, average)
    before = checkpoint.restore() if resume and checkpoint.path.is_file() else {}
    start, waited = int(before.get("step", 0)), before.get("data_seconds", 0.0)
    if ranks.first:
        if not resume:
            checkpoint.path.unlink(missing_ok=True)
        _cut_log(log, start)
    ranks.share(module.state_dict().values())
    network = machine.network(module)
    running, note = torch.zeros((), device=machine.device), [""]
    saved = time.monotonic()
    begin = saved - before.get("seconds", 0.0)

    def prepare(whole: Batch) -> tuple[Batch, float]:
        rows, share = ranks.rows(whole)
        return machine.pinned(rows), share

    steps, last = range(start, schedule.steps), schedule.steps - 1
    processes = workers if machine.workers is None else machine.workers
    with StopRequests(patient=True) as stop, Prefetch(batch, steps, prepare, workers=processes) as ahead:
        batches = iter(ahead)
        for step in progress(steps, label, len(steps), note):
            asked = time.monotonic()
            rows, share = next(batches)
            now = time.monotonic()
            waited += now - asked
            value = loss(network, machine.fetched(rows)) * share
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            stopping = running.new_full((), stop.asked)
            value, stopping = ranks.combine(module.parameters(), value.detach().float(), stopping)
            running.lerp_(value, 0.01 if step - start > 100 else 1 / (step - start + 1))
            save = now - saved > schedule.checkpoint_seconds or step == last
            due = validate_every > 0 and ((step + 1) % validate_every == 0 or step == last)
            look = step % machine.look_every == 0 or step == last
            if look or save or due:
                if not torch.isfinite(running):
                    raise StageError(
                        f"{label}: the loss is {value.item()} at step {step}; lower learning_rate or set "
                        "clip_norm"
                    )
                note[0] = f"loss {running.item():.5f}"
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            if schedule.clip_norm:
                nn.utils.clip_grad_norm_(module.parameters(), schedule.clip_norm)
            optimizer.step()
            stops = look and bool(stopping)  # of the same step on every rank
            if ranks.first:
                _average(average, module, min(schedule.ema_decay, (step + 1) / (step + 10)))
                times = {"seconds": time.monotonic() - begin, "data_seconds": waited}
                if step % LOG_EVERY == 0 or step == last or due:
                    entry = {"step": step, "loss": round(running.item(), 6), "rate": schedule.rate(step)}
                    entry |= {key: round(value, 1) for key, value in times.items()}
                    if due and validate is not None:
                        entry |= _validate(machine, module, average, validate)
                    with log.open("a") as file:
                        file.write(json.dumps(entry) + "\n")
                if step + 1 in schedule.restarts:
                    checkpoint.ends.append({k: v.clone() for k, v in average.items()})
                if save or stops:
                    saved = now
                    checkpoint.save(step=step + 1, **times)
            if stops and step != last:
                raise Stopped(stop.asked or signal.SIGTERM)
    _add_ends(average, checkpoint.ends, schedule.cycles - 1)
    ranks.share(average.values())
    module.load_state_dict(average)
    module.to(CPU).eval()
    return {key: value.to(CPU) for key, value in average.items()}


@torch.no_grad()
def _average(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    for key, current in module.state_dict().items():
        average[key].lerp_(current, 1 - decay)


@torch.no_grad()
def _add_ends(average: dict[str, Tensor], ends: list[dict[str, Tensor]], count: int) -> None:
    """Make ``average`` the mean of itself and of the last ``count`` of ``ends``."""
    for number, end in enumerate(ends[len(ends) - count :], 2):
        for key, value in average.items():
            value.lerp_(end[key].to(value.device), 1 / number)


@torch.no_grad()
def _validate(
    machine: Machine,
    module: nn.Module,
    average: dict[str, Tensor],
    validate: Callable[[Network], dict[str, float]],
) -> dict[str, float]:
    """Figures of the averaged weights; the running ones are put back."""
    running = {k: v.detach().clone() for k, v in module.state_dict().items()}
    module.load_state_dict(average)
    figures = validate(machine.exact(module.eval()))
    module.load_state_dict(running)
    module.train()
    return {k: round(v, 4) for k, v in figures.items()}


def _cut_log(path: Path, start: int) -> None:
    """Leave out what a run logged after the checkpoint that it goes on from, or wrote by half."""
    lines = path.read_text().splitlines() if start and path.is_file() else []
    kept = [line for line in lines if _logged_step(line) < start]
    replace_file(path, "".join(f"{line}\n" for line in kept))


def _logged_step(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf
