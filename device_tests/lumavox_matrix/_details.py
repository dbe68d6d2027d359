"""What the report page shows of one cell when it is opened. Used by ``report``."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from lumavox.telemetry import Histogram

from .cell import AXES
from .changes import VERSIONED
from .evidence import Evidence
from .judged import Judged
from .policy import Policy
from .profile import ChipsetProfile
from .rules.proofs import nodes_of

__all__ = ["details"]

NOT_LATENCIES = "Times of an emulator are no latencies and are not shown."
NO_RECORD = "No record with times came back."
STDERR_CHARACTERS = 1500


def details(judged: Judged, chipset: ChipsetProfile | None) -> dict[str, Any]:
    """JSON values; what is not known is left out or null."""
    verdict, result, record = judged.verdict, judged.result, judged.result.record
    evidence = Evidence(result, chipset, Policy())
    found: dict[str, Any] = {
        "validity": verdict.validity.value,
        "validity_reason": verdict.validity_reason,
        "delegation_proof": verdict.delegation_proof,
        "gap_reason": verdict.gap_reason,
        "flaky": verdict.flaky,
        "proven": verdict.proven_percentile,
        "command": result.command,
        "deadline_us": evidence.loop_deadline_us,
        "no_times": NO_RECORD if evidence.times_count else NOT_LATENCIES,
        "versions": _versions(judged),
        "findings": [
            [f.rule, f.status.value, f.culprit.value, f.what, f.evidence, f.value, f.limit, f.unit]
            for f in verdict.findings
        ],
        "observations": [],
    }
    if result.outcome.stderr.strip() and verdict.findings:
        found["stderr"] = result.outcome.stderr.strip()[-STDERR_CHARACTERS:]
    if record is None:
        return found
    found["observations"] = [
        [o.name, o.phase, o.passed, o.value, o.limit, o.unit, o.count, o.detail] for o in record.observations
    ]
    if record.frames_strip:
        found["strip"] = [[letter, len(list(run))] for letter, run in itertools.groupby(record.frames_strip)]
    if record.loop_us and evidence.times_count:
        loop = Histogram.of(record.loop_us, record.loop_max_us or 0.0)
        percentiles = {f"p{p:g}": round(loop.percentile(p)) for p in (50, 90, 95, 99, 99.9)}
        found["percentiles"] = percentiles | {"max": round(loop.max_us)}
        found["loop"] = record.loop_us
    if nodes := nodes_of(evidence):
        found["nodes"] = nodes
        found["fallback"] = nodes[1] - nodes[0]
    if record.telemetry is not None:
        found["asked"], found["ran"] = record.telemetry.ep_requested, record.telemetry.ep_actual
    return found


def _versions(judged: Judged) -> dict[str, object]:
    """Everything that has a version, and where it ran."""
    cell, result = judged.cell, judged.result
    found: dict[str, object] = {axis: getattr(cell, axis) for axis in (*VERSIONED, "engine", "delegate")}
    found |= {axis: getattr(cell, axis) for axis in AXES if axis in ("precision", "preset", "qos")}
    device = result.record.device if result.record else None
    if device is not None:
        told = {k: v for k, v in dataclasses.asdict(device).items() if k != "features" and v is not None}
        found |= {f"device {name}": value for name, value in told.items()}
    found |= {f"host {name}": value for name, value in result.host.items()}
    return found | {
        "device": f"{result.device} by {result.link}",
        "tier": result.tier + (", under load" if result.loaded else ""),
        "runs": len(judged.runs),
        "run": result.run_id,
    }
