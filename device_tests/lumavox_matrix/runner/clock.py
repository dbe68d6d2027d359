"""``ScriptedClock``: time that passes only when somebody sleeps.

On a scripted device the engine's time is a number in its script. With this clock a call that "takes" 12 ms
takes exactly that, however busy the machine is, and half an hour of paced frames takes as long as their
arithmetic. Results of it say so (``Record.clock``).
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

__all__ = ["ScriptedClock"]

_NAMES = ("time", "monotonic", "perf_counter", "sleep")


class ScriptedClock:
    """Replaces the clocks and ``sleep`` of the module ``time`` while the ``with`` block runs, if ``active``.

    Waiting for locks and events keeps real time, so a hang is a hang.
    """

    def __init__(self, active: bool) -> None:
        self._active = active
        self._own = {name: getattr(time, name) for name in _NAMES}
        self._passed = 0.0
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        """Let that much time pass at once."""
        with self._lock:
            self._passed += max(0.0, seconds)

    def __enter__(self) -> ScriptedClock:
        if self._active:
            for name in ("time", "monotonic", "perf_counter"):
                start = self._own[name]()
                setattr(time, name, lambda start=start: start + self._passed)
            time.sleep = self.sleep  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            for name, function in self._own.items():
                setattr(time, name, function)
