"""Which cells would be run, why these, and how long it would take."""

from __future__ import annotations

import argparse

from . import _scope

HELP = "show which cells would be run, why these, and how long it takes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to cover."""
    _scope.add_arguments(parser)
    parser.add_argument("--cells", action="store_true", help="list every cell")


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    made = _scope.planned(args)
    _scope.show(made, cells=args.cells)
    return 0
