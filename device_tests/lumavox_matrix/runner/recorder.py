"""``Recorder``: collects a `Record` while a run goes on, and keeps its file up to date for the case that the
process does not live to write it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lumavox.errors import LumavoxError

from .job import Job
from .record import SCHEMA, Observation, Phase, PhaseName, Record, write

__all__ = ["PhaseFailed", "Recorder"]

MAX_DETAIL = 400


class PhaseFailed(Exception):
    """A phase raised; it is in the record, and no further phase makes sense."""


class Recorder:
    """One per run. The file is replaced whenever a phase begins or ends."""

    def __init__(self, job: Job, path: Path) -> None:
        self._path = path
        self._began = time.monotonic()
        self.record = Record(
            schema=SCHEMA,
            nonce=job.nonce,
            cell_digest=job.cell.digest,
            tier=job.tier,
            clock=job.clock,
            loaded=job.loaded,
            began_ms=int(time.time() * 1000),
        )

    def set(self, **fields: Any) -> None:
        """Set members of the record."""
        self.record = dataclasses.replace(self.record, **fields)

    def observe(
        self, name: str, phase: PhaseName, passed: bool | None = None, value: float | None = None,
        limit: float | None = None, unit: str | None = None, count: int | None = None,
        detail: str | None = None,
    ) -> None:  # fmt: skip
        """Add an observation."""
        number = None if value is None else float(value)
        short = detail[:MAX_DETAIL] if detail else None
        made = Observation(name, phase, passed, number, limit, unit, count, short)
        self.set(observations=(*self.record.observations, made))

    @contextlib.contextmanager
    def phase(self, name: PhaseName) -> Iterator[None]:
        """Write that a phase begins, and how it ends. What it raises becomes `PhaseFailed`."""
        began = self._now()
        before = self.record.phases
        self.set(phases=(*before, Phase(name, began)))
        self.flush()
        error: str | None = None
        try:
            yield
        except PhaseFailed:
            raise
        except (
            LumavoxError,
            OSError,
            ValueError,
            ArithmeticError,
            MemoryError,
            RuntimeError,
            ImportError,
        ) as cause:
            error = f"{type(cause).__name__}: {cause}"[:MAX_DETAIL]
            raise PhaseFailed(error) from cause
        finally:
            self.set(phases=(*before, Phase(name, began, self._now(), error)))
            self.flush()

    def flush(self) -> None:
        """Replace the file."""
        write(self.record, self._path)

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 4)
