"""``PosixLink``: what links to a device with a shell have in common; each adds how bytes move.

Every question to the device is one shell text, and its answer ends with a line of ours: an answer without it
was cut on the way. What a command prints is kept in files there and comes base64-coded, so that nothing in
between changes it, and no child that outlives the command keeps us waiting. The device needs sh, setsid, env,
tar, base64, tail, wc and mktemp, as busybox and toybox have them.
"""

from __future__ import annotations

import abc
import base64
import binascii
import contextlib
import os
import shlex
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from ..cell import Rung
from .base import MAX_OUTPUT_BYTES, Finished, Identity, LinkError, LinkTimeout, ended, inside

__all__ = ["PosixLink"]

ASK_S = 60.0
"""For questions that take the device no time, and for reporting that a command was killed."""

BYTES_PER_S = 100_000
"""A link that is slower than that is given up."""

_END = "END"
_KILL = '[ -f .pid ] && kill -9 -"$(cat .pid)"'
_RUN = """rm -f .pid .out .err
setsid sh -c 'echo $$ >.pid; exec "$@"' sh env {words} </dev/null >.out 2>.err &
wait $!
echo $?
{kill}
rm -f .pid
for stream in .out .err; do echo --; tail -c {most} $stream | base64; done"""


class PosixLink(abc.ABC):
    """The promise of `DeviceLink`, given `_shell`, `_send`, `_fetch`, `_connect` and `_disconnect`, which
    raise nothing but LinkError."""

    kind: ClassVar[str]
    rung: ClassVar[Rung] = Rung.MEASURED

    def __init__(self, python: str, runtime: str | None, parent: str) -> None:
        self.python, self.runtime = python, runtime
        self._folder: str | None = None
        self._connect()
        try:
            self._folder = self._ask(f"mktemp -d {shlex.quote(parent)}/lumavox-XXXXXX", here=False).strip()
        except BaseException:
            self._disconnect()
            raise

    @abc.abstractmethod
    def _connect(self) -> None:
        """Connect, or connect anew."""

    @abc.abstractmethod
    def _disconnect(self) -> None:
        """End the connection. May be called twice."""

    @abc.abstractmethod
    def _shell(self, text: str, timeout_s: float) -> bytes:
        """What a shell text prints. May be called while another one runs."""

    @abc.abstractmethod
    def _send(self, source: Path, place: str, timeout_s: float) -> None:
        """Copy a file to the absolute path ``place``."""

    @abc.abstractmethod
    def _fetch(self, place: str, target: Path, timeout_s: float) -> None:
        """Copy a file from the absolute path ``place``."""

    def _restart(self) -> bool:
        """Have the device restart; False where that cannot be done."""
        return False

    def push(self, source: Path, name: str) -> None:
        inside(name)
        place = f"{self._folder}/.pushed"
        with tempfile.NamedTemporaryFile(suffix=".tar") as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
                archive.add(source, arcname=name, filter=_nobody)
            packed.flush()
            size = os.path.getsize(packed.name)
            self._send(Path(packed.name), place, _copy_s(size))
        _require_whole(self.kind, name, self._size(".pushed"), size)
        target, parent = shlex.quote(name), shlex.quote(str(Path(name).parent))
        self._ask(f"{{ rm -rf {target} && mkdir -p {parent} && tar -xf .pushed && rm .pushed; }} 2>&1")

    def pull(self, name: str, target: Path) -> bool:
        inside(name)
        size = self._size(name)
        if size is None:
            return False
        temporary = target.with_name(target.name + ".part")
        try:
            self._fetch(f"{self._folder}/{name}", temporary, _copy_s(size))
            _require_whole(self.kind, name, temporary.stat().st_size, size)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def run(
        self, command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Finished:
        words = shlex.join([*(f"{name}={value}" for name, value in (env or {}).items()), *command])
        text = _RUN.format(words=words, kill=_KILL, most=MAX_OUTPUT_BYTES)
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            self.kill()

        started = time.monotonic()
        timer = threading.Timer(timeout_s, give_up)
        timer.start()
        try:
            code, *streams = self._ask(text, timeout_s + ASK_S).split("--\n")
        finally:
            timer.cancel()
        seconds = time.monotonic() - started
        try:
            out, err = (base64.b64decode("".join(stream.split()), validate=True) for stream in streams)
            return ended(int(code), out, err, seconds, timed_out=timed_out.is_set())
        except (ValueError, binascii.Error) as error:
            raise LinkError(f"{self.kind}: the answer to a command cannot be read: {error}") from error

    def kill(self) -> None:
        with contextlib.suppress(LinkError):
            self._ask(f"{_KILL}; true")

    def reboot(self, *, timeout_s: float) -> bool:
        before = self._boot_id()
        if not self._restart():
            return False
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            with contextlib.suppress(LinkError):
                self._connect()
                if self._boot_id() != before:
                    self._ask(f"mkdir -p {self._folder}", here=False)
                    return True
            time.sleep(min(1.0, timeout_s / 20))
        raise LinkTimeout(f"{self.kind}: the device did not come back within {timeout_s:g} s of its restart")

    def identify(self, firmware: str | None = None, driver: str | None = None) -> Identity:
        machine, system, name = self._ask("uname -m; uname -sr; uname -n").split("\n")[:3]
        return Identity(machine, system, name, self._first_line(firmware), self._first_line(driver))

    def close(self) -> None:
        if self._folder is not None:
            with contextlib.suppress(LinkError):
                self._ask(f"{_KILL}; cd /; rm -rf {self._folder}", 10.0)
            self._folder = None
        self._disconnect()

    def __enter__(self) -> PosixLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, text: str, timeout_s: float = ASK_S, *, here: bool = True, may_fail: bool = False) -> str:
        """What a shell text prints, run in the link's folder if ``here``."""
        if here:
            text = f"cd {self._folder} || exit\n{text}"
        answer = self._shell(f"(\n{text}\n) 2>/dev/null; echo {_END} $?", timeout_s).decode(errors="replace")
        printed, end, code = answer.replace("\r\n", "\n").rpartition(f"{_END} ")
        if not end or not code.strip().isdigit() or not code.endswith("\n"):
            raise LinkError(f"{self.kind}: the device went away, or its answer was cut ({answer[-80:]!r})")
        if int(code) and not may_fail:
            raise LinkError(f"{self.kind}: {printed.strip()[-200:] or 'a command'} (exit code {int(code)})")
        return printed if not int(code) else ""

    def _size(self, name: str) -> int | None:
        """Bytes of a file, None if it is not there."""
        place = shlex.quote(name)
        told = self._ask(f"if [ -f {place} ]; then wc -c <{place}; else echo none; fi").strip()
        return int(told) if told.isdigit() else None

    def _first_line(self, command: str | None) -> str | None:
        told = self._ask(f"sh -c {shlex.quote(command)}", may_fail=True) if command else ""
        return told.strip().split("\n")[0].strip() or None

    def _boot_id(self) -> str:
        return self._ask("cat /proc/sys/kernel/random/boot_id", here=False)


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Files of whoever unpacks them."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _copy_s(size: int) -> float:
    return ASK_S + size / BYTES_PER_S


def _require_whole(kind: str, name: str, arrived: int | None, size: int) -> None:
    if arrived != size:
        raise LinkError(f"{kind}: copying {name!r}: {arrived or 0} of {size} bytes arrived")
