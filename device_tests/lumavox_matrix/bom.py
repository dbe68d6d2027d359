"""``as_cyclonedx``: a judged cell as a CycloneDX 1.6 document: everything that its result depends on.

One bill of materials for model × runtime × engine × compiler × driver × firmware × SoC, with the cell's
figures as performance metrics of the model. What nobody knows is left out, not called "unknown". Written by
hand, as the models' own is, because the maintained library drops ``modelCard``.
"""

from __future__ import annotations

import json
from typing import Any

from .cell import UNKNOWN
from .evidence import Evidence
from .judged import Judged
from .policy import Policy

__all__ = ["as_cyclonedx"]

_TASKS = {"sr": "image super-resolution", "de": "dialog enhancement"}
_METRICS = {
    "psnr_y": "PSNR-Y, dB", "delta_psnr_y_mean": "PSNR-Y lost, mean, dB",
    "delta_psnr_y_worst": "PSNR-Y lost, worst picture, dB", "si_sdr": "SI-SDR, dB",
    "delta_si_sdr": "SI-SDR lost, dB",
}  # fmt: skip


def as_cyclonedx(judged: Judged) -> str:
    """The document as JSON."""
    cell, verdict = judged.cell, judged.verdict
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": cell.model,
        "hashes": [{"alg": "SHA-256", "content": cell.model_digest}],
        "modelCard": {
            "modelParameters": {"task": _TASKS[cell.task]},
            "quantitativeAnalysis": {"performanceMetrics": _metrics(judged)},
        },
    }
    parts = [
        model,
        _part("device", "soc", cell.soc),
        _part("framework", "engine", cell.engine, cell.engine_version),
        _part("library", "lumavox", "lumavox", judged.runs[-1].runtime),
        _part("firmware", "firmware", f"{cell.soc} firmware", cell.firmware),
        _part("device-driver", "driver", f"{cell.soc} driver", cell.driver),
        _part("application", "compiler", cell.compiler),
    ]
    known = [part for part in parts if part is not None]
    facts = {
        "status": verdict.status.value, "rung": verdict.rung.value, "validity": verdict.validity.value,
        "delegation": verdict.delegation.value, "precision": cell.precision, "preset": cell.preset,
        "delegate": cell.delegate, "qos": cell.qos, "runs": str(len(judged.runs)),
    }  # fmt: skip
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "platform",
                "bom-ref": "cell",
                "name": f"lumavox cell {cell.digest}",
                "description": str(cell),
            },
            "properties": [{"name": f"lumavox:{name}", "value": value} for name, value in facts.items()],
        },
        "components": known,
        "dependencies": [{"ref": "cell", "dependsOn": [str(part["bom-ref"]) for part in known]}],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _part(kind: str, ref: str, name: str, version: str | None = None) -> dict[str, Any] | None:
    if name == "none" or (version in (UNKNOWN, "none", None) and ref in ("firmware", "driver", "lumavox")):
        return None
    found = {"type": kind, "bom-ref": ref, "name": name}
    return found if version in (UNKNOWN, None) else found | {"version": version}


def _metrics(judged: Judged) -> list[dict[str, str]]:
    """p99 of the newest run, where times are latencies, and what the quality phase told."""
    where = f"{judged.cell.soc}, {judged.cell.preset}, {judged.verdict.rung.value}"
    found = []
    if judged.run_p99_us:
        found.append({"type": "p99 of a frame or block, ms", "value": f"{judged.run_p99_us[-1] / 1e3:.3f}"})
    evidence = Evidence(judged.result, None, Policy())
    for name, kind in _METRICS.items():
        seen = evidence.seen(name)
        if seen is not None and seen.value is not None:
            found.append({"type": kind, "value": f"{seen.value:g}"})
    return [metric | {"slice": where} for metric in found]
