"""What governed pictures and sound have in common: the device asked now and then, and their telemetry."""

from __future__ import annotations

from typing import Any

from .governor import Conditions, Governor
from .sensors import LinuxSensors, PolledSensors, Sensors
from .telemetry import LadderUse

INTERVAL_S = 1.0


class Watch:
    """Asks ``sensors`` about once per second; None: those of Linux, in a thread of its own until `close`."""

    def __init__(self, sensors: Sensors | None) -> None:
        self._own: PolledSensors | None = None
        if sensors is None:
            sensors = self._own = PolledSensors(LinuxSensors())
        self._sensors = sensors
        self._asked_s: float | None = None

    def read(self, now_s: float) -> Conditions | None:
        """How the device is; None if it was asked less than a second before ``now_s``."""
        if self._asked_s is not None and now_s - self._asked_s < INTERVAL_S:
            return None
        self._asked_s = now_s
        return self._sensors.read()

    def close(self) -> None:
        """May be called twice."""
        if self._own is not None:
            self._own.close()


def facts(governor: Governor, rung: str) -> dict[str, Any]:
    """Fields of the record, by name; ``rung`` is what the one in use is called."""
    switches = governor.switches
    return {
        "ladder": LadderUse(rung, switches.at_cut, switches.faded, switches.at_once),
        "deadline_miss_transient": governor.misses.transient,
        "deadline_miss_persistent": governor.misses.persistent,
        "thermal_forecast": governor.conditions.thermal_forecast,
    }
