"""``Result``: one run of one cell as it is kept in the store: what was asked, how it ended, what came back.

``status`` is the first rule only, made from how the process ended: it tells the product's faults (FAIL) from
the lab's (ERROR) and from silence (MISS), and is DONE where a complete record came back. Whether that record
passes is a verdict, made later from the same data (``verdict``), so that rules can change without runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lumavox._parse import dump_line, load_json, parse, plain
from lumavox.errors import OptionError

from .cell import Cell, Rung, Status
from .links.base import Finished
from .runner.record import Record

__all__ = ["SCHEMA", "Outcome", "Result", "first_status"]

SCHEMA = 1
MAX_TAIL = 4_000  # characters of the runner's standard error that are kept


@dataclass(frozen=True)
class Outcome:
    """How the runner's process ended, and what the link said."""

    seconds: float
    exit_code: int | None = None
    signal: int | None = None  # 11 SIGSEGV, 4 SIGILL, 9 SIGKILL (out of memory)
    timed_out: bool = False
    stderr: str = ""
    link_error: str | None = None  # the device could not be reached, or went away
    record_error: str | None = None  # what came back is no record of this run

    @classmethod
    def of(cls, done: Finished) -> Outcome:
        """From a command that ended."""
        text = done.stderr.decode("utf-8", "replace")[-MAX_TAIL:]
        return cls(round(done.seconds, 3), done.exit_code, done.signal, done.timed_out, text)


@dataclass(frozen=True)
class Result:
    """See the module's docstring."""

    schema: int
    cell: Cell
    rung: Rung
    status: Status
    reason: str
    outcome: Outcome
    tier: str
    device: str  # name of the device in the lab, or of the profile
    link: str
    run_id: str  # of the `run` it belongs to
    began_ms: int  # Unix time of the host
    loaded: bool = False
    record: Record | None = None
    command: str | None = None  # that runs this cell again
    host: Mapping[str, str] = field(default_factory=dict)  # versions on the machine that ran the matrix
    misc: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this version reads results of schema {SCHEMA}")

    def to_dict(self) -> dict[str, Any]:
        """JSON values, absent fields left out."""
        found: dict[str, Any] = plain(self)
        return found

    def to_json(self) -> bytes:
        """One line of canonical JSON: the same result is the same bytes."""
        return dump_line(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex: its name in the store."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes, where: str = "result") -> Result:
        """The result in a JSON text. Raises OptionError that names ``where`` and the key."""
        return parse(cls, load_json(data, where), where)


def first_status(outcome: Outcome, record: Record | None) -> tuple[Status, str]:
    """The status by the first rule, and the reason.

    A lost device is ERROR. A process that a signal ended, or that hung, after the runner had begun is the
    product's fault; before it had begun, the lab's. A process that ended well and left nothing is a MISS.
    """
    if outcome.link_error is not None:
        return Status.ERROR, f"the device was lost: {outcome.link_error}"
    if outcome.record_error is not None:
        return Status.ERROR, f"no usable record came back: {outcome.record_error}"
    phase = record.open_phase if record else None
    if outcome.timed_out:
        if phase:
            return Status.FAIL, f"hung in phase {phase!r}, ended after {outcome.seconds:.0f} s"
        return Status.ERROR, f"the runner did not begin within {outcome.seconds:.0f} s"
    if outcome.signal is not None:
        if phase:
            return Status.FAIL, f"crashed with signal {outcome.signal} in phase {phase!r}"
        return Status.ERROR, f"the runner was ended by signal {outcome.signal} before it began"
    if record is None:
        if outcome.exit_code:
            last = outcome.stderr.strip().splitlines()[-1:] or ["without a word"]
            return Status.ERROR, f"the runner ended with exit code {outcome.exit_code}: {last[0]}"
        return Status.MISS, "the runner ended well and left no record"
    failed = next((p for p in record.phases if p.error), None)
    if failed:
        return Status.FAIL, f"phase {failed.name!r}: {failed.error}"
    if not record.complete:
        where = f" in phase {phase!r}" if phase else ""
        return Status.FAIL, f"the process ended with exit code {outcome.exit_code}{where}"
    return Status.DONE, "complete"
