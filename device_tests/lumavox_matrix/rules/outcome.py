"""Rules: can the run tell anything, and did it come to its end?"""

from __future__ import annotations

from collections.abc import Iterator

from .._culprits import of_crash, of_error
from ..cell import UNKNOWN, Culprit, Status
from ..evidence import Evidence, Finding

HARNESS = Culprit.HARNESS
FAIL, ERROR = Status.FAIL, Status.ERROR


def lab(e: Evidence) -> Iterator[Finding]:
    """The device was lost, the record is not there or not of this run."""
    if e.result.status in (Status.ERROR, Status.MISS):
        yield Finding("lab", e.result.status, HARNESS, e.result.reason, "outcome")


def clock(e: Evidence) -> Iterator[Finding]:
    """The device's clock jumped: nothing that was timed counts."""
    if found := e.failed("clock_steady"):
        what = f"the wall clock jumped by {found.value:g} ms during the run"
        yield Finding("clock", ERROR, HARNESS, what, found.name, found.value, found.limit, found.unit)


def identity(e: Evidence) -> Iterator[Finding]:
    """Another engine answered than the lab declares: the run is of another cell."""
    asked = e.result.cell.engine_version
    told = e.record.device.engine_version if e.record and e.record.device else None
    if told and UNKNOWN not in (asked, told) and asked != told:
        what = f"the cell says {e.result.cell.engine} {asked}, the device runs {told}"
        yield Finding("identity", ERROR, HARNESS, what, "device.engine_version")


def ended(e: Evidence) -> Iterator[Finding]:
    """The process crashed, hung or raised before its record was complete."""
    if e.result.status is not FAIL or e.record is None:
        return
    raised = next((p for p in e.record.phases if p.error), None)
    if raised is not None:
        culprit, status = of_error(raised.error or "")
        yield Finding("ended", status, culprit, e.result.reason, f"phase {raised.name}")
    else:
        phase = e.record.open_phase or "stream"
        yield Finding(
            "ended", FAIL, of_crash(phase, e.result.outcome.stderr), e.result.reason, f"phase {phase}"
        )
