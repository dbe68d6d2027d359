"""Run the cells of a plan; what is in the store already is not run again."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lumavox.errors import OptionError
from lumavox_matrix.cell import Status
from lumavox_matrix.cluster import ClusterPool
from lumavox_matrix.judged import known_profile
from lumavox_matrix.plan import PlannedCell
from lumavox_matrix.policy import Policy
from lumavox_matrix.result import Result
from lumavox_matrix.run import Summary
from lumavox_matrix.run import run as run_cells
from lumavox_matrix.settle import confirm
from lumavox_matrix.store import Store
from lumavox_matrix.tiers import tier
from lumavox_matrix.verdict import judge

from . import _scope

HELP = "run the planned cells on their devices; a run that was interrupted goes on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to run, and how."""
    _scope.add_arguments(parser)
    parser.set_defaults(store=Path("out/matrix"))
    parser.add_argument("--workers", type=int, help="cells at a time (default: one per processor, at most 8)")
    parser.add_argument("--cell", action="append", default=[], metavar="DIGEST", help="only these cells")
    parser.add_argument("--again", action="store_true", help="also what the store has")
    parser.add_argument("--loaded", action="store_true", help="with decoding and sound beside")
    parser.add_argument(
        "--reruns", type=int, default=2, help="how often what fails is run again: is it flaky? (default: 2)"
    )
    parser.add_argument("--cluster", metavar="ADDRESS", help="scheduler of a lab: tcp://host:8786")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="of one cell")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if a cell is FAIL, ERROR or MISS by the first rule, and no known gap explains it; verdicts
    are the gate's."""
    store = Store.open(args.store)
    made = _scope.planned(args, every=bool(args.cell))
    cells = list(made.cells)
    if args.cell:
        known = {planned.cell.digest: planned for planned in cells}
        for digest in args.cell:
            if digest not in known:
                raise OptionError.unknown("cell", digest, known)
        cells = [known[digest] for digest in args.cell]
    _scope.show(made, cells=False)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ClusterPool(args.cluster)) if args.cluster else None
        seen: list[Result] = []

        def again(these: Sequence[PlannedCell], every: bool) -> Summary:
            seen.clear()
            return run_cells(
                these, store, tier(args.tier), workers=args.workers, pool=pool, again=every,
                loaded=args.loaded, timeout_s=args.timeout, report=_told(seen),
            )  # fmt: skip

        def rerun(digests: set[str]) -> list[Result]:
            again([planned for planned in cells if planned.cell.digest in digests], True)
            return list(seen)

        summary = again(cells, args.again)
        failed = any(map(_unexplained, seen))
        reruns = confirm(list(seen), _fails, rerun, args.reruns)
    told = (
        ", ".join(f"{count} {status.value}" for status, count in sorted(summary.statuses.items()))
        or "nothing"
    )
    twice = f", {reruns} times one that failed" if reruns else ""
    print(f"ran {summary.ran} cells ({told}){twice}, {summary.skipped} were there; results in {store.folder}")
    return 1 if failed else 0


def _unexplained(result: Result) -> bool:
    """It says nothing good, by the first rule, and the profile does not expect that."""
    chipset = known_profile(result.cell.soc)
    gap = chipset.gap_for(result.cell) if chipset else None
    bad = result.status in (Status.FAIL, Status.ERROR, Status.MISS)
    return bad and not (gap and gap.status is result.status)


def _fails(result: Result) -> bool:
    """By the usual policy, and no known gap explains it."""
    verdict = judge(result, known_profile(result.cell.soc), Policy())
    return verdict.stops_release


def _told(seen: list[Result]) -> Callable[[Result, int, int], None]:
    """Print a line for each result, and keep it."""

    def tell(result: Result, done: int, of: int) -> None:
        seen.append(result)
        text = f"[{done}/{of}] {result.status.value:5} {result.cell} ({result.outcome.seconds:.1f} s)"
        if result.status is not Status.DONE:
            text += f": {result.reason}"
        print(text, file=sys.stderr, flush=True)

    return tell
