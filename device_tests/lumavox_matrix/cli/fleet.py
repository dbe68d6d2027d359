"""What a fleet met: bypasses, late frames, crashes, sound off picture, by chipset, firmware and model."""

from __future__ import annotations

import argparse
from pathlib import Path

from lumavox_matrix import fleet_sql
from lumavox_matrix.fleet import DEFAULT_K, Comparison, fleet_view
from lumavox_matrix.fleet_records import Records
from lumavox_matrix.fleet_report import as_text, write_fleet_report
from lumavox_matrix.fleet_synthetic import synthesize

HELP = "correlate what models decided with what came of it, over the records of a fleet"
DEFAULT_BY = "chipset,firmware,model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which records, and how they are grouped."""
    parser.add_argument(
        "records", nargs="*", type=Path, metavar="FILE", help="field records: .parquet, .jsonl or .jsonl.gz"
    )
    parser.add_argument(
        "--by", default=DEFAULT_BY, metavar="AXES",
        help=f"with commas between them (default: {DEFAULT_BY}; known: {', '.join(fleet_sql.AXES)})",
    )  # fmt: skip
    parser.add_argument(
        "--compare", nargs=3, metavar=("AXIS", "A", "B"), help="sets with B against sets with A on one axis"
    )
    parser.add_argument(
        "-k", type=int, default=DEFAULT_K, help=f"show nothing of fewer sets (default: {DEFAULT_K})"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the page, Markdown, JSON and Parquet"
    )
    parser.add_argument("--memory", default="2GB", help="of DuckDB, which spills beyond it (default: 2GB)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of DuckDB (default: all cores)")
    parser.add_argument("--sql", action="store_true", help="print the statements for a warehouse, and end")
    parser.add_argument(
        "--synthesize", type=int, metavar="N", help="first write N records of an invented fleet to FILE"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0; what is bad enough to act on is the question of a rollout's guards."""
    by = tuple(args.by.split(","))
    if args.sql:
        print(fleet_sql.script(by))
        return 0
    if args.synthesize is not None:
        for path in args.records[:1]:
            synthesize(path, args.synthesize, threads=args.threads)
    work = args.out or Path("out/fleet")
    records = Records.open(args.records, work, memory=args.memory, threads=args.threads)
    comparison = Comparison(*args.compare) if args.compare else None
    view = fleet_view(records, by=by, k=args.k, comparison=comparison)
    print(as_text(view))
    if records.refused:
        print(f"\n{records.refused:,} of {records.lines:,} lines are no field records and were left out")
    if args.out:
        print(f"\nopen {write_fleet_report(view, args.out)}")
    return 0
