"""The parts of ``bench_matrix_scale``: each measures one promise and gives it as Markdown."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from matrix_plans import lab_of, night, plan

import synthetic
from lumavox_matrix.cell import Status
from lumavox_matrix.faults import faults
from lumavox_matrix.judged import judge_all
from lumavox_matrix.lab import devices
from lumavox_matrix.models import models
from lumavox_matrix.plan import PlannedCell, candidates
from lumavox_matrix.plan import plan as plan_cells
from lumavox_matrix.policy import Policy, Regression
from lumavox_matrix.profile import profile
from lumavox_matrix.report import write_report
from lumavox_matrix.run import run
from lumavox_matrix.seeded import run_seeded
from lumavox_matrix.selftest import self_test
from lumavox_matrix.store import Store
from lumavox_matrix.tiers import tier
from lumavox_matrix.virtual import virtual_models

__all__ = ["PARTS", "Skipped"]

T = TypeVar("T")


class Skipped(Exception):
    """What a part needs is not here."""


CELLS = 10_000
LAB_FIRMWARES = 5  # of each shipped chipset: more cells than that many
OPENED = 5
BARS_S = {"plan": 5, "store and judge": 30, "report": 10}


def cells() -> str:
    """Ten thousand cells: plan, store, verdicts, report, memory."""
    rows: dict[str, tuple[float, float]] = {}
    lab, shipped = lab_of(LAB_FIRMWARES), models([])
    with timed(rows, "plan"):
        made = plan_cells(lab, shipped, tier=tier("gate"))
    with tempfile.TemporaryDirectory() as work:
        results = list(synthetic.results(CELLS))
        store = Store.open(Path(work) / "store")
        with timed(rows, "store and judge"):
            for result in results:
                store.add(result)
            judged = judge_all(store.results(), Policy())
        results.clear()
        with timed(rows, "report"):
            page = write_report(judged, Path(work) / "report")
        size = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
        at_once = (page.parent / "data" / "summary.js").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [f"| step, {CELLS:,} cells | CPU | clock | bar |", "|---|---|---|---|"]
    lines += [f"| {n} | {cpu:.1f} s | {clock:.1f} s | {BARS_S[n]} s |" for n, (cpu, clock) in rows.items()]
    lines.append(f"| peak memory, all of it | {peak:.0f} MiB | | 1024 MiB |")
    counts = ", ".join(f"{n} {s.value}" for s, n in Counter(j.verdict.status for j in judged).items())
    lines += [
        "",
        f"Planned: {made.factorial_cells:,} cells of {len(lab)} boards, of which {len(made.cells):,} are the "
        f"pairwise plan. Verdicts: {counts}. The report is "
        f"{size / 2**20:.0f} MiB, of which the page loads {at_once / 2**20:.1f} MiB when it opens.",
    ]
    return "\n".join(lines)


def gate() -> str:
    """The gate's own false alarms and power."""
    rule = Regression()
    made = self_test(rule, cells=50, trials=400)
    others = ", ".join(f"{share:.1%} at +{effect:.0%}" for effect, share in made.power_at)
    return "\n".join(
        [
            "| | measured | bar |",
            "|---|---|---|",
            f"| comparisons of {made.cells} cells without a change that raise any alarm ({made.trials} "
            f"comparisons) | {made.false_alarms:.2%} | 1 % |",
            f"| changes of +{made.effect:.0%} p99 that are found | {made.power:.1%} | 90 % |",
            f"| runs of each version, first stage | {made.screen_runs} | |",
            f"| runs of each version and cell, both stages, mean | {made.runs_per_cell:.1f} | |",
            "",
            f"Other changes: {others}. A test on frames in place of runs raises "
            f"{made.frames_false_alarms:.0%} false alarms in each cell.",
        ]
    )


