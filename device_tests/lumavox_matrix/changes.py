"""``rerun``: which cells have to be run again because firmware, engine, driver, compiler or model changed.

A cell that was run and a cell of today are in the same *slot* if they are the same but for versions. Where a
slot has results of other versions only, its cell has to be run again; nothing else has to.

    for change in rerun((r.cell for r in store.results()), candidates(...)[0]):
        print(change.planned.cell, change.why)           # "firmware 1.0 -> 1.1"
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cell import AXES, Cell
from .history import History
from .lab import Device
from .models import Model
from .plan import Plan, PlannedCell, candidates
from .tiers import Tier

__all__ = ["Change", "changed", "rerun"]

VERSIONED = ("model_digest", "engine_version", "compiler", "driver", "firmware")
"""The axes that a slot leaves open."""


@dataclass(frozen=True)
class Change:
    """A cell to run again, and the axes in which it differs from the nearest result."""

    planned: PlannedCell
    axes: tuple[str, ...]
    why: str


def rerun(known: Iterable[Cell], current: Iterable[PlannedCell]) -> list[Change]:
    """The cells of ``current`` whose slot is known by other versions only."""
    slots: dict[tuple[str, ...], dict[str, Cell]] = {}
    for cell in known:
        slots.setdefault(_slot(cell), {})[cell.digest] = cell
    found = []
    for planned in current:
        have = slots.get(_slot(planned.cell))
        if not have or planned.cell.digest in have:
            continue
        nearest = min(have.values(), key=lambda cell: (len(_differing(cell, planned.cell)), cell))
        axes = _differing(nearest, planned.cell)
        why = ", ".join(f"{a} {_short(nearest, a)} -> {_short(planned.cell, a)}" for a in axes)
        found.append(Change(planned, axes, why))
    return found


def changed(
    devices: Sequence[Device],
    models: Sequence[Model],
    tier: Tier,
    history: History,
    *,
    presets: Sequence[str] = (),
    precisions: Sequence[str] = (),
) -> Plan:
    """The plan of exactly the cells that have to be run again, each with its change as the reason."""
    current, excluded = candidates(
        devices, models, tier=tier, presets=presets, precisions=precisions, history=history
    )
    cells = [
        dataclasses.replace(change.planned, why=change.why)
        for change in rerun(history.cells.values(), current)
    ]
    ranked = tuple(sorted(cells, key=lambda c: (-c.risk, c.device.name, c.cell)))
    seconds = sum(c.predicted_s for c in current)
    return Plan(ranked, tuple(excluded), len(current), seconds, None, tier.name, tuple(devices))


def _slot(cell: Cell) -> tuple[str, ...]:
    return (cell.model, *(getattr(cell, axis) for axis in AXES if axis not in VERSIONED))


def _differing(a: Cell, b: Cell) -> tuple[str, ...]:
    return tuple(axis for axis in VERSIONED if getattr(a, axis) != getattr(b, axis))


def _short(cell: Cell, axis: str) -> str:
    text: str = getattr(cell, axis)
    return text[:12] if axis == "model_digest" else text
