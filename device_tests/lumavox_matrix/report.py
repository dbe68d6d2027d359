"""``write_report``: judged cells as a folder: a page, and the same as Markdown, JSON, JUnit and kcidb.

write_report(judge_all(store.results(), policy), Path("out/report"))

index.html  app.js  charts.js  statistics.js  style.css     the page; works without a server
data/summary.js            all cells in columns          data/cells-<n>.js   details, loaded on demand
report.md  report.json  junit.xml  kcidb.json
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lumavox import __version__
from lumavox.errors import OptionError

from ._details import details
from .cell import AXES, Rung, Status
from .changes import VERSIONED
from .exports import as_json, as_junit, as_kcidb, as_markdown
from .judged import Judged, Run, known_profile, slot_of

__all__ = ["write_report"]

PAGE = Path(__file__).parent / "page"
MARKER = "data/summary.js"
SLOTS_OF_A_CHUNK = 16
"""So that opening a cell loads some hundred kilobytes."""

PAGE_AXES = ("soc", "model", *(axis for axis in AXES if axis != "soc"))


def write_report(cells: Sequence[Judged], folder: Path, title: str = "Lumavox matrix") -> Path:
    """Write everything to a folder, which is replaced in one step if it is a report; returns the page. Raises
    OptionError if the folder holds something else."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise OptionError(f"{folder} holds files and is no report; choose an empty or a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".report-") as work:
        made = Path(work) / "report"
        shutil.copytree(PAGE, made, ignore=shutil.ignore_patterns("__pycache__"))
        (made / "data").mkdir()
        _write_data(cells, made / "data", title)
        for name, text in (
            ("report.md", as_markdown(cells, title)),
            ("report.json", as_json(cells)),
            ("junit.xml", as_junit(cells)),
            ("kcidb.json", as_kcidb(cells)),
        ):
            (made / name).write_text(text, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    return folder / "index.html"


def _write_data(cells: Sequence[Judged], folder: Path, title: str) -> None:
    slots: dict[tuple[str, ...], int] = {}
    members: dict[int, list[Judged]] = defaultdict(list)
    for judged in cells:
        members[slots.setdefault(slot_of(judged.cell), len(slots))].append(judged)
    summary = _summary(cells, slots, title)
    text = json.dumps(summary, separators=(",", ":"), allow_nan=False)
    # One string that the browser parses as JSON: several times faster than the same as a script.
    (folder / "summary.js").write_text(
        f"globalThis.LUMAVOX = {{ chunks: {{}}, summary: JSON.parse({json.dumps(text)}) }};\n",
        encoding="utf-8",
    )
    for first in range(0, len(slots), SLOTS_OF_A_CHUNK):
        chunk = first // SLOTS_OF_A_CHUNK
        these = range(first, min(first + SLOTS_OF_A_CHUNK, len(slots)))
        content = {
            "cells": {
                j.cell.digest: details(j, known_profile(j.cell.soc)) for s in these for j in members[s]
            },
            "trends": {str(slot): _trend(members[slot]) for slot in these},
        }
        body = json.dumps(content, separators=(",", ":"), allow_nan=False)
        (folder / f"cells-{chunk}.js").write_text(
            f"LUMAVOX.chunks[{chunk}] = JSON.parse({json.dumps(body)});\n", encoding="utf-8"
        )


def _summary(cells: Sequence[Judged], slots: dict[tuple[str, ...], int], title: str) -> dict[str, Any]:
    """Columns of all cells; words as indexes into ``names``."""
    columns: dict[str, list[str]] = {axis: [getattr(j.cell, axis) for j in cells] for axis in PAGE_AXES}
    columns["status"] = [j.verdict.status.value for j in cells]
    columns["rung"] = [j.verdict.rung.value for j in cells]
    columns["delegation"] = [j.verdict.delegation.value for j in cells]
    columns["culprit"] = [j.verdict.culprit.value if j.verdict.culprit else "-" for j in cells]
    columns["gap"] = [j.verdict.gap or "-" for j in cells]
    columns["reason"] = [j.verdict.reason for j in cells]
    first = {"status": [s.value for s in Status], "rung": [r.value for r in Rung], "gap": ["-"]}
    names: dict[str, list[str]] = {}
    coded: dict[str, list[int]] = {}
    for name, words in columns.items():
        index = {word: i for i, word in enumerate(first.get(name, ()))}
        coded[name] = [index.setdefault(word, len(index)) for word in words]
        names[name] = list(index)
    moments = [_moments(j.run_p99_us) for j in cells]
    place = [slots[slot_of(j.cell)] for j in cells]
    return {
        "title": title,
        "made_ms": int(time.time() * 1000),
        "version": __version__,
        "axes": list(PAGE_AXES),
        "versioned": list(VERSIONED),
        "names": names,
        "digest": [j.cell.digest for j in cells],
        "green": [int(j.verdict.plain_green) for j in cells],
        "p99": [round(j.run_p99_us[-1]) if j.run_p99_us else None for j in cells],
        "runs": [m[0] for m in moments],
        "mean": [m[1] for m in moments],
        "sd": [m[2] for m in moments],
        "output": [(j.runs[-1].output_sha256 or "")[:8] for j in cells],
        "slot": place,
        "chunk": [slot // SLOTS_OF_A_CHUNK for slot in place],
        **coded,
    }


def _moments(p99_us: tuple[float, ...]) -> tuple[int, float, float]:
    """Number, mean and standard deviation of the logarithms, for the page's own comparison."""
    if not p99_us:
        return 0, 0.0, 0.0
    logs = np.log(p99_us)
    spread = float(logs.std(ddof=1)) if len(logs) > 1 else 0.0
    return len(logs), round(float(logs.mean()), 5), round(spread, 5)


def _trend(members: Sequence[Judged]) -> list[list[object]]:
    """Every run of the cells of one slot by time: when, p99 in microseconds, status, cell."""
    statuses = list(Status)
    runs = sorted(((run, judged.cell.digest) for judged in members for run in judged.runs), key=_began)
    return [
        [run.began_ms, run.p99_us and round(run.p99_us), statuses.index(run.status), digest]
        for run, digest in runs
    ]


def _began(pair: tuple[Run, str]) -> tuple[int, str]:
    return pair[0].began_ms, pair[1]
