"""A small training run, alone, or started into processes of its own (torch need not be imported again)."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import torch
from torch import nn

from lumavox_export.machine import Network
from lumavox_export.ranks import Batch
from lumavox_export.training import Schedule, fit

Optimizer = Literal["adamw", "soap"]


def doubles(step: int) -> Batch:
    """`batch` in float64."""
    x, y = batch(step)
    return x.double(), y.double()


def batch(step: int) -> Batch:
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(step))
    return x, (x + x.roll(1, 1)).tanh()


def loss(network: Network, rows: Batch) -> torch.Tensor:
    return ((network(rows[0]) - rows[1]) ** 2).mean()


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))


def schedule(optimizer: Optimizer) -> Schedule:
    return Schedule(steps=40, optimizer=optimizer, learning_rate=0.02, checkpoint_seconds=0.0)


def run(folder: Path, optimizer: Optimizer, **options: Any) -> dict[str, torch.Tensor]:
    options = {"batch": batch, "loss": loss, "validate": lambda _: {}, "validate_every": 1} | options
    module = fresh().double() if options["batch"] is doubles else fresh()
    return fit(module, schedule=schedule(optimizer), out_dir=folder, **options)


def started(work: Callable[[], object], count: int, folder: Path) -> list[tuple[int, str]]:
    """Exit code and output of ``count`` processes with torchrun's environment; minus a signal's number.

    They are fresh ones: a copy of a process in which torch has run may wait for ever for threads it lacks.
    """
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    context, sent = multiprocessing.get_context("spawn"), cloudpickle.dumps(work)
    ranks = [context.Process(target=_work, args=(sent, r, count, port, folder)) for r in range(count)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(300)
    return [(rank.exitcode, (folder / f"said{r}").read_text()) for r, rank in enumerate(ranks)]  # type: ignore[misc]


def _work(sent: bytes, rank: int, count: int, port: str, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with (folder / f"said{rank}").open("w", buffering=1) as said:
        sys.stdout = sys.stderr = said
        sys.exit(cloudpickle.loads(sent)())
