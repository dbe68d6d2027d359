"""``fleet_view``: what models decided and what came of it, by chipset, firmware and model, over a fleet.

    view = fleet_view(records, by=("chipset", "firmware"), comparison=Comparison("model_version", "1", "2"))
    view.groups[0].metrics["crash"]          # Ratio(value=0.002, low=0.001, high=0.003, ...)
    view.effects["crash"].difference         # +0.0081, within strata of equal chipset and firmware

Groups of fewer than ``k`` sets are folded: first over all axes but the first, then over all; what is then
still too small is left out. Nothing that is shown is about fewer than ``k`` sets.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lumavox.errors import OptionError
from lumavox.telemetry import Histogram

from . import fleet_sql
from .fleet_records import Records, duck_errors
from .fleet_statistics import Effect, Ratio, Sums, compare, ratio
from .stats import adjusted

__all__ = ["OTHER", "Comparison", "FleetView", "Group", "fleet_view", "folded"]

OTHER = "other"
DEFAULT_K = 20
FALSE_DISCOVERIES = 0.01
Labels = tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Sets whose ``axis`` is ``b`` against those where it is ``a``."""

    axis: str
    a: str
    b: str


@dataclass(frozen=True)
class Group:
    """One group of sets. Latencies in microseconds; a metric that nobody knows is absent."""

    labels: Labels
    sets: int
    sessions: int
    metrics: Mapping[str, Ratio]
    p50_us: float | None
    p99_us: float | None


@dataclass(frozen=True)
class FleetView:
    """``left_out``: sets in no group that is shown. ``effects``: of every metric over all strata; ``worst``:
    (metric, stratum, effect) that stand out alone, at a false discovery rate of 1 %. ``strata_left_out``: too
    few sets."""

    by: Labels
    k: int
    records: int
    sessions: int
    sets: int
    groups: tuple[Group, ...]
    groups_folded: int
    left_out: int
    comparison: Comparison | None
    effects: Mapping[str, Effect]
    worst: tuple[tuple[str, Labels, Effect], ...]
    strata_left_out: int


def fleet_view(
    records: Records, *, by: Sequence[str] = ("chipset", "firmware", "model"), k: int = DEFAULT_K,
    comparison: Comparison | None = None,
) -> FleetView:  # fmt: skip
    """Look at all records. Raises OptionError for unknown axes and for a comparison without sets."""
    if k < 1:
        raise OptionError(f"k must be at least 1, got {k}")
    by = tuple(by)
    fleet_sql.check(by)
    with duck_errors(records.files), records.connect() as connection:
        sessions, sets = _one(connection, "SELECT count(*), count(DISTINCT set_id) FROM sessions")
        total = _one(connection, "SELECT count(*) FROM records")[0]
        connection.execute(f"CREATE TEMP TABLE sets AS {fleet_sql.per_set(by)}")
        named = ", ".join(by)
        small = connection.execute(
            f"SELECT {named}, count(*) AS n, list(set_id) FILTER (n_all < {k}) FROM "
            f"(SELECT *, count(*) OVER (PARTITION BY {named}) AS n_all FROM sets) GROUP BY {named}"
        ).fetchall()
        members = {tuple(row[: len(by)]): (int(row[-2]), frozenset(row[-1] or ())) for row in small}
        places = folded(members, k)
        rows = _fold(connection, by, places)
        shown = {tuple(row[name] for name in by): row for row in rows if row["sets"] >= k}
        latencies = _latencies(connection, by, places)
        groups = tuple(_group(labels, row, latencies.get(labels)) for labels, row in sorted(shown.items()))
        kept = _sets_in(connection, by, set(shown))
        effects, worst, left = _effects(connection, comparison, by, k) if comparison else ({}, (), 0)
    moved = sum(place != labels for labels, place in places.items())
    return FleetView(
        by, k, total, sessions, sets, groups, moved, sets - kept, comparison, effects, worst, left
    )


def folded(members: Mapping[Labels, tuple[int, frozenset[str]]], k: int) -> dict[Labels, Labels]:
    """Where each group goes: its own labels, or "other" in all places but the first, or in all.

    ``members``: number of sets of each group, and the sets themselves of groups with fewer than ``k``. A fold
    that has fewer than ``k`` sets itself takes the smallest large group beside it in.
    """
    places = {labels: labels for labels in members}
    small = [labels for labels, (sets, _) in members.items() if sets < k]
    for level in (1, 0):
        parents: dict[Labels, list[Labels]] = defaultdict(list)
        for labels in small:
            parents[labels[:level] + (OTHER,) * (len(labels) - level)].append(labels)
        small = []
        for parent, children in parents.items():
            for labels in children:
                places[labels] = parent
            if len(frozenset().union(*(members[labels][1] for labels in children))) >= k:
                continue
            beside = [
                labels for labels, place in places.items()
                if place == labels and members[labels][0] >= k and labels[:level] == parent[:level]
            ]  # fmt: skip
            if beside:
                places[min(beside, key=lambda labels: (members[labels][0], labels))] = parent
            elif level:
                small += children
            else:  # only folds are left to be folded with
                places = dict.fromkeys(places, parent)
    return places


