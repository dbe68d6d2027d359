"""May this be released? The exit status says so."""

from __future__ import annotations

import argparse

from lumavox_matrix.gate import gate
from lumavox_matrix.selftest import self_test

from . import _cells, diff

HELP = "hold results against a policy; the exit status is the answer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to hold against what."""
    _cells.add_arguments(parser)
    parser.add_argument(
        "--against", metavar="A", help="the version before, like firmware=2026.07, or a store"
    )
    parser.add_argument("--candidate", metavar="B", help="the version to release, named likewise")
    parser.add_argument(
        "--self-test", action="store_true", help="measure the gate's own false alarms and power"
    )
    parser.add_argument("--cells", type=int, default=50, help="of the self-test's comparisons (default: 50)")
    parser.add_argument("--trials", type=int, default=400, help="comparisons of the self-test (default: 400)")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if there is a reason against a release, or if the self-test does not hold."""
    policy = _cells.chosen_policy(args)
    if args.self_test:
        outcome = self_test(policy.regression, cells=args.cells, trials=args.trials)
        print(outcome.text())
        return 0 if outcome.holds else 1
    compared = None
    if args.against or args.candidate:
        compared = diff.compared(args, args.against or str(args.store), args.candidate or str(args.store))
    decision = gate(_cells.judged_cells(args, policy), policy, compared)
    for text in decision.notes:
        print(f"note: {text}")
    for text in decision.stops:
        print(f"STOP: {text}")
    print("the release may go out" if decision.passed else f"{len(decision.stops)} reasons against a release")
    return 0 if decision.passed else 1
