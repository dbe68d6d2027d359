"""``Reporter``: takes a record every 30 s, and when a state changes, and gives it to ring and sinks.

Telemetry is off unless a player makes one of these.

    with Reporter([upscaler.record, enhancer.record], sinks=[JsonLinesSink("lumavox.jsonl")]) as reporter:
        reporter.start()                           # a thread of its own, or call tick() about once per second
        play()

A sink that fails, blocks or is slow costs telemetry, never playback: nothing here raises while a stream runs,
and nothing runs on the player's threads unless it calls `tick`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from .errors import OptionError
from .telemetry import TelemetryRecord, reason_token
from .telemetry_ring import TelemetryRing
from .telemetry_sinks import Occasion, Sink

__all__ = ["Reporter"]

INTERVAL_S = 30.0
MIN_STATE_S = 5.0  # a state that flickers is reported at most so often
_WAKE_S = 1.0


@dataclass
class _Source:
    take: Callable[[], TelemetryRecord]
    state: tuple[str, str] | None = None  # and its reason, as they were told last
    told_s: float = -math.inf


class Reporter:
    """``sources`` give records (the ``record`` methods of upscalers and enhancers).

    A ``ring`` gets every record first; once all sinks took one, it is acknowledged there. What a crashed
    session left in it goes to the sinks first. ``failed_writes`` counts what sinks refused.
    """

    def __init__(
        self,
        sources: Sequence[Callable[[], TelemetryRecord]],
        sinks: Sequence[Sink] = (),
        *,
        ring: TelemetryRing | None = None,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not interval_s >= 1.0:
            raise OptionError(f"interval_s must be at least 1, got {interval_s!r}")
        self._sources = [_Source(take) for take in sources]
        self._sinks, self._ring = list(sinks), ring
        self._interval_s, self._clock = interval_s, clock
        self._due_s = clock() + interval_s
        self._first = True
        self._behind = ring is not None  # the ring may hold records that the sinks have not
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.failed_writes = 0

    def start(self) -> None:
        """Run `tick` once per second in a daemon thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lumavox-telemetry", daemon=True)
            self._thread.start()

    def tick(self) -> None:
        """Write what is due: cheap if nothing is. From one thread only."""
        now_s = self._clock()
        due = now_s >= self._due_s
        if due:
            self._due_s += self._interval_s * ((now_s - self._due_s) // self._interval_s + 1)
        if due or self._first:
            self._first = False
            self._recover()
        for source in self._sources:
            try:
                record = source.take()
            except Exception:
                self.failed_writes += 1
                continue
            state = record.state, reason_token(record.state_reason or "")
            changed = state != source.state and now_s - source.told_s >= MIN_STATE_S
            if due or changed:
                source.state, source.told_s = state, now_s
                self._write(record, "interval" if due else "state")

    def close(self) -> None:
        """Write a last record of each source and close the sinks; the ring stays its owner's."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            if self._thread.is_alive():
                return  # a sink hangs; leave it to its thread
        self._due_s = self._clock()
        self.tick()
        for sink in self._sinks:
            try:
                sink.close()
            except Exception:
                self.failed_writes += 1

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(_WAKE_S):
            self.tick()

    def _recover(self) -> None:
        """Hand on what is pending from an earlier session, or since a sink failed."""
        if self._ring is None or not self._sinks or not self._behind:
            return
        for number, record in self._ring.pending():
            if not self._give(record, "interval"):
                return
            self._ring.acknowledge(number)
        self._behind = False

    def _write(self, record: TelemetryRecord, occasion: Occasion) -> None:
        """Into the ring, and to the sinks unless older records must reach them first."""
        if self._ring is None:
            self._give(record, occasion)
            return
        try:
            number = self._ring.append(record)
        except Exception:
            self.failed_writes += 1
            return
        if self._sinks and not self._behind:
            if self._give(record, occasion):
                self._ring.acknowledge(number)
            else:
                self._behind = True

    def _give(self, record: TelemetryRecord, occasion: Occasion) -> bool:
        """To all sinks; whether all took it."""
        failed = 0
        for sink in self._sinks:
            try:
                sink.write(record, occasion)
            except Exception:
                failed += 1
        self.failed_writes += failed
        return failed == 0