def _fold(connection: Any, by: Labels, places: Mapping[Labels, Labels]) -> list[dict[str, Any]]:
    """Sums of the groups as they are shown."""
    columns = ", ".join(f"{name} VARCHAR, {name}_as VARCHAR" for name in by)
    connection.execute(f"CREATE TEMP TABLE places ({columns})")
    marks = ", ".join("?" for _ in range(2 * len(by)))
    moved = [[value for pair in zip(a, b) for value in pair] for a, b in places.items()]
    for start in range(0, len(moved), 500):
        part = moved[start : start + 500]
        connection.execute(
            f"INSERT INTO places VALUES {', '.join(f'({marks})' for _ in part)}",
            [v for row in part for v in row],
        )
    sums = ", ".join(
        f"sum({name}_{letter}) AS {name}_{letter}" for name in fleet_sql.METRICS for letter in ("x", "n")
    )
    named = ", ".join(f"{name}_as AS {name}" for name in by)
    connection.execute(
        f"CREATE TEMP TABLE folded_sets AS SELECT {named}, set_id, sum(sessions) AS sessions, {sums} "
        f"FROM sets JOIN places USING ({', '.join(by)}) GROUP BY {', '.join(f'{n}_as' for n in by)}, set_id"
    )
    return _dicts(connection.execute(fleet_sql.per_group(by, "folded_sets")))


def _sets_in(connection: Any, by: Labels, shown: set[Labels]) -> int:
    """Distinct sets in any group that is shown."""
    if not shown:
        return 0
    marks = ", ".join(f"({', '.join('?' for _ in by)})" for _ in shown)
    return int(_one(
        connection, f"SELECT count(DISTINCT set_id) FROM folded_sets WHERE ({', '.join(by)}) IN ({marks})",
        [value for labels in sorted(shown) for value in labels],
    )[0])  # fmt: skip


def _latencies(connection: Any, by: Labels, places: Mapping[Labels, Labels]) -> dict[Labels, Histogram]:
    """Merged histograms of the groups as they are shown."""
    buckets: dict[Labels, list[tuple[int, int]]] = defaultdict(list)
    largest: dict[Labels, float] = defaultdict(float)
    for *labels, bucket, count, max_us in connection.execute(fleet_sql.histograms(by)).fetchall():
        buckets[tuple(labels)].append((int(bucket), int(count)))
        largest[tuple(labels)] = max(largest[tuple(labels)], float(max_us or 0.0))
    merged: dict[Labels, Histogram] = {}
    for labels, pairs in buckets.items():
        place = places[labels]
        merged[place] = merged.get(place, Histogram()) + Histogram.of(pairs, largest[labels])
    return merged


def _group(labels: Labels, row: Mapping[str, Any], latency: Histogram | None) -> Group:
    metrics = {}
    for name in fleet_sql.METRICS:
        found = ratio(_sums(row, name), share=name != "av_offset_ms")
        if found is not None:
            metrics[name] = found
    p50, p99 = (latency.percentile(50), latency.percentile(99)) if latency else (None, None)
    return Group(labels, int(row["sets"]), int(row["sessions"]), metrics, p50, p99)


def _effects(
    connection: Any, comparison: Comparison, by: Labels, k: int
) -> tuple[dict[str, Effect], tuple[tuple[str, Labels, Effect], ...], int]:
    """Of every metric, p-values corrected by Holm; strata that stand out; and strata with too few sets."""
    within = tuple(axis for axis in by if axis != comparison.axis and not _follows(axis, comparison.axis))
    axes = (comparison.axis, *within)
    connection.execute(f"CREATE TEMP TABLE arm_sets AS {fleet_sql.per_set(axes)}")
    rows = _dicts(connection.execute(fleet_sql.per_group(axes, "arm_sets")))
    found = sorted({row[comparison.axis] for row in rows if row["sets"] >= k})
    for side in (comparison.a, comparison.b):
        if side not in found:
            raise OptionError.unknown(comparison.axis, side, found)
    a_rows, b_rows = (
        {tuple(row[name] for name in within): row for row in rows if row[comparison.axis] == side}
        for side in (comparison.a, comparison.b)
    )
    strata = sorted({*a_rows, *b_rows})
    kept = [
        s for s in strata
        if s in a_rows and s in b_rows and min(a_rows[s]["sets"], b_rows[s]["sets"]) >= max(k, 2)
    ]  # fmt: skip
    effects: dict[str, Effect] = {}
    alone: list[tuple[str, Labels, Effect]] = []
    for name in fleet_sql.METRICS:
        share = name != "av_offset_ms"
        pairs = {s: (_sums(a_rows[s], name), _sums(b_rows[s], name)) for s in kept}
        pooled = compare(list(pairs.values()), share=share)
        if pooled is not None:
            effects[name] = pooled
        for labels, pair in pairs.items():
            effect = compare([pair], share=share)
            if effect is not None:
                alone.append((name, labels, effect))
    holm = adjusted([effect.p for effect in effects.values()], "holm")
    effects = {n: dataclasses.replace(e, p_adjusted=p) for (n, e), p in zip(effects.items(), holm)}
    discovery = adjusted([effect.p for _, _, effect in alone], "bh")
    worst = [
        (name, labels, dataclasses.replace(effect, p_adjusted=p))
        for (name, labels, effect), p in zip(alone, discovery)
        if p <= FALSE_DISCOVERIES
    ]
    return effects, tuple(sorted(worst, key=lambda found: found[2].p)), len(strata) - len(kept)


def _follows(axis: str, compared: str) -> bool:
    """Axes that are another name of the compared one are no strata."""
    of_the_model = {"model", "model_version", "variant", "release", "arm"}
    return axis in of_the_model and compared in of_the_model


def _sums(row: Mapping[str, Any], name: str) -> Sums:
    values = (float(row[f"{name}_{letters}"] or 0.0) for letters in ("x", "n", "xx", "xn", "nn"))
    return Sums(int(row[f"{name}_sets"] or 0), *(v if math.isfinite(v) else 0.0 for v in values))


def _dicts(result: Any) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]


def _one(connection: Any, sql: str, values: Sequence[object] = ()) -> tuple[int, ...]:
    return tuple(int(v) for v in connection.execute(sql, list(values)).fetchone())
