"""The other end of the link "adb": a fake adbd over TCP, reached through a real adb server on a private port.

adbd's side of the protocol (CNXN, OPEN, OKAY, WRTE, CLSE; no authentication) with the services "exec:"
(commands run on this machine), "sync:" (STAT, SEND, RECV) and "reboot:". Message layout: AOSP,
packages/modules/adb, protocol.txt and SYNC.TXT. See test_links.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

adbutils = pytest.importorskip("adbutils")

BANNER = b"device::ro.product.name=fake;ro.product.model=RK3588;ro.product.device=fake;features=cmd"
VERSION, MAX_DATA = 0x01000000, 4096
CHUNK = 2048


class Adbd:
    """The device. ``cut_answers_at``: only so many bytes of what a command prints; ``delay_s``: before it;
    ``cut_files_at``: only so many bytes of a file are sent."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.cut_answers_at: int | None = None
        self.cut_files_at: int | None = None
        self.delay_s = 0.0
        self.boot_id = folder / "boot_id"
        self.boot_id.write_text(uuid.uuid4().hex)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, name="adbd", daemon=True).start()

    def cut(self) -> None:
        """End every connection, as a pulled cable does."""
        while self._open:
            connection = self._open.pop()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes who reads from it
            connection.close()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or it would accept one more
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=_Session(self, connection).serve, daemon=True).start()


class _Session:
    """One connection of the adb server, with its streams."""

    def __init__(self, adbd: Adbd, connection: socket.socket) -> None:
        self._adbd, self._connection = adbd, connection
        self._lock = threading.Lock()
        self._streams: dict[int, _Stream] = {}

    def serve(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                command, one, two, size, _, _ = struct.unpack("<4sIIIII", self._exactly(24))
                data = self._exactly(size)
                if command == b"CNXN":
                    self.send(b"CNXN", VERSION, MAX_DATA, BANNER)
                elif command == b"OPEN":
                    stream = self._streams[one] = _Stream(self, len(self._streams) + 1, one)
                    self.send(b"OKAY", stream.own, one)
                    service = data.rstrip(b"\0").decode()
                    threading.Thread(target=self._serve, args=(stream, service), daemon=True).start()
                elif one in self._streams:
                    self._streams[one].receive(command, data)
                    if command == b"WRTE":
                        self.send(b"OKAY", two, one)

    def send(self, command: bytes, one: int, two: int, data: bytes = b"") -> None:
        magic = struct.unpack("<I", command)[0] ^ 0xFFFFFFFF
        head = struct.pack("<4sIIIII", command, one, two, len(data), sum(data) & 0xFFFFFFFF, magic)
        with self._lock:
            self._connection.sendall(head + data)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._connection.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _serve(self, stream: _Stream, service: str) -> None:
        with contextlib.suppress(OSError, EOFError):
            kind, _, text = service.partition(":")
            if kind == "exec":
                self._run(stream, text)
            elif kind == "sync":
                self._sync(stream)
            elif kind == "reboot":
                self._adbd.boot_id.write_text(uuid.uuid4().hex)
                self._adbd.cut()
            stream.close()

    def _run(self, stream: _Stream, text: str) -> None:
        text = text.replace("/proc/sys/kernel/random/boot_id", str(self._adbd.boot_id))
        done = subprocess.run(
            ["sh", "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        time.sleep(self._adbd.delay_s)
        stream.write(done.stdout[: self._adbd.cut_answers_at])

    def _sync(self, stream: _Stream) -> None:
        while True:
            order, size = struct.unpack("<4sI", stream.read(8))
            if order == b"QUIT":
                return
            name = stream.read(size).decode()
            if order == b"STAT":
                found = os.stat(name) if os.path.exists(name) else None
                told = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
                stream.write(b"STAT" + struct.pack("<III", *told))
            elif order == b"SEND":
                self._receive_file(stream, Path(name.rpartition(",")[0]))
            elif order == b"RECV":
                self._send_file(stream, Path(name))

    def _receive_file(self, stream: _Stream, path: Path) -> None:
        data = b""
        while True:
            order, size = struct.unpack("<4sI", stream.read(8))
            if order == b"DONE":
                break
            data += stream.read(size)
        path.write_bytes(data[: self._adbd.cut_files_at])
        stream.write(b"OKAY" + struct.pack("<I", 0))

    def _send_file(self, stream: _Stream, path: Path) -> None:
        data = path.read_bytes()[: self._adbd.cut_files_at]
        for start in range(0, len(data), CHUNK):
            part = data[start : start + CHUNK]
            stream.write(b"DATA" + struct.pack("<I", len(part)) + part)
        stream.write(b"DONE" + struct.pack("<I", 0))


class _Stream:
    """One service that is used, as bytes."""

    def __init__(self, session: _Session, own: int, other: int) -> None:
        self._session, self.own, self._other = session, own, other
        self._came = b""
        self._news = threading.Condition()
        self._may_write, self._closed = True, False

    def receive(self, command: bytes, data: bytes) -> None:
        with self._news:
            self._came += data
            self._may_write = self._may_write or command == b"OKAY"
            self._closed = self._closed or command == b"CLSE"
            self._news.notify_all()

    def read(self, size: int) -> bytes:
        with self._news:
            while len(self._came) < size:
                if self._closed:
                    raise EOFError
                self._news.wait()
            data, self._came = self._came[:size], self._came[size:]
            return data

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA):
            with self._news:
                self._news.wait_for(lambda: self._may_write or self._closed)
                if self._closed:
                    raise EOFError
                self._may_write = False
            self._session.send(b"WRTE", self.own, self._other, data[start : start + MAX_DATA])

    def close(self) -> None:
        with self._news:
            self._news.wait_for(lambda: self._may_write or self._closed)
        self._session.send(b"CLSE", self.own, self._other)


@contextlib.contextmanager
def server() -> Iterator[int]:
    """A real adb server on a port of its own; skips where there is no adb program."""
    try:
        program = adbutils.adb_path()
    except adbutils.AdbError as error:
        pytest.skip(f"no adb: {error}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "-P", str(port), "nodaemon", "server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            pytest.skip(f"the adb server does not start ({program})")
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def board(folder: Path) -> Iterator[tuple[Adbd, dict[str, object]]]:
    with server() as port:
        adbd = Adbd(folder)
        try:
            yield adbd, {"serial": f"127.0.0.1:{adbd.port}", "server_port": port, "folder": str(folder)}
        finally:
            adbd.stop()


@contextlib.contextmanager
def options(folder: Path) -> Iterator[Mapping[str, object]]:
    with board(folder / "board") as (_, found):
        yield found
