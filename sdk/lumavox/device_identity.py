"""``DeviceIdentity``: which machine this is, as far as a model's behaviour depends on it.

    DeviceIdentity.here()                       # what the system tells
    DeviceIdentity(soc="rk3588", firmware="2026.11.2", driver="rknpu 0.9.8")

Names of a kind of machine, never of one machine: no serial numbers, no addresses.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass

from ._system import text_of

__all__ = ["DeviceIdentity"]

UNKNOWN = "not known"


@dataclass(frozen=True)
class DeviceIdentity:
    """``firmware`` is what an update of the system changes; ``driver`` the accelerator's, where there is
    one."""

    soc: str = UNKNOWN
    firmware: str = UNKNOWN
    driver: str = UNKNOWN

    @classmethod
    @functools.cache
    def here(cls) -> DeviceIdentity:
        """As the system tells: device tree or soc bus, else the processor's name; build of the system and
        kernel. A device maker who knows better passes an identity of their own."""
        return cls(soc=_soc(), firmware=_firmware())


def _soc() -> str:
    tree = text_of("/proc/device-tree/compatible").replace("\0", " ").split()
    if tree:
        return tree[-1]  # from the board to the chip
    words = [text_of(f"/sys/devices/soc0/{name}").strip() for name in ("family", "soc_id", "revision")]
    if any(words):
        return " ".join(word for word in words if word)
    for line in text_of("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in ("model name", "hardware") and value.strip():
            return " ".join(value.split())
    return platform.machine() or UNKNOWN


def _firmware() -> str:
    fields = dict(
        line.split("=", 1) for line in text_of("/etc/os-release").splitlines() if line.count("=") >= 1
    )
    names = ("ID", "VERSION_ID", "BUILD_ID", "IMAGE_VERSION")
    words = [fields[name].strip('"') for name in names if name in fields]
    return " ".join([*words, platform.release()])
