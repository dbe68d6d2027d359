"""``Machine``: one qemu process with a booted system, reached by ssh on this machine's loopback.

    machine = Machine(Booted.at(cache_folder()), "cortex-a53", wheels="current")
    address = machine.boot()         # at once if it runs; anew if it has ended
    machine.stop()                   # as if its plug were pulled; also when this process ends

Both of its keys are made for one boot: ours is given to the device on its kernel's command line, its own is
read from its console.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .errors import EmulatorError
from .initramfs import READY

__all__ = ["Address", "BootTimeout", "Machine", "System"]

BOOT_S = 300.0
"""A boot takes 10 to 20 seconds on a machine with nothing else to do."""

_READY = re.compile(rf"^{READY} (ssh-ed25519 \S+)\s".encode(), re.MULTILINE)


class BootTimeout(EmulatorError):
    """The system did not come up in time."""


class System(Protocol):
    """What is booted: see `Booted`."""

    def command(
        self, processor: str, *, wheels: str, cores: int, memory_mib: int, port: int, console: Path,
        variables: Sequence[str],
    ) -> list[str]: ...  # fmt: skip


@dataclass(frozen=True)
class Address:
    """Where ssh answers, on 127.0.0.1, as root: our private ``key`` and a file that knows the server's."""

    port: int
    key: Path
    known_hosts: Path


class Machine:
    """Its methods may be called from any thread."""

    def __init__(
        self, system: System, processor: str, *, wheels: str, cores: int = 1, memory_mib: int = 1536
    ) -> None:
        self._system, self._processor, self._wheels = system, processor, wheels
        self._cores, self._memory_mib = cores, memory_mib
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._address: Address | None = None
        self._folder: Path | None = None

    def boot(self, timeout_s: float = BOOT_S) -> Address:
        """Start it, if it does not run, and wait until it can be reached. Raises EmulatorError with the last
        lines of its console, `BootTimeout` after ``timeout_s``."""
        with self._lock:
            if self._address is None or self._process is None or self._process.poll() is not None:
                self.stop()
                try:
                    self._address = self._start(timeout_s)
                except BaseException:
                    self.stop()
                    raise
            return self._address

    def stop(self) -> None:
        """End it now. May be called twice."""
        with self._lock:
            atexit.unregister(self.stop)
            if self._process is not None:
                self._process.kill()
                self._process.wait()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._process = self._address = self._folder = None

    def _start(self, timeout_s: float) -> Address:
        self._folder = folder = Path(tempfile.mkdtemp(prefix="lumavox-booted-"))
        atexit.register(self.stop)
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        address = Address(_free_port(), folder / "key", folder / "known_hosts")
        address.key.touch(mode=0o600)
        address.key.write_bytes(private)
        console = folder / "console"
        command = self._system.command(
            self._processor,
            wheels=self._wheels,
            cores=self._cores,
            memory_mib=self._memory_mib,
            port=address.port,
            console=console,
            variables=[
                f"SSH_KEY={public.decode().split()[1]}",
                f"NAME=emulated-{self._processor}",
                f"NOW={int(time.time())}",
            ],
        )
        with (folder / "log").open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise EmulatorError(f"{command[0]}: {error.strerror}") from error
        server = self._wait(self._process, folder, timeout_s)
        address.known_hosts.write_text(f"[127.0.0.1]:{address.port} {server}\n")
        return address

    def _wait(self, process: subprocess.Popen[bytes], folder: Path, timeout_s: float) -> str:
        """The public key of its ssh server, which it tells when the server listens."""
        until = time.monotonic() + timeout_s
        while True:
            ended = process.poll()  # before reading: what it said last is read then
            found = _READY.search(_read(folder / "console"))
            if found:
                return found[1].decode()
            if ended is not None:
                raise EmulatorError(f"{self._processor} ended while it booted: {_last_words(folder)}")
            if time.monotonic() > until:
                raise BootTimeout(
                    f"{self._processor} did not boot within {timeout_s:g} s: {_last_words(folder)}"
                )
            time.sleep(0.2)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _read(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _last_words(folder: Path) -> str:
    text = (_read(folder / "log") + _read(folder / "console")).decode(errors="replace")
    return "; ".join(line.strip() for line in text.splitlines()[-3:] if line.strip()) or "it said nothing"
