"""Keeps one worker: a thread that starts it, watches it, ends it when it must, and starts the next one.

The player's thread only ever asks for the channel, which is there or is not. A worker that lived for some
calls is replaced at once; where more than `FORGIVEN_STARTS` in a row did not, after a pause that doubles.
Every end is counted by the crash marker, and at its limit the model is left alone.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from ._isolation_channel import Channel
from ._isolation_errors import CRASH, HANG, MEMORY, SHARED, START, WorkerAway
from ._isolation_link import Link, WorkerEnded
from ._isolation_order import EXIT_CORRUPT, EXIT_EXHAUSTED
from ._isolation_start import Shapes, Starter
from .errors import EngineError
from .isolation import Restart, WorkerStatus

if TYPE_CHECKING:
    from ._isolation_order import Opened
    from .bundle import Variant
    from .crash_marker import CrashMarker
    from .isolation import Isolation

SETTLED_CALLS = 8
SETTLED_S = 2.0
"""A worker that answered so many calls, or lived so long, had a good start."""
FORGIVEN_STARTS = 2
"""So many bad starts in a row are followed by another at once: what killed a worker may hit its successor."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
_KEPT_RESTARTS = 32
_FAREWELL_S = 0.5


_CODES: dict[int | None, str] = {EXIT_EXHAUSTED: MEMORY, EXIT_CORRUPT: SHARED}

_GONE = (errno.EBADF, errno.EPIPE, errno.ECONNRESET)


