"""``write_fleet_report``: one page of a fleet as HTML with plots, Markdown and JSON; and for a terminal.

write_fleet_report(view, Path("out/fleet"))          # fleet.html, fleet.md, fleet.json
print(as_text(view))
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lumavox._files import replace_file
from lumavox._parse import plain

from ._tables import Interval, Intervals, Table, as_page
from .fleet import FleetView, Group
from .fleet_sql import METRICS
from .fleet_statistics import Effect, Ratio

__all__ = ["as_text", "write_fleet_report"]

TITLE = "Lumavox fleet"
SHOWN = {
    "bypass": "bypassed",
    "miss": "late",
    "crash": "crashed",
    "av_out": "A/V off",
    "self_check": "check failed",
}
PLOT_ROWS = 40
UNIT = 1000.0  # shares are shown per thousand


def write_fleet_report(view: FleetView, folder: Path) -> Path:
    """Write the three files, each in one step; returns the page."""
    tables, plots = _tables(view), _plots(view)
    replace_file(
        folder / "fleet.json", json.dumps(_json(view), indent=1, sort_keys=True, allow_nan=False) + "\n"
    )
    notes = "\n\n".join(_notes(view))
    replace_file(folder / "fleet.md", f"# {TITLE}\n\n{notes}\n\n" + "\n".join(t.markdown() for t in tables))
    page = folder / "fleet.html"
    replace_file(page, as_page(TITLE, _notes(view), [*tables, *plots]))
    return page


def as_text(view: FleetView) -> str:
    """For a terminal."""
    return "\n\n".join([*_notes(view), *(table.text() for table in _tables(view))])


def _notes(view: FleetView) -> list[str]:
    hidden = (
        f" {view.groups_folded} groups of fewer than {view.k} sets are folded into others"
        f"{f', {view.left_out} sets are in no group' if view.left_out else ''}."
        if view.groups_folded
        else ""
    )
    notes = [
        f"{view.records:,} records, {view.sessions:,} sessions of {view.sets:,} sets.{hidden}",
        "Rates are per thousand frames (bypassed, late) or sessions, with 95 % intervals from the spread "
        "between sets.",
    ]
    if view.comparison:
        left = f" {view.strata_left_out} strata have too few sets." if view.strata_left_out else ""
        notes.append(
            f"Compared within groups that are equal but for {view.comparison.axis}.{left} Only a random draw "
            "of who is in which arm makes a difference an effect of it."
        )
    return notes


def _tables(view: FleetView) -> list[Table]:
    metrics = [name for name in SHOWN if any(name in group.metrics for group in view.groups)]
    header = (*view.by, "sets", "sessions", *(SHOWN[n] for n in metrics), "A/V ms", "p50 ms", "p99 ms")
    rows = tuple(
        (
            *group.labels, f"{group.sets:,}", f"{group.sessions:,}",
            *(_rate(group.metrics.get(name)) for name in metrics),
            _offset(group.metrics.get("av_offset_ms")), _ms(group.p50_us), _ms(group.p99_us),
        )
        for group in view.groups
    )  # fmt: skip
    tables = [Table("Groups", header, rows, len(header) - len(view.by))]
    if view.comparison:
        side = view.comparison
        head = (
            "metric",
            f"A: {side.a}",
            f"B: {side.b}",
            "B - A",
            "95 % interval",
            "p (Holm)",
            "without strata",
        )
        tables.append(
            Table(
                f"{side.axis} {side.b} against {side.a}", head,
                tuple((METRICS[name][2], *_effect(name, e)) for name, e in view.effects.items()), 6,
            )
        )  # fmt: skip
        head = ("metric", "where", *head[1:5], "p (BH)")
        listed = tuple((METRICS[n][2], " / ".join(at), *_effect(n, e)[:5]) for n, at, e in view.worst)
        if listed:
            tables.append(Table("Where it differs", head, listed, 5))
    return tables


def _plots(view: FleetView) -> list[Intervals]:
    plots = []
    for name in ("crash", "miss"):
        known = [(group, group.metrics[name]) for group in view.groups if name in group.metrics]
        known.sort(key=lambda pair: -pair[1].value)
        rows = tuple(
            _interval(group, found) for group, found in known[:PLOT_ROWS] if math.isfinite(found.high)
        )
        plots.append(Intervals(METRICS[name][2].capitalize(), "per thousand", rows))
    shares = [(n, e) for n, e in view.effects.items() if n != "av_offset_ms"]
    if view.comparison and shares:
        rows = tuple(
            Interval(METRICS[n][2], UNIT * e.low, UNIT * e.difference, UNIT * e.high) for n, e in shares
        )
        title = f"{view.comparison.axis}: {view.comparison.b} minus {view.comparison.a}"
        plots.append(Intervals(title, "per thousand", rows, mark=0.0))
    return plots


def _interval(group: Group, found: Ratio) -> Interval:
    return Interval(" / ".join(group.labels), UNIT * found.low, UNIT * found.value, UNIT * found.high)


def _effect(name: str, effect: Effect) -> tuple[str, ...]:
    unit = 1.0 if name == "av_offset_ms" else UNIT
    values = (effect.a.value, effect.b.value, effect.difference, effect.low, effect.high, effect.crude)
    a, b, difference, low, high, crude = (unit * value for value in values)
    return (
        f"{a:.3g}", f"{b:.3g}", f"{difference:+.3g}", f"{low:+.3g} to {high:+.3g}",
        f"{effect.p_adjusted:.2g}", f"{crude:+.3g}",
    )  # fmt: skip


def _rate(found: Ratio | None) -> str:
    if found is None:
        return "-"
    if not math.isfinite(found.low):
        return f"{UNIT * found.value:.3g}"
    return f"{UNIT * found.value:.3g} ({UNIT * found.low:.2g} to {UNIT * found.high:.2g})"


def _offset(found: Ratio | None) -> str:
    return "-" if found is None else f"{found.value:+.1f}"


def _ms(value_us: float | None) -> str:
    return "-" if value_us is None else f"{value_us / 1000:.1f}"


def _json(view: FleetView) -> dict[str, Any]:
    """Everything that is shown; what is not a number is left out."""
    document = {"schema": 1, **plain(view)}
    document["worst"] = [{"metric": n, "where": list(at), "effect": plain(e)} for n, at, e in view.worst]
    found: dict[str, Any] = _finite(document)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _finite(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if not _unknown(item)}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