def page() -> str:
    """How long the report page of ten thousand cells takes to open in a browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise Skipped("chromium is not installed (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory() as work:
        made = write_report(judge_all(synthetic.results(CELLS), Policy()), Path(work) / "report")
        ready = sorted(_ready_ms(chromium, made, Path(work) / f"profile-{n}") for n in range(OPENED))
    return "\n".join(
        [
            f"| {CELLS:,} cells, chromium, nothing in its cache | measured | bar |",
            "|---|---|---|",
            f"| from the address to the page, median of {OPENED} | {ready[OPENED // 2]} ms | 2000 ms |",
            f"| the slowest | {ready[-1]} ms | |",
        ]
    )


def _ready_ms(chromium: str, page: Path, folder: Path) -> int:
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
    quiet = ("--disable-background-networking", "--disable-component-update", "--window-size=1500,1400")
    command = [chromium, *flags, *quiet, f"--user-data-dir={folder}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    told = re.search(r'data-ready-ms="(\d+)"', dom)
    if told is None or f"{CELLS:,} of {CELLS:,} cells" not in dom:
        raise RuntimeError(f"{page} did not open in {chromium}")
    return int(told[1])


def workers() -> str:
    """Four local dask workers against one, with devices whose calls sleep."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    from lumavox_matrix.cluster import ClusterPool

    names = [f"board-{n}" for n in range(4)]
    sleeping, _ = candidates(devices(profile("virtual-sleeping")), virtual_models(), tier=tier("glance"))
    base = next(c for c in sleeping if c.cell.task == "sr")
    made = [_on(base, names[n % 4], n) for n in range(8)]
    lines = ["| workers | devices | cells | clock | times as fast |", "|---" * 5 + "|"]
    first = 0.0
    for count in (1, 2, 4):
        spec = {
            f"w{w}": {"cls": Nanny, "options": {"nthreads": 1, "resources": dict.fromkeys(names, 1)}}
            for w in range(count)
        }
        scheduler = {"cls": Scheduler, "options": {"dashboard": False, "port": 0}}
        with (
            tempfile.TemporaryDirectory() as work,
            SpecCluster(workers=spec, scheduler=scheduler) as cluster,
            Client(cluster) as client,
        ):
            pool, chosen = ClusterPool(client), tier("glance")
            warm = [_on(base, names[w], 100 + w) for w in range(count)]
            run(warm, Store.open(Path(work) / "warm"), chosen, pool=pool)  # imports, once per worker
            began = time.perf_counter()
            summary = run(made, Store.open(Path(work) / "store"), chosen, pool=pool)
            seconds = time.perf_counter() - began
        assert summary.statuses == {Status.DONE: len(made)}, summary
        first = first or seconds
        lines.append(f"| {count} | 4 | {len(made)} | {seconds:.1f} s | {first / seconds:.2f} |")
    return "\n".join(lines)


def seeded() -> str:
    """The seeded faults."""
    every = faults()
    found = run_seeded(every, workers=1)
    wrong = [s.name for s in found.seen if s.fault and s.verdict.culprit is not s.culprit]
    classes = Counter(fault.culprit.value for fault in every)
    told = ", ".join(f"{count} {name}" for name, count in classes.items())
    return "\n".join(
        [
            "| | measured | bar |",
            "|---|---|---|",
            f"| seeded faults ({told}) | {len(every)} | 40 |",
            f"| caught | {found.caught:.1%} | 100 % |",
            f"| caught with the right culprit | {found.right_culprit:.1%} | 95 % |",
            f"| devices in order that do not pass | {found.false_alarms} | 0 |",
            *(["", f"With another culprit: {', '.join(wrong)}."] if wrong else []),
        ]
    )


PARTS: dict[str, Callable[[], str]] = {
    "cells": cells, "page": page, "gate": gate, "plan": plan, "workers": workers, "night": night,
    "faults": seeded,
}  # fmt: skip


@contextlib.contextmanager
def timed(rows: dict[str, tuple[float, float]], name: str) -> Iterator[None]:
    """Add the CPU and clock seconds of the block."""
    cpu, clock = time.process_time(), time.perf_counter()
    yield
    rows[name] = (time.process_time() - cpu, time.perf_counter() - clock)


def _on(planned: PlannedCell, name: str, number: int) -> PlannedCell:
    cell = dataclasses.replace(planned.cell, firmware=str(number))
    return dataclasses.replace(planned, cell=cell, device=dataclasses.replace(planned.device, name=name))
