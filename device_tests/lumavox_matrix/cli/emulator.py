"""Make, show or remove the emulated Arm devices."""

from __future__ import annotations

import argparse
import shutil
import sys

from lumavox_matrix.emulator import BOOT_PINS, PINS, Booted, Emulator, build, build_booted, cache_folder

HELP = "make the emulated Arm devices (downloads about 250 MB once), or show or remove them"
ACTIONS = ("setup", "status", "remove")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    parser.add_argument("action", choices=ACTIONS, help="setup: at once if it is there already")
    parser.add_argument(
        "--booted",
        action="store_true",
        help="also the booted arm64 system (downloads about 100 MB more)",
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 2 with the reason if the emulator cannot be had, or is not there to be shown."""
    cache = cache_folder()
    if args.action == "remove":
        shutil.rmtree(cache, ignore_errors=True)
        print(f"removed {cache}")
        return 0
    if args.action == "setup":
        found = build(cache, report=_report)
    else:
        found = Emulator.at(cache)
    manifest = found.manifest
    took = sum(manifest.seconds.values())
    print(f"{PINS.firmware}: {manifest.mib} MiB in {found.folder}, made in {took:.0f} s")
    for place, wheels in manifest.wheels.items():
        print(f"  {place}: {', '.join('-'.join(name.split('-')[:2]) for name in wheels)}")
    if args.booted:
        booted = build_booted(cache, report=_report) if args.action == "setup" else Booted.at(cache)
        took = sum(booted.manifest.seconds.values())
        print(f"{BOOT_PINS.firmware}: {booted.manifest.mib} MiB in {booted.folder}, made in {took:.0f} s")
    return 0


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
