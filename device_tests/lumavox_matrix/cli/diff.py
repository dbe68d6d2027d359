"""What changed between two versions: statuses, outputs, and speed with confidence."""

from __future__ import annotations

import argparse
from pathlib import Path

from lumavox_matrix.difference import Difference, Row, Side, difference

from . import _cells

HELP = "show what changed between two firmwares, drivers, engines, models or stores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two sides."""
    _cells.add_arguments(parser)
    parser.add_argument("a", help="like firmware=2026.07 (commas for more axes), or the folder of a store")
    parser.add_argument("b", help="likewise")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if something is broken or slower."""
    found = compared(args, args.a, args.b)
    print(
        f"{len(found.rows)} pairs of cells; only in A: {len(found.only_a)}, only in B: {len(found.only_b)}; "
        f"{len(found.broken)} broken, {len(found.slower)} slower"
    )
    for row in found.rows:
        if row.worth_telling:
            print("  " + _line(row))
    waiting = [row.change.more_runs for row in found.rows if row.change.what == "unknown"]
    if waiting:
        print(f"  {len(waiting)} pairs have too few runs to compare their speed; up to {max(waiting)} more")
    return 1 if found.broken or found.slower else 0


def compared(args: argparse.Namespace, a: str, b: str) -> Difference:
    """The difference of two sides as they are named on the command line."""
    policy = _cells.chosen_policy(args)
    own = _cells.judged_cells(args, policy) if not (_is_store(a) and _is_store(b)) else []
    cells = [_cells.judged_cells(args, policy, Path(side)) if _is_store(side) else own for side in (a, b)]
    sides = [Side() if _is_store(side) else Side.parse(side) for side in (a, b)]
    return difference(cells[0], cells[1], sides[0], sides[1], policy.regression)


def _is_store(text: str) -> bool:
    return (Path(text) / "store.json").is_file()


def _line(row: Row) -> str:
    parts = [] if row.status == "same" else [row.status.upper()]
    change = row.change
    if change.what in ("slower", "faster", "suspected") and change.ratio is not None:
        interval = f", {change.low - 1:+.1%} to {change.high - 1:+.1%}" if change.low and change.high else ""
        more = f"; {change.more_runs} more runs of each decide" if change.more_runs else f"; p {change.p:.2g}"
        parts.append(f"{change.what} (p99 {change.ratio - 1:+.1%}{interval}{more})")
    if row.output == "other":
        parts.append("other output")
    reason = f": {row.b.verdict.reason}" if row.status == "broken" else ""
    return f"{', '.join(parts)}: {row.b.cell}{reason}"
