"""What a call to a worker may meet, beside what its engine raises. None of it leaves the runtime."""

from __future__ import annotations

from .errors import EngineError

CRASH, HANG, START, MEMORY, SHARED = (
    "E_WORKER_CRASH",
    "E_WORKER_HANG",
    "E_WORKER_START",
    "E_WORKER_MEMORY",
    "E_WORKER_SHARED_MEMORY",
)
"""What a worker is ended for; codes of the telemetry, after "SR." or "DE."."""


class WorkerAway(EngineError):
    """There is no worker for this call now: it starts, starts again, or is still busy. No fault of the
    call."""


class WorkerLate(EngineError):
    """The worker did not answer in time; it may still."""


class WorkerFault(EngineError):
    """The worker is gone or must go. ``code`` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
