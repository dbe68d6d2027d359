"""What a plan combines: the values of a cell that pairs and triples are made of. Used by ``plan`` only.

A firmware counts by its age among those of its chipset. What old firmware does to a model is then one pair
for all chipsets; what one certain firmware of one chipset does to a model is a triple. Boards of the same
chipset and firmware take turns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .covering import cover
from .versions import natural

if TYPE_CHECKING:
    from .plan import PlannedCell

__all__ = ["FACTORS", "covering", "factors_of"]

FACTORS = ("chipset", "firmware", "engine", "model", "precision", "preset", "qos")


def covering(group: Iterable[PlannedCell], strength: int) -> list[PlannedCell]:
    """Cells that contain every combination of ``strength`` values that occurs in ``group``."""
    group = list(group)
    rows: defaultdict[tuple[str, ...], list[PlannedCell]] = defaultdict(list)
    for planned, factors in zip(group, factors_of(group)):
        rows[factors].append(planned)
    risks = {key: boards[0].risk for key, boards in rows.items()}
    busy: Counter[str] = Counter()
    chosen = []
    for key in cover(FACTORS, list(rows), strength, risks):
        planned = min(rows[key], key=lambda c: busy[c.device.name])
        busy[planned.device.name] += planned.predicted_s / planned.device.parallel  # type: ignore[assignment]
        chosen.append(planned)
    return chosen


def factors_of(group: Sequence[PlannedCell]) -> list[tuple[str, ...]]:
    """The values of ``FACTORS`` of each cell."""
    ages = _ages(group)
    links = {planned.device.link: planned.device for planned in group}
    rungs = {link: device.rung.value for link, device in links.items()}
    return [_factors(planned, ages, rungs) for planned in group]


def _factors(
    planned: PlannedCell, ages: Mapping[tuple[str, ...], int], rungs: Mapping[str, str]
) -> tuple[str, ...]:
    c = planned.cell
    return (
        f"{c.soc} {rungs[planned.device.link]}",  # an emulator of a chipset is not that chipset
        f"newest - {ages[c.soc, c.firmware, c.driver]}",
        f"{c.engine} {c.engine_version}/{c.delegate}",
        f"{c.model}@{c.model_digest[:12]}",
        c.precision,
        c.preset,
        c.qos,
    )


def _ages(cells: Iterable[PlannedCell]) -> dict[tuple[str, ...], int]:
    """(chipset, firmware, driver): how many newer ones of that chipset there are."""
    found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for planned in cells:
        found[planned.cell.soc].add((planned.cell.firmware, planned.cell.driver))
    return {
        (soc, *pair): age
        for soc, pairs in found.items()
        for age, pair in enumerate(sorted(pairs, key=lambda p: [natural(v) for v in p], reverse=True))
    }
