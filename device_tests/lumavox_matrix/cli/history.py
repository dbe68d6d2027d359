"""Where times changed for good in the stored history, and which version changed there."""

from __future__ import annotations

import argparse
import datetime

from lumavox_matrix.trends import LevelChange, Trend, trends

from . import _cells

HELP = "show where the history of a cell changed its level, and which version did"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which results, and since when."""
    _cells.add_arguments(parser)
    parser.add_argument(
        "--since",
        type=datetime.date.fromisoformat,
        default=datetime.date(1970, 1, 1),
        metavar="DAY",
        help="only changes from this day on, like 2026-11-01",
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0; whether a release may go out is the gate's question."""
    found = trends(_cells.judged_cells(args, _cells.chosen_policy(args)))
    told = [
        (trend, change)
        for trend in found
        for change in trend.changes
        if _day(trend, change).date() >= args.since
    ]
    runs = sum(len(trend.points) for trend in found)
    slower = sum(change.ratio > 1 for _, change in told)
    print(
        f"{len(found)} histories of {runs} runs; {len(told)} changes of level, "
        f"{slower} of them to slower times"
    )
    for trend, change in sorted(told, key=lambda pair: -abs(pair[1].ratio - 1)):
        print("  " + _line(trend, change))
    return 0


def _day(trend: Trend, change: LevelChange) -> datetime.datetime:
    began_ms = trend.points[change.index].began_ms
    return datetime.datetime.fromtimestamp(began_ms / 1e3, datetime.timezone.utc)


def _line(trend: Trend, change: LevelChange) -> str:
    at = trend.points[change.index]
    why = ", ".join(change.versions) or "no version changed: look at the device and its room"
    load = ", loaded" if trend.loaded else ""
    return (
        f"{_day(trend, change):%Y-%m-%d %H:%M} p99 {change.ratio - 1:+.1%} (p {change.p:.1g}) {why}: "
        f"{at.cell} [{trend.tier}{load}, run {change.index + 1} of {len(trend.points)}]"
    )
