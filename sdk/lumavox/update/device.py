"""``Device``: what this device is, as far as a model depends on it. Facts come from the maker, in a file.

    device = Device.load("/etc/lumavox/device.json")     # engines are found out where the file has none

    {"soc_model": "RK3588", "chipset": "rk3588", "hardware_id": "stb-4k-rev2",
     "firmware": {"vendor": "acme", "build": "12.4.1"}, "drivers": {"rknpu": "0.9.8"}, "ram_mb": 4096}

What is not known is left out. It is never guessed, and never counts as supported.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .._parse import load_json, parse, plain
from ..errors import OptionError

CHIPSET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Firmware:
    """The system's build, as its vendor names it."""

    vendor: str
    build: str


@dataclass(frozen=True)
class Device:
    """``chipset`` is the folder of the repository that this device's models come from."""

    soc_model: str
    chipset: str
    hardware_id: str | None = None
    firmware: Firmware | None = None
    drivers: Mapping[str, str] = field(default_factory=dict)  # name: version
    engines: Mapping[str, str] = field(default_factory=dict)  # backend: version of its library
    ram_mb: int | None = None
    vtcm_mb: int | None = None
    provides: Mapping[str, str] = field(default_factory=dict)  # for `depends` of releases
    serial: str | None = None  # only ever hashed: it spreads a staged release over the fleet

    def __post_init__(self) -> None:
        if not CHIPSET.fullmatch(self.chipset):
            raise ValueError(f"chipset: {self.chipset!r} is not a folder name such as 'rk3588'")

    @classmethod
    def load(cls, path: str | Path) -> Device:
        """From a JSON file. Raises OptionError with file and key."""
        try:
            data = Path(path).read_bytes()
        except OSError as cause:
            raise OptionError(f"the device's facts {path} cannot be read: {cause.strerror}") from cause
        device = parse(cls, load_json(data, str(path)), str(path))
        return device if device.engines else replace(device, engines=installed_engines())

    def digest(self) -> str:
        """Names this exact combination of chip, board, firmware, drivers and engines: 16 hex digits.

        A model is qualified for such a combination; when any part changes, the answer is sought anew.
        """
        facts = {
            "soc_model": self.soc_model,
            "hardware_id": self.hardware_id,
            "firmware": plain(self.firmware) if self.firmware else None,
            "drivers": dict(self.drivers),
            "engines": dict(self.engines),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def bucket(self, salt: str) -> float:
        """Where this device stands in a fleet, 0 to below 1; another order for every ``salt``. Without a
        serial number it is 1: such a device takes what everybody gets."""
        if self.serial is None:
            return 1.0
        digest = hashlib.sha256(f"{salt}\n{self.serial}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def installed_engines() -> dict[str, str]:
    """The usable backends of this installation and the versions of their libraries."""
    from .. import backends

    probes = [backend.probe() for backend in backends.available()]
    return {p.backend: p.version for p in probes if p.usable and p.version is not None}
