"""``lumavox probe``: each inference backend, usable or not, and why."""

from __future__ import annotations

import argparse

from lumavox.cli._output import add_json_flag, print_json, table

HELP = "show which inference backends work here, and why the others do not"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    from lumavox import backends

    probes = [backend.probe() for backend in backends.available()]
    if args.json:
        print_json({"backends": probes})
        return 0
    rows = ((p.backend, "usable" if p.usable else "not usable", p.version, p.reason) for p in probes)
    print(table(("backend", "state", "version", "reason"), rows))
    return 0
