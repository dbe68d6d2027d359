"""The player's end of one worker: its socket, its pidfd, and how it ended.

The worker's death wakes a waiting player through the pidfd, whatever the worker was doing.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Sequence

from ._isolation_order import EXIT_CORRUPT, EXIT_EXHAUSTED, MAX_MESSAGE_BYTES

_EXITS = {EXIT_EXHAUSTED: "itself, out of memory", EXIT_CORRUPT: "itself, after a spoilt request"}
_STATUS = struct.Struct("<i")
_STATUS_WAIT_MS = 200  # the server tells how a worker ended within a few


class WorkerEnded(Exception):
    """The worker is gone."""


class Link:
    """``send`` and ``receive`` are for one thread at a time; ``pidfd`` may be polled by another."""

    def __init__(self, channel: socket.socket, pidfd: int, status_fd: int, pid: int) -> None:
        self.pid, self.pidfd = pid, pidfd
        self._socket, self._status_fd = channel, status_fd
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._poll.register(pidfd, select.POLLIN)
        self._cause = ""
        self.exit_code: int | None = None
        """Once `cause` was asked for: the exit status, minus a signal's number; None if not known."""

    def send(self, message: bytes, fds: Sequence[int] = ()) -> None:
        """Send without waiting. Raises `WorkerEnded`, also when the worker reads nothing any more."""
        try:
            if fds:
                socket.send_fds(self._socket, [message], list(fds), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            else:
                self._socket.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as error:
            raise WorkerEnded(str(error)) from error

    def receive(self, until: float) -> bytes | None:
        """The next message; None if there is none ``until`` that time of ``perf_counter``.

        Raises `WorkerEnded` once the worker is gone and all that it said was read.
        """
        while True:
            # Rounded down to whole milliseconds, which is what poll takes: better early than late.
            left_ms = int(1e3 * (until - time.perf_counter()))
            ready = self._poll.poll(max(0, left_ms))
            if ready:
                try:
                    message = self._socket.recv(MAX_MESSAGE_BYTES, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    if any(fd == self.pidfd for fd, _ in ready):
                        raise WorkerEnded("the worker ended") from None
                    continue
                except OSError as error:
                    raise WorkerEnded(str(error)) from error
                if not message:
                    raise WorkerEnded("the worker ended")
                return message
            if left_ms <= 0:
                return None

    def kill(self) -> None:
        """End the worker, whatever it does."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def cause(self) -> str:
        """How the worker ended: "SIGSEGV", "exit status 1". Waits a little for the news."""
        if not self._cause:
            poll = select.poll()
            poll.register(self._status_fd, select.POLLIN)
            data = os.read(self._status_fd, _STATUS.size) if poll.poll(_STATUS_WAIT_MS) else b""
            if len(data) == _STATUS.size:
                self.exit_code = os.waitstatus_to_exitcode(_STATUS.unpack(data)[0])
            self._cause = _words(self.exit_code)
        return self._cause

    def close(self, wait_s: float = 0.0) -> None:
        """Let the worker go, for ``wait_s`` by itself, then by force."""
        self._socket.close()  # what a worker that is well ends by
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(int(wait_s * 1e3)):
            self.kill()
            poll.poll(1000)
        os.close(self.pidfd)
        os.close(self._status_fd)


def _words(code: int | None) -> str:
    if code is None:
        return "an unknown cause"
    if code >= 0:
        return _EXITS.get(code, f"exit status {code}")
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
