"""An emulated Arm device: commands run as child processes, its Python under qemu-user. See ``emulator``.

[[links]]
kind = "qemu"
options = { cpu = "cortex-a53", wheels = "current" }

What is run by ``python`` is the device's: processor, libraries, engines, ``/proc/cpuinfo``, files that it
writes. Shell commands are this machine's. Its times are no latencies (``Rung.EMULATED``).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lumavox.errors import OptionError

from ..cell import Rung
from ..emulator import PINS, Emulator, EmulatorError, cache_folder, cpu, write_soc
from . import local
from .base import Identity, LinkError, Offer

__all__ = ["Link", "Options", "offer"]


@dataclass(frozen=True)
class Options:
    """``cpu``: a processor of `lumavox_matrix.emulator`. ``wheels``: "current" has LiteRT and ONNX Runtime,
    "legacy" tflite-runtime. ``declares``: the processor that its firmware claims to have, if it lies.
    ``cache``: where the emulator is, if not in the user's cache."""

    cpu: str
    wheels: str = "current"
    cores: int = 4
    declares: str | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.declares is not None and cpu(self.declares).machine != cpu(self.cpu).machine:
            raise OptionError(f"declares: {self.declares} and {self.cpu} are different machines")
        sets = PINS.image(cpu(self.cpu).machine).wheels
        if self.wheels not in sets:
            raise OptionError.unknown("set of wheels", self.wheels, sets)


def offer(options: Options) -> Offer:
    """Engines and system as they are pinned; unavailable if nobody has set the emulator up."""
    image = PINS.image(cpu(options.cpu).machine)
    try:
        Emulator.at(options.cache or cache_folder())
    except EmulatorError as error:
        return Offer({}, PINS.firmware, str(error))
    return Offer(image.engines[options.wheels], PINS.firmware)


class Link(local.Link):
    """`local`, with another processor."""

    kind = "qemu"
    rung = Rung.EMULATED

    def __init__(self, options: Options) -> None:
        try:
            emulator = Emulator.at(options.cache or cache_folder())
        except EmulatorError as error:
            raise LinkError(f"qemu: {error}") from error
        super().__init__(local.Options())
        self._cpu = cpu(options.cpu)
        machine = self._cpu.machine
        # The device is beside the folder that is pushed to, so that no name can be in the way.
        self._base = self._folder
        self._folder = self._base / "files"
        self._folder.mkdir()
        tree = self._base / "tree"
        declared = cpu(options.declares or options.cpu)
        write_soc(tree, declared, emulator.root(machine), cores=options.cores)
        script = self._base / "python"
        script.write_text(emulator.start_script(tree, machine, self._cpu.name, options.wheels))
        script.chmod(0o755)
        self.python = str(script)
        self.runtime = None

    def identify(self, firmware: str | None = None, driver: str | None = None) -> Identity:
        return Identity(
            machine=self._cpu.machine,
            system=PINS.firmware,
            name=f"emulated {self._cpu.name}",
            firmware=self._first_line(firmware),
            driver=self._first_line(driver),
        )

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._base, ignore_errors=True)
