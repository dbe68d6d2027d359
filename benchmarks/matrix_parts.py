"""The parts of ``bench_matrix_scale``: each measures one promise and gives it as Markdown."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import synthetic
from lumavox_matrix.cell import Status
from lumavox_matrix.covering import cover
from lumavox_matrix.faults import faults
from lumavox_matrix.judged import judge_all
from lumavox_matrix.lab import devices
from lumavox_matrix.plan import FACTORS, PlannedCell, candidates
from lumavox_matrix.policy import Policy, Regression
from lumavox_matrix.profile import profile
from lumavox_matrix.report import write_report
from lumavox_matrix.run import run
from lumavox_matrix.seeded import run_seeded
from lumavox_matrix.selftest import self_test
from lumavox_matrix.store import Store
from lumavox_matrix.tiers import tier
from lumavox_matrix.virtual import virtual_models

__all__ = ["PARTS"]

T = TypeVar("T")
Row = tuple[str, ...]

CELLS = 10_000
BARS_S = {"plan": 5, "store and judge": 30, "report": 10}
CHIPSETS, FIRMWARES, RUNTIMES, MODELS = 60, 5, 4, 12
START_S, FLASH_S, LOST_SHARE = 6.0, 180.0, 0.01
"""Assumptions of the night: start of a cell, another firmware on a board, cells that a lab loses once."""

PRICE = 5.0
"""Of a device hour; an assumption in no particular currency: multiply with your own."""


def cells() -> str:
    """Ten thousand cells: plan, store, verdicts, report, memory."""
    rows: dict[str, tuple[float, float]] = {}
    table = [_factors(number) for number in range(CELLS)]
    with timed(rows, "plan"):
        chosen = cover(FACTORS, table, 2, dict.fromkeys(table, 1.0))
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
        f"{len(chosen)} of the {CELLS:,} are the pairwise plan. Verdicts: {counts}. The report is "
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


def plan() -> str:
    """Every fault of two values, found by the pairwise plan, and its share of the factorial's time."""
    lines = ["| table | factorial | plan | share of time | faults of two values | found |", "|---" * 6 + "|"]
    for name, table in (
        ("free", list(_night_rows(every=True))),
        ("not every chipset has every runtime", list(_night_rows(every=False))),
    ):
        chosen = cover(("chipset", "firmware", "runtime", "model"), table, 2, dict.fromkeys(table, 1.0))
        pairs = {p for row in table for p in itertools.combinations(enumerate(row), 2)}
        found = sum(any(row[i] == a and row[j] == b for row in chosen) for (i, a), (j, b) in pairs)
        lines.append(
            f"| {name} | {len(table):,} cells | {len(chosen):,} cells | {len(chosen) / len(table):.1%} | "
            f"{len(pairs):,} (every one that can occur) | {found / len(pairs):.1%} |"
        )
    return "\n".join(lines)


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


def night() -> str:
    """A night of 60 chipsets, 5 firmwares, 4 runtimes and 12 models: everything against the plan."""
    table = list(_night_rows(every=True))
    names = ("chipset", "firmware", "runtime", "model")
    pairwise = cover(names, table, 2, dict.fromkeys(table, 1.0))
    each = _by_device(table)
    update = [row for row in table if row[:2] == (table[0][0], table[0][1])]
    touched = cover(("runtime", "model"), [row[2:] for row in update], 1, {})
    seconds = START_S + tier("gate").run_s(30)
    lines = [
        "| what is run | cells | device hours | a board each: night ends after | cost |",
        "|---|---|---|---|---|",
    ]
    for what, rows in (
        ("full factorial", table),
        ("every firmware of every chipset with every model, runtimes in turn", each),
        ("pairwise plan", pairwise),
        ("one chipset has a new firmware: all of its cells", update),
        ("the same, every runtime and every model once", [(*update[0][:2], *rest) for rest in touched]),
    ):
        device_h, night_h = _simulate(rows, seconds)
        lines.append(
            f"| {what} | {len(rows):,} | {device_h:,.1f} | {night_h:.1f} h | {device_h * PRICE:,.0f} |"
        )
    lines += [
        "",
        f"Simulated, one board of each of {CHIPSETS} chipsets, tier gate ({seconds:.0f} s a cell), times "
        f"spread by 5 %; assumed: {FLASH_S:.0f} s to change the firmware, {LOST_SHARE:.0%} of the cells "
        f"lost by the lab and run again, {PRICE:g} (of your currency) for a device hour.",
    ]
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
    "cells": cells, "gate": gate, "plan": plan, "workers": workers, "night": night, "faults": seeded,
}  # fmt: skip


@contextlib.contextmanager
def timed(rows: dict[str, tuple[float, float]], name: str) -> Iterator[None]:
    """Add the CPU and clock seconds of the block."""
    cpu, clock = time.process_time(), time.perf_counter()
    yield
    rows[name] = (time.process_time() - cpu, time.perf_counter() - clock)


def _factors(number: int) -> Row:
    c = synthetic.cell_of(number)
    engine = f"{c.engine} {c.engine_version}/{c.delegate}"
    return (f"{c.soc} {c.firmware}", engine, c.model, c.precision, c.preset, c.qos)


def _night_rows(*, every: bool) -> Iterator[Row]:
    draw = random.Random(7)
    runtimes = {c: RUNTIMES if every else draw.randint(1, 3) for c in range(CHIPSETS)}
    for c, f, r, m in itertools.product(*map(range, (CHIPSETS, FIRMWARES, RUNTIMES, MODELS))):
        if r < runtimes[c]:
            yield (f"chip-{c:02}", f"fw-{f}", f"rt-{(r + c) % RUNTIMES}", f"model-{m:02}")


def _by_device(table: list[Row]) -> list[Row]:
    """Each (chipset, firmware) with each model and each runtime: runtimes in turn."""
    return [
        row
        for row in table
        if (int(row[3][-2:]) + int(row[0][-2:]) + int(row[1][-1])) % RUNTIMES == int(row[2][-1])
    ]


def _simulate(rows: list[Row], seconds: float) -> tuple[float, float]:
    """(device hours, hours until the last board is done)."""
    draw = random.Random(11)
    busy: Counter[str] = Counter()
    flashed: dict[str, str] = {}
    for row in sorted(rows):
        if flashed.get(row[0]) != row[1]:
            busy[row[0]] += FLASH_S  # type: ignore[assignment]
            flashed[row[0]] = row[1]
        tries = 2 if draw.random() < LOST_SHARE else 1
        busy[row[0]] += sum(seconds * draw.lognormvariate(0.0, 0.05) for _ in range(tries))  # type: ignore[assignment]
    return sum(busy.values()) / 3600, max(busy.values()) / 3600


def _on(planned: PlannedCell, name: str, number: int) -> PlannedCell:
    cell = dataclasses.replace(planned.cell, firmware=str(number))
    return dataclasses.replace(planned, cell=cell, device=dataclasses.replace(planned.device, name=name))
