"""Runs the runner in a fork of a warm interpreter: a fifth of a second instead of one and a half.

For scripted devices only, of which there are thousands; real ones start the runner that was pushed. One
server process per matrix process has everything imported and no threads; it forks for each run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lumavox

from .base import Finished, LinkError, ended

__all__ = ["WarmRun"]

_SERVE = "from lumavox_matrix.links._warm import serve; serve()"
_START_S = 120.0


class WarmRun:
    """One run of ``runner.main`` after the other; `kill` may be called from another thread."""

    def __init__(self) -> None:
        self._pid: int | None = None

    def run(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], timeout_s: float
    ) -> Finished:
        """Call the runner with those arguments in that folder, and wait for it."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="lumavox-out-") as work:
            outputs = [Path(work) / name for name in ("stdout", "stderr")]
            for path in outputs:
                path.touch()
            replies = _server().start([list(arguments), str(folder), dict(env), *map(str, outputs)])
            try:
                self._pid = replies.get(timeout=_START_S)
            except queue.Empty:
                raise LinkError("virtual: the warm interpreter does not answer") from None
            timed_out = False
            try:
                code = replies.get(timeout=timeout_s)
            except queue.Empty:
                timed_out = True
                self.kill()
                code = replies.get()
            self._pid = None
            stdout, stderr = (path.read_bytes() for path in outputs)
            return ended(code, stdout, stderr, time.monotonic() - started, timed_out=timed_out)

    def kill(self) -> None:
        """End it now, with its children."""
        pid = self._pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


class _Server:
    """The other end of `serve`: one request, two replies (its process, then its exit code)."""

    def __init__(self) -> None:
        folders = [str(Path(lumavox.__file__).parents[1]), str(Path(__file__).parents[2])]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        )
        self._waiting: dict[int, queue.SimpleQueue[int]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="warm-replies", daemon=True).start()

    def start(self, request: list[Any]) -> queue.SimpleQueue[int]:
        """Ask for a run; the queue gets the process's number, later its exit code."""
        assert self._process.stdin is not None
        with self._lock:
            number = len(self._waiting)
            replies = self._waiting[number] = queue.SimpleQueue()
            try:
                self._process.stdin.write(json.dumps([number, *request]).encode() + b"\n")
                self._process.stdin.flush()
            except OSError as error:
                raise LinkError(f"virtual: the warm interpreter has ended: {error}") from error
        return replies

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            number, value = json.loads(line)
            self._waiting[number].put(value)


@functools.cache
def _server() -> _Server:
    return _Server()


def serve() -> None:
    """Fork for every line of standard input; ends with it."""
    import cv2  # noqa: F401  # imported once, for all forks
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: F401

    from lumavox_matrix.runner import main as runner

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever waits
    watched = selectors.DefaultSelector()
    watched.register(0, selectors.EVENT_READ)
    pending = b""
    while True:
        for key, _ in watched.select():
            if key.fd == 0:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    number, *request = json.loads(line)
                    pid = os.fork()
                    if pid == 0:
                        _child(runner, *request)
                    with contextlib.suppress(ProcessLookupError):
                        os.setpgid(pid, pid)
                    watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (number, pid))
                    _reply(number, pid)
            else:
                number, pid = key.data
                watched.unregister(key.fd)
                os.close(key.fd)
                _reply(number, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _reply(number: int, value: int) -> None:
    os.write(1, json.dumps([number, value]).encode() + b"\n")


def _child(
    runner: Any, arguments: list[str], folder: str, env: dict[str, str], stdout: str, stderr: str
) -> None:
    code = 70
    try:
        os.setpgid(0, 0)
        os.close(0)
        for descriptor, path in ((1, stdout), (2, stderr)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
        os.environ.update(env)
        os.chdir(folder)
        code = runner.main(arguments)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
