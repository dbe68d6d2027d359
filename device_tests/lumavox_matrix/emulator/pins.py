"""``PINS``: which emulator, which system and which engines an emulated device has.

A change here makes another emulator in another folder of the cache, and other cells: its name is the firmware
in their keys.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from lumavox.errors import OptionError

__all__ = ["BOOT_PINS", "PINS", "BootPins", "Image", "Pins"]


@dataclass(frozen=True)
class Image:
    """The system of one machine: ``debian`` packages, and sets of Python wheels ("current", "legacy") by
    name. ``wheels`` are exact requirements; ``engines`` what they give: engine of lumavox -> version."""

    machine: str  # as the device says it: "aarch64"
    architecture: str  # as Debian says it: "arm64"
    qemu: str  # the program of Debian's qemu-user-static
    debian: tuple[str, ...]
    wheels: Mapping[str, tuple[str, ...]]
    engines: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Pins:
    """Everything that decides what an emulated device computes."""

    suite: str = "bookworm"
    mirror: str = "http://deb.debian.org/debian"
    keyring: str = "/usr/share/keyrings/debian-archive-keyring.gpg"
    qemu_version: str = "7.2"  # of the package qemu-user-static, without Debian's own revision
    python_version: str = "3.11.2"
    images: tuple[Image, ...] = field(default_factory=tuple)

    @property
    def digest(self) -> str:
        """12 hex digits; the name of the folder in the cache."""
        return _digest(self)

    @property
    def firmware(self) -> str:
        """What the key of an emulated cell says in place of a firmware's version."""
        return f"qemu-user {self.qemu_version}, Debian {self.suite}"

    def image(self, machine: str) -> Image:
        """The system of a machine. Raises OptionError naming the nearest."""
        found = {image.machine: image for image in self.images}
        if machine not in found:
            raise OptionError.unknown("machine", machine, found)
        return found[machine]


@dataclass(frozen=True)
class BootPins:
    """What a booted system has beside the image of its machine, all from the same mirror: its emulator, its
    kernel, the programs that the image lacks, and the drivers of its network."""

    machine: str = "aarch64"
    wheels: tuple[str, ...] = ("current",)
    qemu: str = "qemu-system-arm"
    qemu_version: str = "7.2"
    program: str = "qemu-system-aarch64"
    kernel: str = "linux-image-cloud-arm64"  # depends on the package of the newest version
    kernel_version: str = "6.1"
    debian: tuple[str, ...] = ("busybox-static", "dropbear-bin")
    drivers: tuple[str, ...] = ("virtio_mmio", "virtio_net")

    @property
    def digest(self) -> str:
        """12 hex digits; in the name of its folder in the cache."""
        return _digest(self)

    @property
    def firmware(self) -> str:
        """What the key of a cell on a booted system says in place of a firmware's version."""
        return f"qemu-system {self.qemu_version}, Linux {self.kernel_version}, Debian {PINS.suite}"


def _digest(pins: Pins | BootPins) -> str:
    text = json.dumps(dataclasses.asdict(pins), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


_AARCH64 = Image(
    machine="aarch64",
    architecture="arm64",
    qemu="qemu-aarch64-static",
    debian=("python3.11", "libstdc++6"),
    wheels={
        "current": (
            "numpy==2.4.6",
            "onnxruntime==1.31.1",
            "ai-edge-litert==2.3.0",
            "opencv-python-headless==5.0.0.93",
            "cryptography==50.0.2",
            "cffi==2.1.1",
        ),
        "legacy": (
            "numpy==1.26.4",
            "tflite-runtime==2.14.0",
            "opencv-python-headless==4.11.0.86",
            "cryptography==50.0.2",
            "cffi==2.1.1",
        ),
    },
    engines={"current": {"litert": "2.3.0", "ort": "1.31.1"}, "legacy": {"litert": "2.14.0"}},
)

_ARMV7L = Image(
    machine="armv7l",
    architecture="armhf",
    qemu="qemu-arm-static",
    # numpy has no wheel for armv7l; nobody has one of OpenCV, and Debian's is 370 packages.
    debian=("python3.11", "libstdc++6", "python3-numpy", "python3-cffi-backend"),
    wheels={"legacy": ("tflite-runtime==2.14.0", "cryptography==50.0.2")},
    engines={"legacy": {"litert": "2.14.0"}},
)

PINS = Pins(images=(_AARCH64, _ARMV7L))
BOOT_PINS = BootPins()
