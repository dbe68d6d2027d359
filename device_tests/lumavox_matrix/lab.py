"""``Device``: something that cells can run on, with what is known about it; a lab file lists them.

devices(profile("host"))                         # those that need no address
read_lab(Path("lab.toml"))

[[devices]]                                      # lab.toml
name = "vs680-rack2-slot3"
chipset = "synaptics-vs680"
link = "ssh"
options = { host = "10.0.0.23", user = "qa" }
firmware = "2026.08.1"                           # left out: the profile's command is asked
engines = { litert = "2.3.0" }                   # versions of the engines there
"""

from __future__ import annotations

import dataclasses
import functools
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lumavox import backends
from lumavox.errors import OptionError

from ._toml import read
from .cell import UNKNOWN, Rung
from .links import link_module, open_link
from .links.base import Offer, options_of
from .profile import ChipsetProfile, LinkChoice, profile

__all__ = ["Device", "devices", "read_lab"]


@dataclass(frozen=True)
class Device:
    """One board, emulator or this machine. Its name is also its lock: one cell at a time."""

    name: str
    chipset: str
    link: str
    options: Mapping[str, object] = field(default_factory=dict)
    firmware: str = UNKNOWN
    driver: str = UNKNOWN
    engines: Mapping[str, str] = field(default_factory=dict)  # engine -> version
    parallel: int = 1  # cells at a time; more than one for emulators only
    tags: tuple[str, ...] = ()  # further resources that a worker must have
    unavailable: str | None = None  # why nothing can be run on it now

    @property
    def rung(self) -> Rung:
        """The strongest evidence that its link can give."""
        rung: Rung = link_module(self.link).Link.rung
        return rung


@dataclass(frozen=True)
class Lab:
    """A lab file."""

    devices: tuple[Device, ...]


def devices(chipset: ChipsetProfile) -> list[Device]:
    """The devices of a chipset that need no address: this host, emulators, scripted ones."""
    found = []
    for index, choice in enumerate(chipset.links):
        name = chipset.name if index == 0 else f"{chipset.name}-{choice.name or index + 1}"
        firmware, driver = choice.firmware, choice.driver
        if choice.kind == "local" and chipset.kind == "host":
            firmware = firmware or _kernel()
        offer = _offer(choice)
        found.append(
            Device(
                name=name,
                chipset=chipset.name,
                link=choice.kind,
                options=choice.options,
                firmware=firmware or offer.firmware or UNKNOWN,
                driver=driver or "none",
                engines=choice.engines or offer.engines,
                unavailable=offer.unavailable,
            )
        )
    return found


def _offer(choice: LinkChoice) -> Offer:
    """What a link has by its own making; those that run on this machine have what is installed."""
    module = link_module(choice.kind)
    if hasattr(module, "offer"):
        found: Offer = module.offer(options_of(module, choice.options, f"link {choice.kind!r}"))
        return found
    return Offer(installed() if choice.kind in ("local", "virtual") else {})


def read_lab(path: Path) -> list[Device]:
    """The devices of a lab file. Raises OptionError for an unknown chipset, link, option or a name twice."""
    found = read(Lab, path).devices
    names = [device.name for device in found]
    for device in found:
        where = f"{path}: device {device.name!r}"
        if names.count(device.name) > 1:
            raise OptionError(f"{where}: two devices have this name; it is also the lock of the device")
        profile(device.chipset)
        module = link_module(device.link)
        options_of(module, device.options, where)
    return list(found)


def identified(device: Device) -> Device:
    """The device with firmware and driver as it tells them itself, where they were not given."""
    chipset = profile(device.chipset)
    commands = chipset.firmware
    ask = [device.firmware == UNKNOWN and commands.firmware, device.driver == UNKNOWN and commands.driver]
    if not any(ask):
        return device
    with open_link(device.link, device.options, f"device {device.name!r}") as link:
        told = link.identify(
            commands.firmware.value if commands.firmware else None,
            commands.driver.value if commands.driver else None,
        )
    return dataclasses.replace(
        device,
        firmware=told.firmware or UNKNOWN if device.firmware == UNKNOWN else device.firmware,
        driver=told.driver or UNKNOWN if device.driver == UNKNOWN else device.driver,
    )


@functools.cache
def installed() -> Mapping[str, str]:
    """The engines of this Python installation and their versions."""
    probes = (backend.probe() for backend in backends.available())
    return {p.backend: p.version or UNKNOWN for p in probes if p.usable}


def _kernel() -> str:
    return f"{platform.system()} {platform.release()}"
