"""The other end of the link "ssh": asyncssh's own server on loopback, whose commands run on this machine.

It has a board's bad days: `Board.cut` ends every connection, `Board.garble` shortens answers, `Board.delay_s`
makes them late. See test_links.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

asyncssh = pytest.importorskip("asyncssh")


class Board:
    """The server, on an event loop in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.cut_answers_at: int | None = None
        self.delay_s = 0.0
        self._boot_id = folder / "boot_id"
        self._boot_id.write_text(uuid.uuid4().hex)
        self._connections: list[Any] = []
        keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(2)]
        host, user = keys
        user.write_private_key(folder / "key")
        self._host, self._authorized = host, user.convert_to_public()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="sshd", daemon=True).start()
        self.port = self._call(self._listen())
        known = folder / "known_hosts"
        known.write_bytes(f"[127.0.0.1]:{self.port} ".encode() + host.export_public_key())
        self.options = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "qa",
            "key": str(folder / "key"),
            "known_hosts": str(known),
            "folder": str(folder),
            "restart": "reboot-board",
        }

    def cut(self) -> None:
        """End every connection, as a pulled cable does."""
        self._loop.call_soon_threadsafe(lambda: [c.abort() for c in self._connections])

    def stop(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> int:
        board = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, connection: Any) -> None:
                board._connections.append(connection)

            def begin_auth(self, username: str) -> bool:
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: Any) -> bool:
                return bool(username == "qa" and key == board._authorized)

        self._server = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Server, server_host_keys=[self._host],
            process_factory=self._command, encoding=None,
        )  # fmt: skip
        return int(self._server.get_port())

    async def _command(self, process: Any) -> None:
        text = process.command.replace("/proc/sys/kernel/random/boot_id", str(self._boot_id))
        if "reboot-board" in text:
            self._boot_id.write_text(uuid.uuid4().hex)
            self.cut()
            return
        child = await asyncio.create_subprocess_exec(
            "sh", "-c", text, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = await child.communicate(await process.stdin.read())
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise
        await asyncio.sleep(self.delay_s)
        process.stdout.write(out[: self.cut_answers_at])
        process.stderr.write(err)
        process.exit(child.returncode if child.returncode is not None and child.returncode >= 0 else 255)


@contextlib.contextmanager
def board(folder: Path) -> Iterator[Board]:
    made = Board(folder)
    try:
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def options(folder: Path) -> Iterator[Mapping[str, object]]:
    with board(folder / "board") as made:
        yield made.options


@contextlib.contextmanager
def system_server(folder: Path) -> Iterator[Mapping[str, object]]:
    """OpenSSH's own server, as this user; skips where there is none or it cannot be started."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("no sshd on this machine")
    folder.mkdir(parents=True)
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    for name, key in (("host", host), ("key", user)):
        key.write_private_key(folder / name)
        (folder / name).chmod(0o600)
    (folder / "authorized").write_bytes(user.export_public_key())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "known_hosts").write_bytes(f"[127.0.0.1]:{port} ".encode() + host.export_public_key())
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\n"
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "UsePAM no\nStrictModes no\nPasswordAuthentication no\nPidFile none\n"
    )
    log = folder / "log"  # sshd changes its folder: all paths are absolute
    process = subprocess.Popen([program, "-D", "-f", folder / "config", "-E", log])
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            pytest.skip(f"sshd does not start: {log.read_text().strip() or process.returncode}")
        yield {
            "host": "127.0.0.1",
            "port": port,
            "user": getpass.getuser(),
            "key": str(folder / "key"),
            "known_hosts": str(folder / "known_hosts"),
            "folder": str(folder),
        }
    finally:
        process.kill()
        process.wait()
