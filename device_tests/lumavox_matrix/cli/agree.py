"""Do all devices compute the same bits where they must?"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from lumavox._files import replace_file
from lumavox._parse import dump_json, plain
from lumavox_matrix.agreement import Agreement, agreements
from lumavox_matrix.result import Result

from . import _cells

HELP = "compare the integer outputs of all devices bit for bit, where they must be equal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which results."""
    parser.add_argument("--write", type=Path, metavar="FILE", help="also as JSON")
    _cells.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if a pair that must be equal is not, or if there is none to compare."""
    results = list(_cells.opened_store(args.store).results())
    found = agreements(results)
    if args.write:
        replace_file(args.write, dump_json({"groups": plain(found), "seconds": _seconds(results)}))
    for group in found:
        print(_line(group))
    wrong = [group for group in found if not group.equal]
    cells = sum(len(group.outputs) for group in found)
    print(f"{len(found)} groups of {cells} cells: {len(found) - len(wrong)} equal, {len(wrong)} not")
    return 1 if wrong or not found else 0


def _seconds(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """By device, how many runs came back and how long they took."""
    took: dict[str, list[float]] = {}
    for result in results:
        if result.record is not None:
            took.setdefault(result.device, []).append(result.outcome.seconds)
    return {
        device: {"runs": len(each), "median": statistics.median(each), "longest": max(each)}
        for device, each in sorted(took.items())
    }


def _line(group: Agreement) -> str:
    head = f"{group.model} {group.preset} {group.library}"
    if group.equal:
        return f"equal  {head}: {next(iter(group.outputs.values()))[:12]} on {', '.join(group.outputs)}"
    return f"OTHER  {head}: " + ", ".join(f"{name} {digest[:12]}" for name, digest in group.outputs.items())
