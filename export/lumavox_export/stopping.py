"""Being asked to stop: Ctrl-C, or SIGTERM from whoever runs the machine."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The work was asked to stop by ``signal``."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


class StopRequests:
    """While it is open, SIGINT and SIGTERM are noted; patient work looks at ``asked`` and ends in order.

    Without ``patient``, and at the second signal, Stopped is raised at once. Does nothing outside the main
    thread, where Python cannot receive signals.
    """

    def __init__(self, patient: bool) -> None:
        self.patient = patient
        self.asked = 0  # the signal's number

    def __enter__(self) -> StopRequests:
        self._here = threading.current_thread() is threading.main_thread()
        if self._here:
            self._before = [signal.signal(number, self._receive) for number in _SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        if self._here:
            for number, handler in zip(_SIGNALS, self._before, strict=True):
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.patient:
            raise Stopped(number)
        self.asked = number
