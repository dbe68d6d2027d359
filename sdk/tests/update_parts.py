"""Releases, devices and installed models for the tests of `lumavox.update`. Not a test itself."""

from __future__ import annotations

from lumavox.update._state import Installed
from lumavox.update.device import Device, Firmware
from lumavox.update.release import Model, Release

DEVICE = Device(
    soc_model="RK3588",
    chipset="rk3588",
    hardware_id="stb-4k-rev2",
    firmware=Firmware("acme", "12.4.1"),
    drivers={"rknpu": "0.9.8"},
    engines={"litert": "2.3.0", "ort": "1.31.1"},
    ram_mb=4096,
    vtcm_mb=8,
    serial="000017",
)

PLAIN = {
    "schema": 1,
    "model": {"id": "sr/tiny", "version": "1.0.0", "task": "sr", "digest": "0" * 64, "scale": "2"},
    "release_counter": 1,
    "expires": "2099-01-01T00:00:00Z",
}
"""The least that a manifest says."""


def release(number: int = 1, **members: object) -> Release:
    """Release ``number`` of sr/tiny, with further members as JSON values."""
    model = Model("sr/tiny", f"1.{number}.0", "sr", f"{number:064x}")
    plain = Release(1, model, number, "2099-01-01T00:00:00Z").plain() | members
    return Release.of(plain, "test")


def installed(number: int = 1, device: str = "d", **changes: object) -> Installed:
    """Release ``number`` as it lies in a slot."""
    one = release(number)
    return Installed(f"{number:016x}.zip", f"{number:064x}", 1000, one, device, **changes)  # type: ignore[arg-type]
