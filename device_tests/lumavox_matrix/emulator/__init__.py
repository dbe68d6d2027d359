"""Emulated Arm devices: Debian's Python and the Arm wheels of the engines under qemu-user, without root.

    build(cache_folder())            # once: downloads, unpacks and tries everything
    Emulator.at(cache_folder())      # what is there; raises EmulatorError with the reason if nothing is
    write_soc(tree, cpu("cortex-a53"), emulator.root("aarch64"))

    build_booted(cache_folder())     # the same system with its own kernel, under qemu-system
    Machine(Booted.at(cache_folder()), "cortex-a53", wheels="current").boot()

What is emulated is the instruction set: numbers, start-up and memory are the device's, times are not. What is
run is pinned (``pins``), so that a cell of today can be run next year.
"""

from __future__ import annotations

from .booted import Booted, build_booted
from .errors import EmulatorError
from .installed import Emulator, build, cache_folder
from .machine import BootTimeout, Machine
from .pins import BOOT_PINS, PINS
from .soc import Cpu, cpu, cpus, write_soc

__all__ = [
    "BOOT_PINS",
    "PINS",
    "BootTimeout",
    "Booted",
    "Cpu",
    "Emulator",
    "EmulatorError",
    "Machine",
    "build",
    "build_booted",
    "cache_folder",
    "cpu",
    "cpus",
    "write_soc",
]
