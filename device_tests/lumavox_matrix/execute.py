"""``execute``: one planned cell on one device, from pushing to a `Result`. It raises nothing of the device.

Whatever the device or the link does becomes a result: a lost device is an ERROR, a crash of the runner a
FAIL, silence a MISS (`result.first_status`). It neither waits for locks nor writes to a store: `run` does.
"""

from __future__ import annotations

import dataclasses
import platform
import shlex
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lumavox import __version__
from lumavox._parse import plain
from lumavox._virtual_faults import Faults
from lumavox.errors import LumavoxError, OptionError

from . import payload
from .cell import UNKNOWN, Rung, Status
from .links import LinkError, open_link
from .plan import PlannedCell
from .presets import preset
from .profile import profile
from .reference import reference_db
from .result import SCHEMA, Outcome, Result, first_status
from .runner import job as jobs
from .runner.job import Gates, Job, RuntimeFaults
from .runner.record import Record
from .tiers import Tier
from .virtual import CPU_SLOWDOWN, script_of, write_virtual_bundle

__all__ = ["Seeded", "execute", "job_for"]

TIMEOUT_FLOOR_S = 120.0
TIMEOUT_FACTOR = 4.0
"""A run is given up after four times its predicted time, and never before two minutes."""


@dataclass(frozen=True)
class Seeded:
    """A fault put into a virtual device on purpose: changes of the chipset's script, of the model's, of what
    happens around the runtime, and of the link."""

    script: Mapping[str, object] = field(default_factory=dict)
    model: Mapping[str, object] = field(default_factory=dict)
    runtime: RuntimeFaults = field(default_factory=RuntimeFaults)
    link: Mapping[str, object] = field(default_factory=dict)


def execute(
    planned: PlannedCell,
    tier: Tier,
    *,
    run_id: str,
    loaded: bool = False,
    timeout_s: float | None = None,
    gates: Gates | None = None,
    seeded: Seeded | None = None,
) -> Result:
    """Run the cell once and say what happened."""
    began_ms = int(time.time() * 1000)
    job = job_for(planned, tier, loaded=loaded, gates=gates, seeded=seeded)
    limit_s = timeout_s or max(TIMEOUT_FLOOR_S, TIMEOUT_FACTOR * planned.predicted_s)
    started = time.monotonic()
    try:
        outcome, record = _on_device(planned, job, limit_s, seeded)
    except LinkError as error:
        outcome, record = Outcome(round(time.monotonic() - started, 3), link_error=str(error)), None
    status, reason = first_status(outcome, record)
    chipset = profile(planned.device.chipset)
    rung = chipset_rung(planned)
    return Result(
        schema=SCHEMA,
        cell=planned.cell,
        rung=rung,
        status=status,
        reason=reason,
        outcome=outcome,
        tier=tier.name,
        device=planned.device.name,
        link=planned.device.link,
        run_id=run_id,
        began_ms=began_ms,
        loaded=loaded,
        record=record,
        command=_command(planned, tier, loaded),
        host={"lumavox": __version__, "python": platform.python_version(), "machine": platform.machine()},
        misc={"chipset": chipset.title},
    )


def failed_outside(
    planned: PlannedCell, tier: Tier, run_id: str, error: BaseException, *, loaded: bool = False
) -> Result:
    """The result of a cell whose own execution raised: a fault of the matrix, ERROR."""
    text = f"{type(error).__name__}: {error}"
    outcome = Outcome(0.0, link_error=text)
    return Result(
        schema=SCHEMA, cell=planned.cell, rung=chipset_rung(planned), status=Status.ERROR, reason=text,
        outcome=outcome, tier=tier.name, device=planned.device.name, link=planned.device.link, run_id=run_id,
        began_ms=int(time.time() * 1000), loaded=loaded, command=_command(planned, tier, loaded),
    )  # fmt: skip


def chipset_rung(planned: PlannedCell) -> Rung:
    """The evidence that this device gives for this engine: the weaker of what the two allow."""
    support = profile(planned.device.chipset).engine(planned.cell.engine, planned.cell.delegate)
    offered = [planned.device.rung] + ([support.rung] if support and support.rung else [])
    return min(offered, key=lambda rung: rung.level)


