"""A booted Arm system under qemu-system: a processor with its own kernel, reached by ssh. See ``emulator``.

[[links]]
kind = "booted"
name = "booted"
options = { cpu = "cortex-a53", wheels = "current" }

Everything is the device's: kernel, ``/proc``, processor, shell, clock. It is booted when its first link is
opened and stays up for those after it, until the matrix ends; ``reboot`` pulls its plug. Its times are no
latencies (``Rung.EMULATED``).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from lumavox.errors import OptionError

from ..cell import Rung
from ..emulator import BOOT_PINS, PINS, Booted, BootTimeout, EmulatorError, Machine, cache_folder, cpu
from . import ssh
from .base import LinkError, LinkTimeout, Offer

__all__ = ["Link", "Options", "offer"]

PYTHON = "/usr/bin/python3.11"


@dataclass(frozen=True)
class Options:
    """``cpu``: a 64-bit processor of `lumavox_matrix.emulator`. ``wheels``: "current" has LiteRT and ONNX
    Runtime. ``cores``: cells are run on one thread; more cores only cost this machine time.
    ``boot_timeout_s``: a busy machine boots slowly. ``cache``: where the emulator is, if not in the user's
    cache."""

    cpu: str
    wheels: str = "current"
    cores: int = 1
    memory_mib: int = 1536
    boot_timeout_s: float = 300.0
    cache: Path | None = None

    def __post_init__(self) -> None:
        if cpu(self.cpu).machine != BOOT_PINS.machine:
            raise OptionError(f"cpu: {self.cpu} is no {BOOT_PINS.machine}, which is what can be booted")
        if self.wheels not in BOOT_PINS.wheels:
            raise OptionError.unknown("set of wheels", self.wheels, BOOT_PINS.wheels)


def offer(options: Options) -> Offer:
    """Engines and system as they are pinned; unavailable if nobody has set it up."""
    try:
        Booted.at(options.cache or cache_folder())
    except EmulatorError as error:
        return Offer({}, BOOT_PINS.firmware, str(error))
    return Offer(PINS.image(BOOT_PINS.machine).engines[options.wheels], BOOT_PINS.firmware)


class Link(ssh.Link):
    """`ssh`, to a machine of our own."""

    kind = "booted"
    rung = Rung.EMULATED

    def __init__(self, options: Options) -> None:
        self._machine = _machine(options)
        super().__init__(self._boot(options.boot_timeout_s))

    def reboot(self, *, timeout_s: float) -> bool:
        """Also one that hangs, or has ended; others that use the same machine lose it."""
        self._disconnect()
        self._machine.stop()
        self._options = self._boot(timeout_s)
        self._connect()
        self._ask(f"mkdir -p {self._folder}", here=False)
        return True

    def _boot(self, timeout_s: float) -> ssh.Options:
        try:
            address = self._machine.boot(timeout_s)
        except BootTimeout as error:
            raise LinkTimeout(f"booted: {error}") from error
        except EmulatorError as error:
            raise LinkError(f"booted: {error}") from error
        return ssh.Options(
            host="127.0.0.1",
            port=address.port,
            user="root",
            key=address.key,
            known_hosts=address.known_hosts,
            python=PYTHON,
            connect_timeout_s=60.0,
        )


@functools.cache
def _machine(options: Options) -> Machine:
    """One for each set of options, for all links of this process."""
    try:
        system = Booted.at(options.cache or cache_folder())
    except EmulatorError as error:
        raise LinkError(f"booted: {error}") from error
    return Machine(
        system, options.cpu, wheels=options.wheels, cores=options.cores, memory_mib=options.memory_mib
    )
