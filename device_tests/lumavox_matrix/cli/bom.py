"""What a cell's result depends on, as a bill of materials."""

from __future__ import annotations

import argparse
from pathlib import Path

from lumavox._files import replace_file
from lumavox.errors import OptionError
from lumavox_matrix.bom import as_cyclonedx

from . import _cells

HELP = "write a cell's bill of materials: model, runtime, engine, firmware, driver, device and its figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which cell, and where to."""
    _cells.add_arguments(parser)
    parser.add_argument("cell", metavar="DIGEST", help="as reports name it, or its beginning")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")


def run(args: argparse.Namespace) -> int:
    """Exit code 0."""
    cells = {j.cell.digest: j for j in _cells.judged_cells(args, _cells.chosen_policy(args))}
    found = [digest for digest in cells if digest.startswith(args.cell)]
    if len(found) != 1:
        if found:
            raise OptionError(f"cell {args.cell!r} is the beginning of {len(found)} digests; give more of it")
        raise OptionError.unknown("cell", args.cell, cells, f"the results in {args.store}")
    text = as_cyclonedx(cells[found[0]])
    if args.out is None:
        print(text, end="")
        return 0
    replace_file(args.out, text)
    return 0