def job_for(
    planned: PlannedCell, tier: Tier, *, loaded: bool = False, gates: Gates | None = None,
    seeded: Seeded | None = None,
) -> Job:  # fmt: skip
    """What the runner is told."""
    cell = planned.cell
    chipset = profile(planned.device.chipset)
    scripted = chipset.scripted_clock
    return Job(
        schema=jobs.SCHEMA,
        nonce=uuid.uuid4().hex,
        cell=cell,
        bundle="bundle" if planned.model.path is None or planned.model.path.is_dir() else "bundle.zip",
        variant=planned.variant,
        frames=tier.frames(preset(cell.preset).units_per_s),
        paced=tier.paced,
        tier=tier.name,
        clock="scripted" if scripted else "real",
        budget_s=tier.budget_s,
        quality=tier.quality,
        loaded=loaded,
        # The runtime waits for a late call in real time, which a scripted clock does not have.
        deadline_ms=chipset.budgets.deadline_of(cell.preset) if tier.paced and not scripted else None,
        reference_variant=planned.reference_variant,
        reference_db=reference_db(planned.model, planned.variant),
        allow_unsigned=planned.model.virtual,
        gates=gates or (Gates() if tier.paced else Gates(missing_middle=0)),
        faults=(seeded or Seeded()).runtime,
    )


def _on_device(
    planned: PlannedCell, job: Job, limit_s: float, seeded: Seeded | None
) -> tuple[Outcome, Record | None]:
    device = planned.device
    options = dict(device.options) | dict(seeded.link if seeded else {})
    with tempfile.TemporaryDirectory(prefix="lumavox-cell-") as work:
        bundle = _bundle(planned, Path(work), seeded)
        with open_link(device.link, options, f"device {device.name!r}") as link:
            staged = payload.stage(job, bundle, Path(work), with_runtime=link.runtime is None)
            link.push(staged, payload.FOLDER)
            done = link.run(
                payload.command(link.python),
                timeout_s=limit_s,
                env=payload.environment(link.runtime),
            )
            outcome = Outcome.of(done)
            pulled = Path(work) / "record.json"
            if not link.pull(payload.RECORD, pulled):
                return outcome, None
            return _checked(outcome, pulled, job)


def _checked(outcome: Outcome, pulled: Path, job: Job) -> tuple[Outcome, Record | None]:
    """The record, if it is one, and of this run."""
    try:
        record = Record.from_json(pulled.read_bytes(), "record.json")
        if record.nonce != job.nonce:
            raise OptionError(f"the record is of another run (nonce {record.nonce!r})")
        found = record.device.engine_version if record.device else None
        if found and job.cell.engine_version not in (found, UNKNOWN):
            raise OptionError(
                f"the device has {job.cell.engine} {found}, the plan says {job.cell.engine_version}: "
                "correct the lab file, or install that version"
            )
    except LumavoxError as error:
        return dataclasses.replace(outcome, record_error=str(error)), None
    return outcome, record


def _bundle(planned: PlannedCell, work: Path, seeded: Seeded | None) -> Path:
    if planned.model.path is not None:
        return planned.model.path
    script = profile(planned.device.chipset).script
    assert script is not None, "scripted models run on virtual chipsets only"
    seeded = seeded or Seeded()
    cpu_ms = profile(planned.device.chipset).cpu_delay_ms
    cpu_ms = script.delay_ms * CPU_SLOWDOWN if cpu_ms is None else cpu_ms
    return write_virtual_bundle(
        planned.model,
        script_of(script, seeded.script),
        work / "virtual",
        cpu=script_of(script, {"delay_ms": cpu_ms, "faults": plain(Faults())}),
        own=seeded.model,
    )


def _command(planned: PlannedCell, tier: Tier, loaded: bool) -> str:
    words = ["lumavox-matrix", "run", "--cell", planned.cell.digest, "--chipset", planned.device.chipset]
    words += ["--tier", tier.name, "--again"] + (["--loaded"] if loaded else [])
    return shlex.join(words)
