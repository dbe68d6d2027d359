"""The parts of ``bench_matrix_scale`` that plan: what pairwise plans find, and a night in a lab."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator

from lumavox_matrix._factors import factors_of
from lumavox_matrix.cell import UNKNOWN
from lumavox_matrix.covering import cover
from lumavox_matrix.lab import Device
from lumavox_matrix.models import models
from lumavox_matrix.plan import candidates
from lumavox_matrix.plan import plan as plan_cells
from lumavox_matrix.profile import profiles
from lumavox_matrix.tiers import tier

__all__ = ["lab_of", "night", "plan"]

Row = tuple[str, ...]

CHIPSETS, FIRMWARES, RUNTIMES, MODELS = 60, 5, 4, 12
START_S, FLASH_S, LOST_SHARE = 6.0, 180.0, 0.01
"""Assumptions of the night: start of a cell, another firmware on a board, cells that a lab loses once."""

PRICE = 5.0
"""Of a device hour; an assumption in no particular currency: multiply with your own."""


def plan() -> str:
    """Every fault of two values, found by the pairwise plan, and its share of the factorial's time."""
    lines = ["| table | factorial | plan | share of time | faults of two values | found |", "|---" * 6 + "|"]
    for name, every in (("free", True), ("not every chipset has every runtime", False)):
        table = list(_night_rows(every=every))
        chosen = cover(("chipset", "firmware", "runtime", "model"), table, 2, dict.fromkeys(table, 1.0))
        lines.append(_plan_line(name, table, chosen, len(chosen) / len(table)))
    lab, shipped = lab_of(FIRMWARES), models([])
    made = plan_cells(lab, shipped, tier=tier("gate"))
    possible, _ = candidates(lab, shipped, tier=tier("gate"))
    factors = dict(zip((c.cell.digest for c in possible), factors_of(possible)))
    table, chosen = list(factors.values()), [factors[c.cell.digest] for c in made.cells]
    chipsets = len({device.chipset for device in lab})
    lines.append(
        _plan_line(
            f"the {chipsets} shipped profiles of silicon, {FIRMWARES} firmwares each, and the "
            f"{len(shipped)} shipped models",
            table, chosen, made.predicted_s / made.factorial_s,
        )
    )  # fmt: skip
    triples = {(row[0], row[1], row[3]) for row in table}
    found = len(triples & {(row[0], row[1], row[3]) for row in chosen})
    lines += [
        "",
        "What one certain firmware of one chipset does to one model is a fault of three values. In the last "
        f"table the pairwise plan meets {found / len(triples):.0%} of these by the way; `--strength 3` is "
        "for all of them, and `--changed` after an update.",
    ]
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


def lab_of(firmwares: int) -> list[Device]:
    """A board with each of so many firmwares, of every chipset of silicon that is shipped."""
    return [
        Device(
            name=f"{chipset.name}-{n}", chipset=chipset.name, link="ssh", firmware=f"1.{n}",
            engines={support.engine: UNKNOWN for support in chipset.engines},
        )
        for chipset in profiles() if chipset.kind == "silicon" for n in range(firmwares)
    ]  # fmt: skip


def _plan_line(name: str, table: list[Row], chosen: list[Row], share: float) -> str:
    """``share``: of the factorial's time."""
    pairs, found = ({p for row in rows for p in itertools.combinations(enumerate(row), 2)}
                    for rows in (table, chosen))  # fmt: skip
    return (
        f"| {name} | {len(table):,} cells | {len(chosen):,} cells | {share:.1%} | {len(pairs):,} (every one "
        f"that can occur) | {len(pairs & found) / len(pairs):.1%} |"
    )


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