class Keeper:
    """``channel`` is for the player's thread; ``status``, ``events`` and ``close`` for any."""

    def __init__(
        self,
        policy: Isolation,
        backend: str,
        variant: Variant,
        model: bytes,
        threads: int,
        marker: CrashMarker,
    ) -> None:
        self._policy, self._marker, self._inputs = policy, marker, len(variant.inputs)
        self._starter = Starter(policy, backend, variant, model, threads)
        self._news = threading.Condition()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Shared with the player's thread, under _news:
        self._channel: Channel | None = None
        self._wanted: dict[str, tuple[int, ...]] = {}
        self._refused: tuple[dict[str, tuple[int, ...]], str] | None = None  # shapes the engine does not take
        self._condemned: tuple[str, str] | None = None
        self._state, self._reason = "starting", "the worker is being started"
        self._closed = False
        self._events: deque[tuple[str, str]] = deque(maxlen=_KEPT_RESTARTS)
        self._restarts: deque[Restart] = deque(maxlen=_KEPT_RESTARTS)
        self._count = 0
        self._link: Link | None = None
        self.opened: Opened | None = None
        # The thread's own:
        self._short_lives = 0
        self._thread = threading.Thread(target=self._run, name="lumavox-keeper", daemon=True)
        self._thread.start()

    def wait_opened(self) -> Opened:
        """What the first worker said. Raises `EngineError` if it could not open the model."""
        with self._news:
            self._news.wait_for(lambda: self.opened is not None or self._state in ("failed", "closed"))
            if self.opened is None:
                raise EngineError(self._reason)
            return self.opened

    def channel(self, shapes: Shapes, wait_s: float) -> Channel:
        """The worker, ready for inputs of ``shapes``; waits for it at most ``wait_s``.

        Raises `WorkerAway` if it is not ready, `EngineError` if the engine does not take these shapes.
        """
        channel = self._channel
        if channel is not None and channel.shapes == shapes == self._wanted:
            return channel
        with self._news:
            if self._wanted != shapes:  # also back to the channel's: or it would be taken down under a call
                self._wanted, self._refused = dict(shapes), None
                self._wake()
            if wait_s > 0:
                self._news.wait_for(lambda: self._answers(shapes), wait_s)
            channel = self._channel
            if channel is not None and channel.shapes == shapes:
                return channel
            if self._refused is not None and self._refused[0] == shapes:
                raise EngineError(self._refused[1])
            raise WorkerAway("the worker prepares for a new size" if self._state == "ready" else self._reason)

    def condemn(self, channel: Channel, code: str, reason: str) -> None:
        """End this worker, which must not be used any more, and start another."""
        with self._news:
            if self._channel is channel:
                self._channel = None
                self._condemned = code, reason
                self._state, self._reason = "away", f"the worker is started again: {reason}"
                self._wake()

    def verdict(self, wait_s: float) -> str | None:
        """How the worker that was just condemned ended; waits for it at most ``wait_s``."""
        with self._news:
            count = self._count
            self._news.wait_for(  # the keeper may have seen the end first, and not noted it yet
                lambda: bool(self._restarts) and (self._count > count or self._condemned is None), wait_s
            )
            return self._restarts[-1].cause if self._restarts else None

    def watch(self) -> None:
        """A call is late: see to it that it does not hang."""
        self._wake()

    def note_answer(self, channel: Channel) -> None:
        """A call was answered."""
        if channel.answered in (SETTLED_CALLS, self._policy.healthy_calls):
            self._wake()

    def events(self) -> list[tuple[str, str]]:
        """Codes and reasons of what ended workers since the last call of this."""
        found = []
        while self._events:
            found.append(self._events.popleft())
        return found

    @property
    def status(self) -> WorkerStatus:
        """How things stand."""
        with self._news:
            return WorkerStatus(
                state=self._state,
                reason=self._reason,
                pid=self._link.pid if self._link is not None else None,
                restarts=self._count,
                crashes=self._marker.crashes,
                limits=self.opened.limits if self.opened is not None else (),
                problem=self._marker.problem,
                recent=tuple(self._restarts),
            )

    def close(self) -> None:
        """End the worker. May be called twice."""
        with self._news:
            if self._closed:
                return
            self._closed = True
            self._channel = None
            self._wake()
            self._news.notify_all()
        self._thread.join(5.0)

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            while self._bring_up():
                cause = self._watch()
                self._end(cause)
                if cause is None or not self._survives():
                    break
        except Exception as error:  # no fault of ours may leave a player waiting
            self._fail(f"the keeper of the worker failed: {error!r}")
        finally:
            with self._news:
                if self._closed:
                    self._state, self._reason = "closed", "closed"
                self._news.notify_all()
            if self._link is not None:
                self._link.close()
                self._link = None
            self._starter.close()
            with self._news:
                os.close(self._wake_fd)
                self._wake_fd = -1

    def _bring_up(self) -> bool:
        """Start a worker with the model open, ready if shapes are known; False if there shall be none."""
        first = self.opened is None
        while self._pause():
            began = time.perf_counter()
            if first:
                self._marker.begin()
            try:
                link = self._starter.start()
                with self._news:
                    self._link = link
                opened = self._starter.opened(link)
                if isinstance(opened, str) and first:
                    self._marker.settle()  # the engine said no, which is no crash
                    self._fail(opened)
                    return False
                if isinstance(opened, str):
                    raise WorkerEnded(opened)
                channel = self._prepare(warm=not first)
            except WorkerEnded as error:
                cause = str(error)
                if self._link is not None and cause == "the worker ended":
                    cause = f"the worker ended by {self._link.cause()} while it loaded the model"
                self._note_load((time.perf_counter() - began) * 1e3, None)
                self._end((START, cause))
                if first:
                    self._fail(cause)
                    return False
                if not self._survives():
                    return False
                continue
            self._note_load(opened.load_ms, time.perf_counter())
            self.opened = opened
            self._publish(channel)
            return True
        return False

    def _note_load(self, took_ms: float, back_at: float | None) -> None:
        """Of the start that follows every worker that is still away."""
        with self._news:
            for index, lost in enumerate(self._restarts):
                if lost.back_at is None:
                    load_ms = (lost.load_ms or 0.0) + took_ms
                    self._restarts[index] = replace(lost, back_at=back_at, load_ms=load_ms)

    def _pause(self) -> bool:
        """Wait before the next start if the last ones did not live; False when closed meanwhile."""
        pause_s = 0.0
        if self._short_lives > FORGIVEN_STARTS:
            doublings = min(self._short_lives - FORGIVEN_STARTS - 1, 10)
            pause_s = min(FIRST_PAUSE_S * 2**doublings, LONGEST_PAUSE_S)
        with self._news:
            return not self._news.wait_for(lambda: self._closed, pause_s)

    def _prepare(self, warm: bool, answered: int = 0) -> Channel | None:
        """The channel for the wanted shapes, if they are complete and possible. Raises `WorkerEnded`."""
        with self._news:
            shapes = dict(self._wanted)
            self._refused = None
        if len(shapes) < self._inputs:
            return None
        assert self._link is not None
        try:
            return self._starter.prepare(self._link, shapes, warm=warm, answered=answered)
        except (EngineError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _GONE:
                raise WorkerEnded("the worker ended") from error  # between two messages of its
            with self._news:
                self._refused = shapes, str(error)
            return None

    def _watch(self) -> tuple[str, str] | None:
        """Wait for the worker's end; None when closed."""
        assert self._link is not None
        channel = self._channel  # from now on this thread's own, whatever the player does with it
        poll = select.poll()
        poll.register(self._link.pidfd, select.POLLIN)
        poll.register(self._wake_fd, select.POLLIN)
        settled = forgiven = False
        answered, since_ready = 0, time.perf_counter()
        while True:
            since = channel.waiting_since() if channel is not None else None
            left_s = None if since is None else since + self._policy.hang_s - time.perf_counter()
            if left_s is not None and left_s <= 0:
                return HANG, f"a call hung for {self._policy.hang_s * 1e3:g} ms"
            ready = {fd for fd, _ in poll.poll(None if left_s is None else 1 + int(left_s * 1e3))}
            if self._wake_fd in ready:
                os.eventfd_read(self._wake_fd)
            with self._news:
                closed, condemned = self._closed, self._condemned
                refused = self._refused is not None and self._refused[0] == self._wanted
            if closed:
                return None
            if time.perf_counter() - since_ready >= SETTLED_S:
                self._short_lives = 0
            if self._link.pidfd in ready or (condemned and condemned[0] == CRASH):
                cause = self._link.cause()
                return _CODES.get(self._link.exit_code, CRASH), f"the worker ended by {cause}"
            if condemned:
                return condemned
            if channel is not None:
                answered = channel.answered
            if not settled and answered >= SETTLED_CALLS:
                settled, self._short_lives = True, 0
                self._marker.settle()
            if not forgiven and answered >= self._policy.healthy_calls:
                forgiven = True
                self._marker.forgive()
            with self._news:  # what is wanted by now: a channel that is wanted again may be in use
                other = self._wanted != (channel.shapes if channel is not None else {})
                if other and not refused:
                    self._channel = None
            if other and not refused:
                try:
                    channel = self._prepare(False, answered)
                except WorkerEnded as error:
                    cause = str(error)
                    return START, cause if cause != "the worker ended" else self._link.cause()
                self._publish(channel)

    def _publish(self, channel: Channel | None) -> None:
        with self._news:
            self._channel = channel
            self._condemned = None
            self._state, self._reason = "ready", ""
            self._news.notify_all()

    def _end(self, cause: tuple[str, str] | None) -> None:
        """Let the worker go; with a cause, as one that failed."""
        now = time.perf_counter()
        with self._news:
            channel, self._channel = self._channel, None
            link, self._link = self._link, None
            self._condemned = None
            if cause is not None:
                self._state, self._reason = "away", f"the worker is started again: {cause[1]}"
        del channel
        if link is not None:
            link.close(_FAREWELL_S if cause is None else 0.0)
        if cause is None:
            self._marker.settle()
            return
        self._short_lives += 1
        self._marker.crashed(f"{cause[0]}: {cause[1]}")
        with self._news:
            self._count += 1
            self._events.append(cause)
            self._restarts.append(Restart(cause[0], cause[1], now))
            self._news.notify_all()

    def _survives(self) -> bool:
        """False once the model is set aside."""
        why = self._marker.set_aside
        if why is not None:
            self._fail(why)
        return why is None

    def _fail(self, reason: str) -> None:
        with self._news:
            self._state, self._reason = "failed", reason
            self._news.notify_all()

    def _answers(self, shapes: Shapes) -> bool:
        if self._closed or self._state == "failed":
            return True
        if self._refused is not None and self._refused[0] == shapes:
            return True
        return self._channel is not None and self._channel.shapes == shapes

    def _wake(self) -> None:
        with self._news:  # or the number could be another file's by now
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)
