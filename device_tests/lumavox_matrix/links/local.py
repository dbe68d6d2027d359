"""This machine: commands run as child processes in a temporary folder.

[[links]]
kind = "local"
options = { python = "/usr/bin/python3" }        # default: the interpreter that runs the matrix
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import lumavox

from ..cell import Rung
from .base import Finished, Identity, LinkError, ended, inside

__all__ = ["Link", "Options"]


@dataclass(frozen=True)
class Options:
    """``python``: the interpreter for the runner. ``folder``: where the link's folder is made."""

    python: str = sys.executable
    folder: Path | None = None


class Link:
    """The promise of `DeviceLink` on this machine."""

    kind = "local"
    rung = Rung.MEASURED

    def __init__(self, options: Options) -> None:
        self.python = options.python
        same = options.python == sys.executable
        self.runtime = str(Path(lumavox.__file__).parents[1]) if same else None
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="lumavox-", dir=options.folder))
        except OSError as error:
            raise LinkError(f"local: no folder can be made in {options.folder}: {error.strerror}") from error
        self._process: subprocess.Popen[bytes] | None = None

    def push(self, source: Path, name: str) -> None:
        target = self._inside(name)
        with _link_errors(f"copying {source} to {name!r}"):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)

    def pull(self, name: str, target: Path) -> bool:
        source = self._inside(name)
        if not source.is_file():
            return False
        with _link_errors(f"copying {name!r} to {target}"):
            temporary = target.with_name(target.name + ".part")
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)
        return True

    def run(
        self, command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Finished:
        started = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            # Files, not pipes: a child of the child that outlives it cannot keep a pipe and us waiting.
            try:
                process = subprocess.Popen(
                    list(command), cwd=self._folder, env=os.environ | dict(env or {}),
                    stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                return ended(127, b"", f"{command[0]}: {error.strerror}".encode(), 0.0)
            self._process = process
            timed_out = False
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                _kill_group(process)
                self._process = None
            seconds = time.monotonic() - started
            return ended(process.returncode, _tail(out), _tail(err), seconds, timed_out=timed_out)

    def kill(self) -> None:
        process = self._process
        if process is not None:
            _kill_group(process)

    def reboot(self, *, timeout_s: float) -> bool:
        return False  # this machine runs the matrix

    def identify(self, firmware: str | None = None, driver: str | None = None) -> Identity:
        return Identity(
            machine=platform.machine(),
            system=f"{platform.system()} {platform.release()}",
            name=platform.node() or "localhost",
            firmware=self._first_line(firmware),
            driver=self._first_line(driver),
        )

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _inside(self, name: str) -> Path:
        return self._folder / inside(name)

    def _first_line(self, command: str | None) -> str | None:
        if command is None:
            return None
        done = self.run(["sh", "-c", command], timeout_s=20)
        lines = done.stdout.decode(errors="replace").splitlines()
        return lines[0].strip() or None if done.ok and lines else None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(file: object, most: int = 64 * 1024) -> bytes:
    assert hasattr(file, "seek") and hasattr(file, "read")
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most))
    data: bytes = file.read()
    return data


@contextlib.contextmanager
def _link_errors(doing: str):  # type: ignore[no-untyped-def]
    try:
        yield
    except OSError as error:
        raise LinkError(f"local: {doing} failed: {error.strerror or error}") from error
