"""A small process with the libraries loaded, which forks workers on demand: a worker is there in
milliseconds.

Not multiprocessing's: that one runs the player's main script again in each worker, which a player need not
be written for. Here nothing of the player is run or inherited but ``sys.path``. Forking the player itself
is out of the question, since it has threads. Runs as ``serve`` in a process started by `Forkserver`; when
its socket ends, with the player or by ``close``, it ends, and the workers with it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from multiprocessing import spawn
from typing import Any

from ._isolation_link import Link, WorkerEnded

STATUS = struct.Struct("<i")  # a wait status, as os.waitpid gives it
_PROGRAM = "import json, sys; o = json.loads(sys.argv[1]); sys.path[:] = o['path']; " \
    "from lumavox._isolation_forkserver import serve; serve(o['fd'])"  # fmt: skip
# Threads in the server would not survive a fork, and a worker has its engine's threads.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_STOP_S = 1.0
_PREPARE_S = 60.0  # Python, numpy and an engine on a slow, busy device


class Forkserver:
    """One per player process, shared by all that is open: ``acquire``, ``spawn``, ``release``."""

    _shared: Forkserver | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._users = 0
        self._spawning = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @classmethod
    def acquire(cls) -> Forkserver:
        """The server of this process; it is started by the first spawn."""
        with cls._lock:
            if cls._shared is None:
                cls._shared = cls()
                atexit.register(cls._shared._stop)
            cls._shared._users += 1
            return cls._shared

    def release(self) -> None:
        """One user less; after the last one the server ends."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                with self._spawning:
                    self._stop()

    def prepare(self, backend: str) -> None:
        """Have the server running, with that backend's library loaded. Raises `WorkerEnded`."""
        with self._spawning:
            try:
                server = self._running()
                server.settimeout(_PREPARE_S)
                server.send(backend.encode())
                if not server.recv(64):
                    raise WorkerEnded(
                        f"the server of workers ended while it loaded the library of {backend!r}"
                    )
            except OSError as error:
                self._stop()
                raise WorkerEnded(f"the server of workers cannot be used: {error}") from error
            except WorkerEnded:
                self._stop()
                raise

    def spawn(self, order_fd: int, model_fd: int, timeout_s: float) -> Link:
        """A new worker on copies of these descriptors, once it is prepared for. Raises `WorkerEnded` if the
        server cannot make one."""
        with self._spawning:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            status_ours, status_theirs = os.pipe()
            try:
                server = self._running()
                server.settimeout(timeout_s)
                fds = [theirs.fileno(), order_fd, model_fd, status_theirs]
                socket.send_fds(server, [b"fork"], fds)
                answer, pidfds, _, _ = socket.recv_fds(server, 64, 1, socket.MSG_CMSG_CLOEXEC)
                if not answer or not pidfds:
                    raise WorkerEnded("the server of workers ended")
            except (OSError, WorkerEnded) as error:
                ours.close()
                os.close(status_ours)
                self._stop()
                raise WorkerEnded(f"no worker could be started: {error}") from error
            finally:
                theirs.close()
                os.close(status_theirs)
            return Link(ours, pidfds[0], status_ours, int(answer))

    def _running(self) -> socket.socket:
        if self._process is not None and self._socket is not None and self._process.poll() is None:
            return self._socket
        self._stop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            order = json.dumps({"fd": theirs.fileno(), "path": sys.path})
            self._process = subprocess.Popen(
                [os.fsdecode(spawn.get_executable()), "-c", _PROGRAM, order],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,  # Ctrl-C is the player's
            )
        self._socket = ours
        return ours

    def _stop(self) -> None:
        process, self._process = self._process, None
        channel, self._socket = self._socket, None
        if channel is not None:
            channel.close()
        if process is not None:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def serve(fd: int) -> None:
    """Fork workers as asked for on the socket ``fd``, until it ends."""
    import select

    channel = socket.socket(fileno=fd)
    woken, waker = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waker, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    statuses: dict[int, int] = {}  # by pid, the pipe that is told how it ended
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(woken, select.POLLIN)
    from . import _isolation_worker  # noqa: F401  (loaded before the first fork)

    while True:
        ready = {at for at, _ in poll.poll()}
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            _reap(statuses)
        if channel.fileno() in ready:
            message, fds, _, _ = socket.recv_fds(channel, 64, 4)
            if not message:
                break
            if not fds:
                _load(message.decode())
                channel.send(b"loaded")
                continue
            pid = os.fork()
            if pid == 0:
                for other in (channel.fileno(), woken, waker, fds[3], *statuses.values()):
                    if other == waker:
                        signal.set_wakeup_fd(-1)
                    os.close(other)
                _live(*fds[:3])
            for theirs in fds[:3]:
                os.close(theirs)
            statuses[pid] = fds[3]
            pidfd = os.pidfd_open(pid)
            try:
                socket.send_fds(channel, [str(pid).encode()], [pidfd])
            except OSError:  # the player is gone, or waits no more
                break
            os.close(pidfd)
    for pid in statuses:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _live(channel_fd: int, order_fd: int, model_fd: int) -> Any:
    """The child's life, which ends here whatever happens."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        from . import _isolation_limits, _isolation_worker

        _isolation_limits.die_with_parent("lumavox-worker")
        _isolation_worker.main(channel_fd, order_fd, model_fd)
        code = 0
    finally:
        os._exit(code)


def _load(backend: str) -> None:
    """Load an engine's library; whatever is wrong with it the worker will say."""
    from . import _isolation_worker

    _isolation_worker.warm_up(backend)
    gc.collect()
    gc.freeze()  # so that collecting in a worker does not copy these pages


def _reap(statuses: dict[int, int]) -> None:
    while statuses:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        pipe = statuses.pop(pid, None)
        if pipe is not None:
            with contextlib.suppress(OSError):
                os.write(pipe, STATUS.pack(status))
            os.close(pipe)
