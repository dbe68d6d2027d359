"""``lumavox doctor``: one text to paste into a report."""

from __future__ import annotations

import argparse

from lumavox.cli._output import add_json_flag, print_json

HELP = "describe this installation and what is wrong with it, as one text to paste into a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """0, or 1 if a problem was found."""
    from lumavox.doctor import diagnose

    found = diagnose()
    if args.json:
        print_json(found)
    else:
        print(found.text())
    return int(bool(found.problems))
