"""A device with a secure shell, through asyncssh: boards, set-top boxes, Macs.

[[devices]]                                      # lab.toml
name = "vs680-rack2-slot3"
chipset = "synaptics-vs680"
link = "ssh"
options = { host = "10.0.0.23", user = "qa", key = "lab/id_ed25519", restart = "sudo reboot" }

The server needs no more than a shell (dropbear will do): files go through ``cat``. Its host key must be known
(``known_hosts``, by default the user's own file); passwords are not for lab files.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import shlex
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lumavox.errors import MissingExtraError

from ._posix import PosixLink
from .base import LinkError, LinkTimeout

__all__ = ["Link", "Options"]

KEEPALIVE_S = 5
KEEPALIVES = 4
"""A device that is silent for 20 seconds has gone away."""

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """``key``: file of the private key, else ssh-agent's and the user's own. ``folder``: where the link's
    folder is made. ``runtime``: a folder there that has lumavox; else it is pushed. ``restart``: the command
    that restarts the device."""

    host: str
    user: str
    port: int = 22
    key: Path | None = None
    known_hosts: Path | None = None
    python: str = "python3"
    runtime: str | None = None
    folder: str = "/tmp"
    restart: str | None = None
    connect_timeout_s: float = 15.0


class Link(PosixLink):
    """The promise of `DeviceLink` over ssh."""

    kind = "ssh"

    def __init__(self, options: Options) -> None:
        try:
            import asyncssh  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("asyncssh", "matrix", "reaching devices by ssh") from error
        self._options = options
        self._connection: Any = None
        super().__init__(options.python, options.runtime, options.folder)

    def _connect(self) -> None:
        import asyncssh

        self._disconnect()
        o = self._options
        settings: dict[str, Any] = {"client_keys": [str(o.key)]} if o.key else {}
        settings |= {"known_hosts": str(o.known_hosts)} if o.known_hosts else {}
        opening = asyncssh.connect(
            o.host, o.port, username=o.user,
            connect_timeout=o.connect_timeout_s, login_timeout=o.connect_timeout_s,
            keepalive_interval=KEEPALIVE_S, keepalive_count_max=KEEPALIVES, config=None, **settings,
        )  # fmt: skip
        self._connection = _wait(
            _opened(opening), 2 * o.connect_timeout_s, f"connecting to {o.user}@{o.host}:{o.port}"
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            _loop().call_soon_threadsafe(connection.abort)

    def _shell(self, text: str, timeout_s: float) -> bytes:
        return self._exchange(text, b"", timeout_s)

    def _send(self, source: Path, place: str, timeout_s: float) -> None:
        self._exchange(f"cat >{shlex.quote(place)}", source.read_bytes(), timeout_s)

    def _fetch(self, place: str, target: Path, timeout_s: float) -> None:
        target.write_bytes(self._exchange(f"cat {shlex.quote(place)}", b"", timeout_s))

    def _restart(self) -> bool:
        if self._options.restart is None:
            return False
        with contextlib.suppress(LinkError):  # it may end the connection before it answers
            self._ask(self._options.restart, here=False)
        return True

    def _exchange(self, text: str, sent: bytes, timeout_s: float) -> bytes:
        """Standard output of a command that is given ``sent`` as its input."""
        import asyncssh

        if self._connection is None:
            raise LinkError("ssh: the device is not connected")
        command = f"exec sh -c {shlex.quote(text)}"  # whatever the login shell is
        given: dict[str, Any] = {"input": sent} if sent else {"stdin": asyncssh.DEVNULL}
        running = self._connection.run(command, encoding=None, check=False, **given)
        done = _wait(running, timeout_s, "a command")
        printed: bytes = done.stdout
        return printed


async def _opened(opening: Any) -> Any:
    return await opening


def _wait(work: Coroutine[Any, Any, T], timeout_s: float, doing: str) -> T:
    """The result of a coroutine, with errors as LinkError."""
    import asyncssh

    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result(timeout_s)
    except concurrent.futures.TimeoutError:
        future.cancel()
        raise LinkTimeout(f"ssh: {doing}: no answer within {timeout_s:g} s") from None
    except (asyncssh.Error, OSError, concurrent.futures.CancelledError) as error:
        raise LinkError(f"ssh: {doing}: {error or type(error).__name__}") from error


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop for all links, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="ssh-links", daemon=True).start()
    return loop
