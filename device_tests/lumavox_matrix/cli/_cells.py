"""The options that say which results are meant and how they are judged: of ``gate``, ``diff``, ``report``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from lumavox.errors import OptionError
from lumavox_matrix.judged import Judged, judge_all
from lumavox_matrix.policy import Policy, read_policy
from lumavox_matrix.result import Result
from lumavox_matrix.store import Store

DEFAULT_STORE = Path("out/matrix")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a subcommand."""
    add_store(parser)
    parser.add_argument("--policy", type=Path, metavar="FILE", help="limits and release rules (TOML)")
    parser.add_argument("--tier", metavar="NAME", help="only results of this tier")


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the store."""
    parser.add_argument(
        "--store", type=Path, default=DEFAULT_STORE, metavar="DIR", help=f"results (default: {DEFAULT_STORE})"
    )


def chosen_policy(args: argparse.Namespace) -> Policy:
    """The policy that is meant."""
    return read_policy(args.policy)


def judged_cells(args: argparse.Namespace, policy: Policy, folder: Path | None = None) -> list[Judged]:
    """The judged cells of the store that is meant, or of ``folder``."""
    return judge_all(_wanted(opened_store(folder or args.store), args.tier), policy)


def is_store(folder: Path | str) -> bool:
    """Whether there is a store in ``folder``."""
    return (Path(folder) / "store.json").is_file()


def opened_store(folder: Path) -> Store:
    """The store in ``folder``. Raises OptionError where there is none."""
    if not is_store(folder):
        raise OptionError(f"{folder} is no store of results; `lumavox-matrix run --store {folder}` makes one")
    return Store.open(folder)


def _wanted(store: Store, tier: str | None) -> Iterator[Result]:
    return (result for result in store.results() if tier is None or result.tier == tier)
