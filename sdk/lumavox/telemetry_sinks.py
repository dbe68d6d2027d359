"""Where telemetry records go: ``JsonLinesSink``, ``CallbackSink``, ``CmcdSink`` (and `telemetry_otel`).

A sink has two methods, so a player's own is easily written. None of them opens a connection: what is sent
is sent by the player's callback, or by the OTLP exporter that it passes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from .errors import OptionError, OutputError
from .telemetry import TelemetryRecord
from .telemetry_cmcd import CmcdEvents

__all__ = ["CallbackSink", "CmcdSink", "JsonLinesSink", "Occasion", "Sink"]

Occasion = Literal["interval", "state"]
"""Why a record is written: its time has come, or the state has changed."""


class Sink(Protocol):
    """Takes records. What it raises does not reach the player."""

    def write(self, record: TelemetryRecord, occasion: Occasion) -> None:
        """Take one record."""

    def close(self) -> None:
        """No more will come. May be called twice."""


class JsonLinesSink:
    """One record per line in a file; at ``max_bytes`` it becomes ``<name>.1`` and a new one begins.

    At most ``2 * max_bytes`` are on the disk. Raises OptionError for a limit below 16 KiB, OutputError where
    the file cannot be written.
    """

    def __init__(self, path: str | Path, max_bytes: int = 1 << 20) -> None:
        if max_bytes < 1 << 14:
            raise OptionError(f"max_bytes must be at least {1 << 14}, got {max_bytes!r}")
        self.path, self.max_bytes = Path(path), max_bytes

    def write(self, record: TelemetryRecord, occasion: Occasion) -> None:
        """Append one line, in one piece: a reader sees it whole or not at all."""
        line = (record.to_json() + "\n").encode()
        try:
            with open(self.path, "ab", buffering=0) as file:
                if file.tell() + len(line) > self.max_bytes:
                    os.replace(self.path, self.path.with_name(self.path.name + ".1"))
                    with open(self.path, "ab", buffering=0) as fresh:
                        fresh.write(line)
                else:
                    file.write(line)
        except OSError as cause:
            raise OutputError(
                f"telemetry file {str(self.path)!r}: {cause}; give one that can be written"
            ) from cause

    def close(self) -> None:
        """Nothing is open between records."""


class CallbackSink:
    """Hands each record to a function."""

    def __init__(self, function: Callable[[TelemetryRecord], object]) -> None:
        self._function = function

    def write(self, record: TelemetryRecord, occasion: Occasion) -> None:
        """Call the function."""
        self._function(record)

    def close(self) -> None:
        """Nothing to do."""


class CmcdSink:
    """Hands each record to ``post`` as a CMCD event report, see `telemetry_cmcd`."""

    def __init__(
        self,
        post: Callable[[str], object],
        events: CmcdEvents | None = None,
        playhead_ms: Callable[[], int] | None = None,
    ) -> None:
        self._post, self._events, self._playhead_ms = post, events or CmcdEvents(), playhead_ms

    def write(self, record: TelemetryRecord, occasion: Occasion) -> None:
        """Call ``post`` with the body of a report."""
        report = self._events.interval if occasion == "interval" else self._events.changed
        self._post(report(record, self._playhead_ms() if self._playhead_ms is not None else None))

    def close(self) -> None:
        """Nothing to do."""
