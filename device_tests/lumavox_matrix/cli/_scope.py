"""The options that say which devices, models and presets are meant; shared by ``plan`` and ``run``."""

from __future__ import annotations

import argparse
from pathlib import Path

from lumavox.errors import OptionError
from lumavox_matrix.changes import changed
from lumavox_matrix.history import History
from lumavox_matrix.lab import Device, identified, read_lab
from lumavox_matrix.lab import devices as devices_of
from lumavox_matrix.links import kinds, link_module
from lumavox_matrix.models import models
from lumavox_matrix.plan import Plan, plan
from lumavox_matrix.profile import profile, profiles
from lumavox_matrix.store import Store
from lumavox_matrix.tiers import TIERS, frames_for_percentile, tier
from lumavox_matrix.virtual import virtual_models


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a subcommand."""
    parser.add_argument(
        "--chipset", action="append", default=[], metavar="NAME", help="only these; repeatable"
    )
    parser.add_argument(
        "--link", action="append", default=[], metavar="KIND", help="only devices behind these; repeatable"
    )
    parser.add_argument("--lab", type=Path, metavar="FILE", help="devices of a lab (TOML), besides this host")
    parser.add_argument(
        "--model", action="append", default=[], metavar="ID", help="bundle id or path; repeatable"
    )
    parser.add_argument("--preset", action="append", default=[], help="only these; repeatable")
    parser.add_argument("--precision", action="append", default=[], help="only these; repeatable")
    parser.add_argument("--tier", default="smoke", help=f"{', '.join(TIERS)} (default: smoke)")
    parser.add_argument("--strength", type=int, default=2, help="2: every pair of values, 3: every triple")
    parser.add_argument("--full", action="store_true", help="every combination; refused when it is silly")
    parser.add_argument("--yes", action="store_true", help="force --full")
    parser.add_argument(
        "--changed", action="store_true", help="only what changed since the results in --store"
    )
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="earlier results: times, risks, what changed"
    )
    parser.add_argument("--allow-unsigned", action="store_true", help="accept bundles without a signature")


def chosen_devices(args: argparse.Namespace) -> list[Device]:
    """The devices that are meant."""
    found = profiles() if not args.chipset else [profile(name) for name in args.chipset]
    without_address = [device for chipset in found for device in devices_of(chipset)]
    lab = read_lab(args.lab) if args.lab else []
    names = {chipset.name for chipset in found}
    for kind in args.link:
        link_module(kind)  # an unknown one names the nearest
    links = args.link or kinds()
    chosen = [device for device in lab if device.chipset in names and device.link in links]
    return [device for device in without_address if device.link in links] + list(map(identified, chosen))


def planned(args: argparse.Namespace, *, every: bool = False) -> Plan:
    """The plan that the options describe; with ``every``, all cells that it could choose from."""
    if args.changed and not (args.store and args.store.exists()):
        raise OptionError("--changed compares with earlier results: name their folder with --store")
    history = History(Store.open(args.store).heads()) if args.store and args.store.exists() else History()
    real = models(args.model, allow_unsigned=args.allow_unsigned)
    devices, chosen = chosen_devices(args), [*real, *(virtual_models() if not args.model else [])]
    if args.changed:
        return changed(
            devices, chosen, tier(args.tier), history, presets=args.preset, precisions=args.precision
        )
    return plan(
        devices,
        chosen,
        tier=tier(args.tier),
        strength=args.strength,
        full=args.full or every,
        yes=args.yes or every,
        presets=args.preset,
        precisions=args.precision,
        history=history,
    )


def show(made: Plan, *, cells: bool) -> None:
    """Print a plan."""
    kind = {0: "every combination", None: "what changed"}.get(made.strength)
    kind = kind or f"every {made.strength}-way combination"
    share = made.predicted_s / made.factorial_s if made.factorial_s else 1.0
    print(
        f"{len(made.cells)} cells cover {kind}; {hours(made.predicted_s)} of device time, "
        f"{hours(made.wall_s)} if all devices work at once"
    )
    all_of_it = f"{made.factorial_cells:,} cells, {hours(made.factorial_s)}"
    print(f"the full factorial is {all_of_it} ({share:.0%} of its time is run)")
    chosen = tier(made.tier)
    rates = sorted({planned.model.task for planned in made.cells})
    print(
        f"tier {chosen.name}: {chosen.seconds:g} s, at least {chosen.min_frames} frames; a p99 claim needs "
        f"{frames_for_percentile(99)}, p99.9 {frames_for_percentile(99.9)} ({', '.join(rates) or 'no task'})"
    )
    idle = sorted({p.name for p in profiles()} - {d.chipset for d in made.devices})
    if idle:
        print(f"no device at hand (a lab file names them): {', '.join(idle)}")
    if cells:
        for planned in made.cells:
            print(f"  {planned.cell.digest}  {planned.predicted_s:6.0f} s  {planned.cell}  ({planned.why})")
    if made.excluded:
        print(f"excluded: {sum(e.count for e in made.excluded):,} combinations")
        for excluded in made.excluded:
            print(f"  {excluded.count:6,}  {excluded.reason}")


def hours(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
