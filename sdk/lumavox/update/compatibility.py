"""``resolve``: may this device run this release? One of three exact answers, with every reason.

    qualified           measured on a device of exactly this combination (`Device.digest`)
    compatible_untested every requirement is met, but this combination was never measured: the golden
                        self-test must pass, in a process of its own, before the model starts
    blocked             a requirement is not met, or not known to be met, or the model is known to fail here

What the device does not know never counts as met. Pure functions: nothing is read, run or remembered here.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .._version import __version__
from ._ranges import comparable, within
from .device import Device
from .release import Compiled, FirmwareRange, KnownBad, Release, Requires


class Verdict(str, enum.Enum):
    """The three answers."""

    QUALIFIED = "qualified"
    COMPATIBLE_UNTESTED = "compatible_untested"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Answer:
    """The verdict; ``reasons`` name every requirement that blocks, or why the model may run."""

    verdict: Verdict
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verdict.value}: {'; '.join(self.reasons)}"


def resolve(
    release: Release,
    device: Device,
    *,
    provided: Mapping[str, str] | None = None,
    now: datetime.datetime | None = None,
) -> Answer:
    """The answer for ``release`` on ``device``.

    ``provided`` are the names and versions that other models on the device bring; the device's own are added.
    ``now`` is only given where the release's expiry matters: before it is installed.
    """
    against = [*_unmet(release.requires, device), *_unmet_parts(release, device, provided or {})]
    against += [
        f"known to fail here: {bad.reason} ({bad.issue})" for bad in release.known_bad if _is(bad, device)
    ]
    if now is not None and now >= release.expires_at():
        against.append(f"the release expired on {release.expires}")
    if against:
        return Answer(Verdict.BLOCKED, tuple(against))
    if device.firmware is not None and device.digest() in release.evidence.devices:
        return Answer(Verdict.QUALIFIED, (f"measured on this combination ({device.digest()})",))
    missing = "the firmware is not known" if device.firmware is None else "never measured"
    return Answer(
        Verdict.COMPATIBLE_UNTESTED, (f"requirements met; this combination ({device.digest()}): {missing}",)
    )


def _unmet(requires: Requires, device: Device) -> Iterator[str]:
    if not _in(__version__, requires.lumavox):
        yield f"needs lumavox {requires.lumavox}, this is {__version__}"
    if requires.soc_model and device.soc_model not in requires.soc_model:
        yield f"is for {', '.join(requires.soc_model)}; this chip is {device.soc_model}"
    if requires.hardware_id and device.hardware_id not in requires.hardware_id:
        yield f"is for boards {', '.join(requires.hardware_id)}; this is {device.hardware_id or 'not known'}"
    for what, needed, has in (
        ("MB of memory", requires.ram_mb, device.ram_mb),
        ("MB of VTCM", requires.vtcm_mb, device.vtcm_mb),
    ):
        if needed is not None and (has is None or has < needed):
            yield f"needs {needed} {what}, there is {'an unknown amount' if has is None else has}"
    for driver in requires.driver:
        version = device.drivers.get(driver.name)
        if version is None or not within(version, driver.range):
            yield _wanted("driver", driver.name, driver.range, version)
    if requires.engine and not any(
        e.name in device.engines and within(device.engines[e.name], e.range) for e in requires.engine
    ):
        engines = " or ".join(f"{e.name} {e.range}".strip() for e in requires.engine)
        yield f"needs the engine {engines}; there is {_listed(device.engines)}"
    if requires.firmware and not any(_firmware_fits(device, wanted) for wanted in requires.firmware):
        builds = " or ".join(f"{f.vendor} {f.build_range or ' '.join(f.builds)}" for f in requires.firmware)
        there = f"{device.firmware.vendor} {device.firmware.build}" if device.firmware else "not known"
        yield f"needs the firmware {builds}; this one is {there}"


def _firmware_fits(device: Device, wanted: FirmwareRange) -> bool:
    firmware = device.firmware
    if firmware is None or firmware.vendor != wanted.vendor:
        return False
    if wanted.build_range:
        return within(firmware.build, wanted.build_range)
    return any(fnmatchcase(firmware.build, pattern) for pattern in wanted.builds)


def _unmet_parts(release: Release, device: Device, provided: Mapping[str, str]) -> Iterator[str]:
    if release.compiled and not any(_compiled_fits(c, device) for c in release.compiled):
        chips = sorted({chip for c in release.compiled for chip in c.target_soc})
        yield f"is compiled for {', '.join(chips)} and its runtimes; neither fits {device.soc_model}"
    there = {**device.provides, **provided}
    for name, wanted in release.depends.items():
        if name not in there or not within(there[name], wanted):
            yield _wanted("", name, wanted, there.get(name))


def _compiled_fits(compiled: Compiled, device: Device) -> bool:
    version = device.engines.get(compiled.engine)
    if version is None or device.soc_model not in compiled.target_soc:
        return False
    numbers = comparable(version)
    newest = compiled.max_runtime_major
    if compiled.min_runtime and not within(version, f">={compiled.min_runtime}"):
        return False
    return newest is None or (numbers is not None and (numbers or (0,))[0] <= newest)


def _is(bad: KnownBad, device: Device) -> bool:
    """An unknown firmware matches only the glob of any."""
    build = device.firmware.build if device.firmware else ""
    return (
        fnmatchcase(device.soc_model, bad.soc_model)
        and fnmatchcase(build, bad.firmware_build)
        and bad.device in (None, device.digest())
    )


def _in(version: str, text: str) -> bool:
    return within(version.split("+")[0].split("-")[0], text)


def _wanted(kind: str, name: str, text: str, there: str | None) -> str:
    words = " ".join(part for part in (kind, name, text) if part)
    return f"needs {words}; there is {'none' if there is None else there}"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "none"
