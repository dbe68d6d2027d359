"""An Android device, through adbutils and the adb server: phones, tablets, set-top boxes.

[[devices]]                                      # lab.toml
name = "pixel-rack1"
chipset = "qualcomm-sm8650"
link = "adb"
options = { serial = "R58N12ABCDE", python = "/data/local/tmp/python/bin/python3" }

``serial`` as ``adb devices`` shows it; one like "10.0.0.31:5555" is connected to over the network. Android
has no Python: put one on the device (a build with numpy and the engine) and name it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lumavox.errors import MissingExtraError

from ._posix import PosixLink
from .base import LinkError, LinkTimeout

__all__ = ["Link", "Options"]

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """``server_host``, ``server_port``: of the adb server; it is started if it is this machine's. Others as
    for ssh."""

    serial: str
    server_host: str = "127.0.0.1"
    server_port: int = 5037
    python: str = "python3"
    runtime: str | None = None
    folder: str = "/data/local/tmp"
    connect_timeout_s: float = 15.0


class Link(PosixLink):
    """The promise of `DeviceLink` over adb."""

    kind = "adb"

    def __init__(self, options: Options) -> None:
        try:
            import adbutils
        except ImportError as error:
            raise MissingExtraError("adbutils", "matrix", "reaching devices by adb") from error
        self._options = options
        self._client = adbutils.AdbClient(
            options.server_host, options.server_port, socket_timeout=options.connect_timeout_s
        )
        super().__init__(options.python, options.runtime, options.folder)

    def _connect(self) -> None:
        serial, limit_s = self._options.serial, self._options.connect_timeout_s
        if ":" in serial:
            told = _within(
                limit_s + 5, lambda: self._client.connect(serial, timeout=limit_s), f"connecting to {serial}"
            )
            if "connected" not in told:
                raise LinkError(f"adb: {told}")
        self._device = self._client.device(serial)
        state = _within(limit_s, self._device.get_state, f"asking for the state of {serial}")
        if state != "device":
            raise LinkError(f"adb: {serial} is {state}")

    def _disconnect(self) -> None:
        pass  # the connection is the server's, and other links may use it

    def _shell(self, text: str, timeout_s: float) -> bytes:
        def ask() -> bytes:
            with self._device.open_transport(timeout=timeout_s) as stream:
                stream.send_command(f"exec:{text}")  # without a terminal, which would change what is printed
                stream.check_okay()
                printed: bytes = stream.read_until_close(encoding=None)
                return printed

        return _within(timeout_s, ask, "a command")

    def _send(self, source: Path, place: str, timeout_s: float) -> None:
        _within(timeout_s, lambda: self._device.sync.push(source, place), f"copying to {place}")

    def _fetch(self, place: str, target: Path, timeout_s: float) -> None:
        _within(timeout_s, lambda: self._device.sync.pull_file(place, target), f"copying from {place}")

    def _restart(self) -> bool:
        with contextlib.suppress(LinkError):  # the connection ends with the device
            _within(self._options.connect_timeout_s, self._reboot, "restarting")
        return True

    def _reboot(self) -> None:
        with self._device.open_transport() as stream:
            stream.send_command("reboot:")
            stream.check_okay()
            stream.read_until_close(encoding=None)


def _within(timeout_s: float, work: Callable[[], T], doing: str) -> T:
    """What ``work`` returns, with errors as LinkError. adbutils waits without limit in some places, so it has
    a thread that is left behind if need be."""
    import adbutils

    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=call, name="adb-link", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not outcome:
        raise LinkTimeout(f"adb: {doing}: no answer within {timeout_s:g} s")
    value, error = outcome[0]
    if isinstance(error, (adbutils.AdbTimeout, socket.timeout)):
        raise LinkTimeout(f"adb: {doing}: {error}") from error
    if isinstance(error, Exception):  # of adbutils' own kinds, and what cut answers make it stumble over
        raise LinkError(f"adb: {doing}: {error or type(error).__name__}") from error
    if error is not None:
        raise error
    result: T = value
    return result
