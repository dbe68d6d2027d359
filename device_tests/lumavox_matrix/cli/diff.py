"""What changed between two versions: statuses, outputs, and speed with confidence."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lumavox.errors import OptionError
from lumavox_matrix.difference import Difference, Row, Side, difference
from lumavox_matrix.models import models
from lumavox_matrix.plan import candidates
from lumavox_matrix.run import run as run_cells
from lumavox_matrix.settle import Settled, settle
from lumavox_matrix.store import Store
from lumavox_matrix.tiers import tier
from lumavox_matrix.virtual import virtual_models

from . import _cells, _scope
from ._cells import is_store

HELP = "show what changed between two firmwares, drivers, engines, models or stores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two sides."""
    _cells.add_arguments(parser)
    parser.add_argument("a", help="like firmware=2026.07 (commas for more axes), or the folder of a store")
    parser.add_argument("b", help="likewise")
    again = parser.add_argument_group("running suspects again")
    again.add_argument(
        "--rerun", action="store_true", help="run pairs that ask for it until each of them is decided"
    )
    again.add_argument("--lab", type=Path, metavar="FILE", help="devices of a lab (TOML), besides this host")
    again.add_argument(
        "--chipset", action="append", default=[], metavar="NAME", help="only these; repeatable"
    )
    again.add_argument(
        "--model", action="append", default=[], metavar="ID", help="besides those that are shipped"
    )
    again.add_argument("--workers", type=int, help="cells at a time")
    again.add_argument("--allow-unsigned", action="store_true", help="accept bundles without a signature")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if something is broken or slower."""
    found = _settled(args).difference if args.rerun else compared(args, args.a, args.b)
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
    own = _cells.judged_cells(args, policy) if not (is_store(a) and is_store(b)) else []
    cells = [_cells.judged_cells(args, policy, Path(side)) if is_store(side) else own for side in (a, b)]
    sides = [Side() if is_store(side) else Side.parse(side) for side in (a, b)]
    return difference(cells[0], cells[1], sides[0], sides[1], policy.regression)


def _settled(args: argparse.Namespace) -> Settled:
    for side in (args.a, args.b):
        if is_store(side) or "runtime" in Side.parse(side).axes:
            raise OptionError(
                f"--rerun: {side!r} cannot be run again from here, it is of another version of lumavox; "
                "name sides by axes of the cells in --store, such as firmware=1.0"
            )
    chosen, store = tier(args.tier or "smoke"), Store.open(args.store)
    shipped = models([], allow_unsigned=args.allow_unsigned)
    own = models(args.model, allow_unsigned=args.allow_unsigned) if args.model else []
    every = [*shipped, *(m for m in own if m.digest not in {s.digest for s in shipped}), *virtual_models()]
    current, _ = candidates(_scope.chosen_devices(args), every, tier=chosen)
    found = settle(
        lambda: compared(args, args.a, args.b),
        lambda cells: run_cells(cells, store, chosen, workers=args.workers, again=True),
        {planned.cell.digest: planned for planned in current},
        report=lambda n, pairs, runs: print(
            f"round {n}: {pairs} pairs, {runs} runs", file=sys.stderr, flush=True
        ),
    )
    if found.elsewhere:
        print(f"{len(found.elsewhere)} pairs wait for runs, but no device at hand has both of their versions")
    return found


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
