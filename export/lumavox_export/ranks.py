"""Several processes that train one network: ``torchrun --nproc-per-node N -m lumavox_export train …``

Every rank makes the step's whole batch, which is a function of the step alone, and computes its own rows of
it; gradients and loss are then summed, so that all take the step that a single process would take. The
networks of this project are small: one buffer carries all their gradients. The first rank alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from .errors import StageError

T = TypeVar("T")
Batch = tuple[Tensor, ...]

# torchrun ends all ranks when one has died; waiting long is then no fault: the first may be making pairs.
PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Ranks:
    """This process among ``count``; alone by default."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls) -> Ranks:
        """The group that torchrun started, from its environment; alone without one.

        Tensors on a CPU are summed by gloo, those on a GPU by NCCL. Raises StageError if the others cannot
        be reached.
        """
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            distributed.init_process_group(backend, timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise StageError(
                f"cannot join the {count} processes that WORLD_SIZE promises: {_line(error)}; start them all "
                "with torchrun --nproc-per-node N -m lumavox_export …"
            ) from error
        return cls(distributed.get_rank(), count)

    def leave(self) -> None:
        """The end of a run that went well."""
        if self.count > 1:
            distributed.barrier()  # gloo aborts now and then where a peer is still in a call
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def rows(self, batch: Batch) -> tuple[Batch, float]:
        """This rank's rows of a batch (first axis), and their share of it.

        Raises StageError if there are fewer rows than ranks.
        """
        total = len(batch[0])
        if total < self.count:
            raise StageError(f"a batch of {total} is too small for {self.count} processes; start fewer")
        begin, end = (total * rank // self.count for rank in (self.rank, self.rank + 1))
        return tuple(tensor[begin:end] for tensor in batch), (end - begin) / total

    def combine(self, parameters: Iterable[Tensor], *figures: Tensor) -> Sequence[Tensor]:
        """Sum the gradients of ``parameters`` over the ranks, in place; returns the sums of scalars."""
        if self.count == 1:
            return figures
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([x.reshape(-1) for x in (*gradients, *figures)])
        self._together(lambda: distributed.all_reduce(flat))
        parts = flat.split([x.numel() for x in (*gradients, *figures)])
        for gradient, part in zip(gradients, parts, strict=False):
            gradient.copy_(part.view_as(gradient))
        sums = parts[len(gradients) :]
        return [part.view(()).to(figure.dtype) for part, figure in zip(sums, figures, strict=True)]

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank the tensors of the first, in place."""
        if self.count > 1:
            for tensor in tensors:
                self._together(lambda x=tensor: distributed.broadcast(x, 0))  # type: ignore[misc]

    def wait(self) -> None:
        """Go on when every rank is here."""
        self.combine((), torch.zeros(()))

    def after_first(self, make: Callable[[], T]) -> T:
        """``make()`` on the first rank, then on the others, which find the caches that it filled."""
        if not self.first:
            self.wait()
        made = make()
        if self.first:
            self.wait()
        return made

    def _together(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:
            raise StageError(
                f"process {self.rank} of {self.count}: another one has ended or cannot be reached "
                f"({_line(error)}); its own message says why. --resume goes on from the last checkpoint"
            ) from error


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
