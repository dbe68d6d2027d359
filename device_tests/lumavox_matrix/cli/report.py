"""Write a report: a page to look at, and the same as Markdown, JSON, JUnit and kcidb."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from lumavox_matrix.cell import Status
from lumavox_matrix.report import write_report

from . import _cells

HELP = "write a page to look at, and the same as Markdown, JSON, JUnit and kcidb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to report, and where to."""
    _cells.add_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("out/report"), metavar="DIR", help="folder to (re)place"
    )
    parser.add_argument("--title", default="Lumavox matrix")


def run(args: argparse.Namespace) -> int:
    """Exit code 0; whether a release may go out is the gate's question."""
    cells = _cells.judged_cells(args, _cells.chosen_policy(args))
    page = write_report(cells, args.out, args.title)
    counts = Counter(judged.verdict.status for judged in cells)
    told = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])
    print(f"{len(cells)} cells ({told or 'none'}); open {page}")
    return 0
