"""The subcommands of ``lumavox-export`` about NPU targets.

lumavox-export targets                               what there is, what it needs, usable here or why not
lumavox-export environment NAME                      make an isolated environment for a vendor's tool
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    targets = commands.add_parser("targets", help="the targets, and which can be used here")
    _add_environments(targets)
    targets.set_defaults(run=_run_targets)
    environment = commands.add_parser("environment", help="make an isolated environment of a vendor's tool")
    environment.add_argument("name", help="as `lumavox-export targets` says")
    _add_environments(environment)
    environment.set_defaults(run=_run_environment)


def _add_environments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--environments", type=Path, metavar="DIR", help="isolated environments (default: ~/.cache/lumavox)"
    )


def _environments(args: argparse.Namespace):  # type: ignore[no-untyped-def]
    from .npu.environments import Environments

    return Environments(args.environments) if args.environments else Environments.default()


def _run_targets(args: argparse.Namespace) -> int:
    from . import targets

    environments = _environments(args)
    rows = []
    for family in targets.families().values():
        for target in family.TARGETS:
            here = family.availability(target, environments)
            status = "usable" if here.usable else "SKIP"
            reason = here.reason + (f"; make it so with: {here.install}" if here.install else "")
            rows.append((target.name, target.description, "/".join(target.precisions), status, reason))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths)), row[4]]))
    return 0


def _run_environment(args: argparse.Namespace) -> int:
    environments = _environments(args)
    print(f"environment {args.name} is in {environments.create(args.name)}")
    return 0
