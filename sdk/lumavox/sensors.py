"""``LinuxSensors``: heat and memory of a Linux device, for a `Governor`; ``PolledSensors``: without waiting.

Android players have something better: give ``getThermalHeadroom`` and ``onTrimMemory`` as `Conditions`.

    sensors = PolledSensors(LinuxSensors())    # a sensor behind a slow bus must not hold up a frame
    governor.sense(sensors.read())             # at most about once per second
    sensors.close()
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ._system import text_of
from .governor import Conditions

__all__ = ["LinuxSensors", "PolledSensors", "Sensors"]

FORECAST_S = 10.0
HEADROOM_SPAN_C = 30.0
"""Headroom 0 is so many degrees below the limit, as in Android's thermal service."""
MIN_AVAILABLE = 0.05  # share of memory that must be left
MAX_STALLED = 10.0  # percent of the last 10 s in which some task waited for memory
_TRIPS = ("passive", "hot", "critical")  # the first kind that a zone has is its limit


class Sensors(Protocol):
    """Whatever can say how the device is."""

    def read(self) -> Conditions:
        """The state now."""


class PolledSensors:
    """Reads ``sensors`` every ``interval_s`` in a daemon thread; `read` gives what was found last.

    It raises nothing: sensors that fail leave what they said before.
    """

    def __init__(self, sensors: Sensors, interval_s: float = 1.0) -> None:
        self._sensors, self._interval_s = sensors, interval_s
        self._found = Conditions()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="lumavox-sensors", daemon=True)
        self._thread.start()

    def read(self) -> Conditions:
        """What was found last; nothing is known before the first time."""
        return self._found

    def close(self) -> None:
        """End the thread; one whose sensor hangs is left behind. May be called twice."""
        self._stop.set()
        self._thread.join(timeout=0.2)

    def _poll(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                self._found = self._sensors.read()
            if self._stop.wait(self._interval_s):
                return


class LinuxSensors:
    """Reads ``/sys/class/thermal`` and ``/proc``; what is not there is not known.

    The forecast is the hottest zone's headroom against its first trip point (1.0 = at the limit), carried
    on for ``FORECAST_S`` seconds by its slope over the last readings.
    """

    def __init__(self, root: str | Path = "/", clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = Path(root), clock
        self._zones = [zone for zone in map(_limit, self._found()) if zone is not None]
        self._history: deque[tuple[float, float]] = deque(maxlen=10)

    def read(self) -> Conditions:
        """Heat and memory now. Never raises."""
        return Conditions(self._forecast(), self._memory_pressure())

    def _found(self) -> list[Path]:
        return sorted(self._root.glob("sys/class/thermal/thermal_zone*"))

    def _forecast(self) -> float | None:
        readings = [
            1.0 - (limit_c - temp_c / 1e3) / HEADROOM_SPAN_C
            for zone, limit_c in self._zones
            if (temp_c := _number(zone / "temp")) is not None
        ]
        if not readings:
            return None
        now_s, headroom = self._clock(), max(readings)
        self._history.append((now_s, headroom))
        since_s, before = self._history[0]
        if now_s - since_s < 3.0:
            return max(0.0, headroom)
        return max(0.0, headroom + FORECAST_S * (headroom - before) / (now_s - since_s))

    def _memory_pressure(self) -> bool | None:
        stalled = _field(self._root / "proc/pressure/memory", "some", "avg10=")
        available = _field(self._root / "proc/meminfo", "MemAvailable:")
        total = _field(self._root / "proc/meminfo", "MemTotal:")
        if stalled is not None and stalled > MAX_STALLED:
            return True
        if available is None or not total:
            return None if stalled is None else False
        return available / total < MIN_AVAILABLE


def _limit(zone: Path) -> tuple[Path, float] | None:
    """The zone and the temperature in degrees Celsius at which it begins to throttle."""
    trips: dict[str, float] = {}
    for kind in sorted(zone.glob("trip_point_*_type")):
        limit = _number(kind.with_name(kind.name.replace("_type", "_temp")))
        if limit is not None and limit > 0:
            trips.setdefault(text_of(kind).strip(), limit / 1e3)
    found = [trips[kind] for kind in _TRIPS if kind in trips]
    return (zone, found[0]) if found else None


def _number(path: Path) -> float | None:
    try:
        return float(text_of(path))
    except ValueError:
        return None


def _field(path: Path, line: str, prefix: str = "") -> float | None:
    """The number after ``prefix`` in the line that begins with ``line``."""
    for words in map(str.split, text_of(path).splitlines()):
        if words and words[0] == line:
            for word in words[1:]:
                if word.startswith(prefix):
                    try:
                        return float(word[len(prefix) :])
                    except ValueError:
                        return None
    return None
