"""Put every seeded fault into a virtual device, and see whether verdicts catch it and name the culprit."""

from __future__ import annotations

import argparse

from lumavox.errors import OptionError
from lumavox_matrix.faults import faults
from lumavox_matrix.seeded import run_seeded

HELP = "run the seeded faults: are they caught, and is the right culprit named?"
MIN_RIGHT = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which faults."""
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="only these; repeatable")
    parser.add_argument("--workers", type=int, default=2, help="faults at a time (default: 2)")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if a fault passes, a device in order does not, or too few culprits are right."""
    known = {fault.name: fault for fault in faults()}
    for name in args.fault:
        if name not in known:
            raise OptionError.unknown("fault", name, known)
    outcome = run_seeded([known[name] for name in args.fault or known], workers=args.workers)
    print(outcome.table())
    return (
        0 if outcome.caught == 1.0 and outcome.right_culprit >= MIN_RIGHT and not outcome.false_alarms else 1
    )
