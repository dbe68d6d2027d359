"""``cover``: the few combinations of many that contain every t-tuple of values at least once.

The covering array is made by ``covertable`` under the constraints that the valid combinations imply, with
values of risky combinations preferred. Whatever it leaves uncovered (constraints can end in a blind alley)
is completed greedily; `uncovered` is the check, written independently, and an oracle in the tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._extras import required

__all__ = ["cover", "tuples_of", "uncovered"]

Row = tuple[str, ...]
Tuple = tuple[tuple[int, str], ...]


def cover(names: Sequence[str], valid: Sequence[Row], strength: int, risk: Mapping[Row, float]) -> list[Row]:
    """A subset of ``valid`` in which every combination of ``strength`` values that occurs in ``valid``
    occurs. Deterministic. ``names`` are those of the columns."""
    if not valid:
        return []
    varying = [i for i in range(len(names)) if len({row[i] for row in valid}) > 1]
    if len(varying) <= strength:
        return list(dict.fromkeys(valid))
    chosen = _from_library(names, valid, varying, strength, risk)
    missing = uncovered(valid, chosen, strength)
    return chosen + _greedy(valid, missing, strength, risk)


def tuples_of(rows: Iterable[Row], strength: int) -> set[Tuple]:
    """Every combination of ``strength`` columns with the values that occur in a row."""
    found: set[Tuple] = set()
    for row in rows:
        found.update(itertools.combinations(enumerate(row), min(strength, len(row))))
    return found


def uncovered(valid: Iterable[Row], chosen: Iterable[Row], strength: int) -> set[Tuple]:
    """The combinations of ``valid`` that are in no row of ``chosen``."""
    return tuples_of(valid, strength) - tuples_of(chosen, strength)


def _from_library(
    names: Sequence[str],
    valid: Sequence[Row],
    varying: Sequence[int],
    strength: int,
    risk: Mapping[Row, float],
) -> list[Row]:
    make = required("covertable", "a covering plan").make
    # Projections onto the columns that vary; rows that differ elsewhere do not exist.
    by_projection: dict[Row, Row] = {}
    for row in sorted(valid, key=lambda r: -risk.get(r, 0.0)):
        by_projection.setdefault(tuple(row[i] for i in varying), row)
    keys = [names[i] for i in varying]
    columns = list(zip(*by_projection))
    factors = {key: sorted(set(column)) for key, column in zip(keys, columns)}
    constraints = [
        c for pair in itertools.combinations(range(len(keys)), 2) for c in _pair(keys, columns, pair)
    ]
    constraints.append(_membership(keys, set(by_projection)))
    weights = {
        key: {
            factors[key].index(value): weight for value, weight in _value_risk(by_projection, i, risk).items()
        }
        for i, key in enumerate(keys)
    }
    made = make(factors, strength=strength, constraints=constraints, weights=weights)
    rows = (tuple(row[key] for key in keys) for row in made)
    return [by_projection[row] for row in dict.fromkeys(rows) if row in by_projection]


def _pair(keys: Sequence[str], columns: Sequence[Row], pair: tuple[int, int]) -> list[dict[str, Any]]:
    """A constraint for two columns, if not every pair of their values is possible."""
    a, b = pair
    allowed = set(zip(columns[a], columns[b]))
    if len(allowed) == len(set(columns[a])) * len(set(columns[b])):
        return []
    first, second = keys[a], keys[b]
    return [
        {
            "operator": "fn",
            "requires": [first, second],
            "evaluate": lambda row: (row[first], row[second]) in allowed,
        }
    ]


def _membership(keys: Sequence[str], rows: set[Row]) -> dict[str, Any]:
    return {
        "operator": "fn",
        "requires": list(keys),
        "evaluate": lambda row: tuple(row[key] for key in keys) in rows,
    }


def _value_risk(rows: Mapping[Row, Row], column: int, risk: Mapping[Row, float]) -> dict[str, float]:
    worst: dict[str, float] = {}
    for projection, row in rows.items():
        worst[projection[column]] = max(worst.get(projection[column], 0.0), risk.get(row, 1.0))
    return worst


def _greedy(valid: Sequence[Row], missing: set[Tuple], strength: int, risk: Mapping[Row, float]) -> list[Row]:
    """Rows that cover what is missing, each the one that covers most (the riskier one of equals)."""
    chosen: list[Row] = []
    holders: dict[Row, set[Tuple]] = {}
    for row in valid:
        held = missing.intersection(itertools.combinations(enumerate(row), strength))
        if held:
            holders[row] = held
    while missing:
        best = max(holders, key=lambda row: (len(holders[row]), risk.get(row, 0.0), row))
        gained = holders.pop(best)
        chosen.append(best)
        missing = missing - gained
        holders = {row: left for row, held in holders.items() if (left := held - gained)}
    return chosen
