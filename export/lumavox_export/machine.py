"""What a network is trained on: a CPU, a GPU, or several; in which precision, compiled or as it is.

machine = Machine.choose("auto")
network = machine.network(module)      # for training: compiled, mixed precision, float32 result
exact = machine.exact(module)          # for validation: CPU tensors in and out, float32 throughout
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lumavox.errors import OptionError

from .ranks import Batch, Ranks

Network = Callable[[Tensor], Tensor]
CPU = torch.device("cpu")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bf16")


@dataclass(frozen=True)
class Machine:
    """Device and arithmetic of one rank; nothing here changes what is computed beyond rounding."""

    device: torch.device = CPU
    mixed: bool = False  # convolutions and products in bfloat16, weights and losses in float32
    compile: bool = False
    workers: int | None = None  # processes that make batches; None = as many as the task asks for
    ranks: Ranks = Ranks()

    @classmethod
    def choose(
        cls,
        device: str = "auto",
        precision: str = "auto",
        compile: bool | None = None,
        workers: int | None = None,
    ) -> Machine:
        """The machine asked for, joined to the processes that torchrun started, if it did.

        ``auto`` is CUDA where there is a GPU, and there bfloat16; ``compile`` None compiles on CUDA only.
        Raises OptionError if there is no such device.
        """
        for value, known, what in ((device, DEVICES, "device"), (precision, PRECISIONS, "precision")):
            if value not in known:
                raise OptionError.unknown(what, value, known)
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if device == "cuda" and not gpus:
            raise OptionError(
                f"device 'cuda': torch {torch.__version__} sees no GPU; install a CUDA build of torch and "
                "its driver, or use --device cpu"
            )
        on_gpu = gpus > 0 and device != "cpu"
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if on_gpu and local >= gpus:
            raise OptionError(f"process {local} of this machine has no GPU of its own: there are {gpus}")
        mixed = on_gpu if precision == "auto" else precision == "bf16"
        if on_gpu:
            torch.cuda.set_device(local)
        chosen = torch.device("cuda", local) if on_gpu else CPU
        return cls(chosen, mixed, on_gpu if compile is None else compile, workers, Ranks.join())

    @property
    def look_every(self) -> int:
        """Steps between looks at a figure: each makes a GPU wait for the CPU."""
        return 50 if self.device.type == "cuda" else 1

    def in_float32(self) -> Machine:
        """The same without mixed precision: bfloat16 is coarser than the integers of a quantized network."""
        return replace(self, mixed=False)

    def network(self, module: nn.Module) -> Network:
        """The module (on this device already) as it is trained; what it returns is float32."""
        torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32; validation is in it too
        run = torch.compile(module) if self.compile else module
        if not self.mixed:
            return run

        def mixed(x: Tensor) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16):
                result: Tensor = run(x)
            return result.float()

        return mixed

    def exact(self, module: nn.Module) -> Network:
        """The module for validation: a CPU tensor in, a CPU tensor out, float32."""

        def exact(x: Tensor) -> Tensor:
            result: Tensor = module(x.to(self.device))
            return result.cpu()

        return exact

    def pinned(self, batch: Batch) -> Batch:
        """A batch on the CPU, where a GPU can fetch it by itself."""
        if self.device.type != "cuda":
            return batch
        with torch.cuda.device(self.device):  # threads begin on the first one
            return tuple(x.pin_memory() for x in batch)

    def fetched(self, batch: Batch) -> Batch:
        """A pinned batch on the device."""
        return tuple(x.to(self.device, non_blocking=True) for x in batch)
