"""``Link``: how a device is reached. One file of this folder per way, found by its name.

A link file has a frozen dataclass ``Options`` (its settings; unknown keys are refused with the nearest
name) and a class ``Link`` that keeps the promise of `DeviceLink`:

    link = open_link("local", {"python": "/usr/bin/python3"})
    with link:
        link.push(Path("payload"), "payload")               # a file or a folder
        done = link.run(["python3", "runner.pyz", "job.json", "record.json"], timeout_s=60)
        link.pull("record.json", Path("record.json"))

Paths on the device are relative to a folder of the link's own, made anew for each link object and removed by
``close``. Every method is blocking and may be called from any thread, one at a time. A command that ends
with an error is a `Finished` with its exit code (127: no such program); a device that cannot be reached, or
goes away, is a `LinkError`, and nothing else is raised: that is how a fault of the lab is told from one of
the product.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol

from lumavox.errors import LumavoxError, OptionError

from ..cell import Rung

__all__ = ["DeviceLink", "Finished", "Identity", "LinkError", "LinkTimeout", "Offer"]

MAX_OUTPUT_BYTES = 64 * 1024
"""Of each of a command's streams only the last so many bytes are kept."""


class LinkError(LumavoxError):
    """The device cannot be reached, went away, or the transport failed: ERROR, never FAIL."""


class LinkTimeout(LinkError):
    """The transport itself did not answer in time (a command that takes too long is `Finished.timed_out`)."""


@dataclass(frozen=True)
class Finished:
    """A command that ended. ``signal``: it was ended by that signal number (SIGSEGV 11, SIGILL 4), also
    where a shell in between reports 128 + n. ``timed_out``: the link ended it after ``timeout_s``."""

    exit_code: int | None
    signal: int | None
    timed_out: bool
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def ok(self) -> bool:
        """It ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True)
class Identity:
    """Who answers: machine ("aarch64"), operating system, name, and what the chipset's firmware and driver
    commands print; None is not known."""

    machine: str
    system: str
    name: str
    firmware: str | None = None
    driver: str | None = None


@dataclass(frozen=True)
class Offer:
    """What a device of this machine's own making has, before it is opened: engine -> version, and what stands
    for its firmware. ``unavailable``: why it cannot be had now. A link's module may have a function
    ``offer(options)`` that tells it."""

    engines: Mapping[str, str]
    firmware: str | None = None
    unavailable: str | None = None


class DeviceLink(Protocol):
    """See the module's docstring."""

    kind: ClassVar[str]  # the file's name
    rung: ClassVar[Rung]  # the strongest evidence that a device behind it can give
    python: str  # the interpreter to call on the device
    runtime: str | None  # folder on the device that holds the package lumavox; None: it must be pushed

    def push(self, source: Path, name: str) -> None:
        """Copy a file or a folder to ``name`` on the device, replacing what is there."""

    def pull(self, name: str, target: Path) -> bool:
        """Copy a file from the device; False if it is not there. ``target`` is replaced in one step."""

    def run(
        self, command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Finished:
        """Run a command in the link's folder, without a shell's reading of its words. After ``timeout_s``
        it is killed with all its children."""

    def kill(self) -> None:
        """End whatever `run` runs now, from another thread."""

    def reboot(self, *, timeout_s: float) -> bool:
        """Restart the device and wait until it answers; False where that cannot be done."""

    def identify(self, firmware: str | None = None, driver: str | None = None) -> Identity:
        """Who answers; the arguments are the profile's shell commands."""

    def close(self) -> None:
        """Remove the folder and end the connection. May be called twice."""

    def __enter__(self) -> DeviceLink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def finished(process: subprocess.CompletedProcess[bytes], seconds: float) -> Finished:
    """What `subprocess` reports, as a `Finished`."""
    return ended(process.returncode, process.stdout, process.stderr, seconds)


def ended(
    code: int | None, stdout: bytes, stderr: bytes, seconds: float, *, timed_out: bool = False
) -> Finished:
    """A `Finished` of an exit code as `subprocess` (negative) or a shell (128 + n) gives it."""
    signal = None
    if code is not None and not timed_out:
        if code < 0:
            signal = -code
        elif 128 < code < 128 + 65:
            signal = code - 128
    return Finished(
        exit_code=None if signal or timed_out else code,
        signal=signal,
        timed_out=timed_out,
        stdout=stdout[-MAX_OUTPUT_BYTES:],
        stderr=stderr[-MAX_OUTPUT_BYTES:],
        seconds=seconds,
    )


def inside(name: str) -> Path:
    """A name on a device as a path. Raises OptionError for one outside of the link's folder."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise OptionError(f"{name!r}: names on a device are relative and stay in the link's folder")
    return path


def options_of(module: Any, options: Mapping[str, object], where: str) -> Any:
    """The link's own ``Options`` from a table of a profile or lab file."""
    from lumavox._parse import parse

    return parse(module.Options, dict(options), where)
