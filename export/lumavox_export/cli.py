"""The ``lumavox-export`` command: makes models.

lumavox-export all RECIPE --data ROOT [--resume]     every stage, unchanged ones skipped
lumavox-export train|distill|quantize|export|bundle RECIPE …    up to that stage
torchrun --nproc-per-node N -m lumavox_export train RECIPE …    the same by N processes, one per GPU
lumavox-export evaluate RECIPE --data ROOT           measure a model (`cli_evaluate`)
lumavox-export ship RECIPE                           put bundle and weights beside the recipe
lumavox-export mix RECIPE OUT                        write training mixes to listen to
lumavox-export summary [--write README.md]           the numbers of the shipped models
lumavox-export keygen KEY                            a signing key
lumavox-export debug-data DIR                        small synthetic datasets for a first run
lumavox-export targets|environment …                 NPU targets (`cli_targets`)
lumavox-export publish …                             the repository that devices update from (`cli_publish`)
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lumavox.errors import LumavoxError

from . import cli_evaluate, cli_publish, cli_targets
from .cli_work import add_work, work_of
from .stopping import StopRequests

STAGE_NAMES = ("train", "distill", "quantize", "export", "bundle")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code (0 done, 2 error, 130 Ctrl-C, 143 SIGTERM)."""
    parser = argparse.ArgumentParser(prog="lumavox-export", description="Make Lumavox models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_stages(commands)
    cli_evaluate.add(commands)
    _add_tools(commands)
    cli_targets.add(commands)
    cli_publish.add(commands)
    args = parser.parse_args(argv)
    try:
        with StopRequests(patient=False):
            return int(args.run(args))
    except KeyboardInterrupt as stop:
        number = getattr(stop, "signal", signal.SIGINT)
        words = f"stopped by {number.name}; --resume goes on from the last checkpoint"
        print(f"lumavox-export: {words}", file=sys.stderr)
        return 128 + number
    except (LumavoxError, OSError) as error:
        print(f"lumavox-export: error: {error}", file=sys.stderr)
        return 2


def _add_stages(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name in ("all", *STAGE_NAMES):
        words = "every stage" if name == "all" else f"the stages up to {name}"
        stage = commands.add_parser(name, help=f"run {words}; what is unchanged is skipped")
        add_work(stage)
        stage.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
        taken = "take these weights: distill goes on from them, later stages take them as finished"
        stage.add_argument("--weights", type=Path, help=taken)
        stage.add_argument(
            "--only", action="store_true", help="run this stage alone, on what the earlier ones left"
        )
        _add_machine(stage)
        stage.set_defaults(run=_run_stages)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: a GPU if there is one)")
    parser.add_argument("--precision", default="auto", help="float32, bf16 or auto (bf16 on a GPU)")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="use torch.compile (default: on a GPU)",
    )
    parser.add_argument("--workers", type=int, help="processes that make batches (default: the task's)")


def _add_tools(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ship = commands.add_parser("ship", help="put bundle and weights beside the recipe")
    add_work(ship)
    ship.set_defaults(run=_run_ship)
    mix = commands.add_parser("mix", help="write training mixes and their dialog as WAV files")
    add_work(mix)
    mix.add_argument("folder", type=Path)
    mix.add_argument("--count", type=int, default=8)
    mix.set_defaults(run=_run_mix)
    summary = commands.add_parser("summary", help="the numbers of the shipped models, for the README")
    summary.add_argument("--models", type=Path, default=Path("models"))
    summary.add_argument("--write", type=Path, metavar="README", help="put them into this file")
    summary.set_defaults(run=_run_summary)
    keygen = commands.add_parser("keygen", help="make a signing key and its public half")
    keygen.add_argument("key", type=Path)
    keygen.set_defaults(run=_run_keygen)
    debug = commands.add_parser("debug-data", help="make small synthetic datasets")
    debug.add_argument("folder", type=Path)
    debug.set_defaults(run=_run_debug_data)


def _run_stages(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from .machine import Machine
    from .pipeline import Pipeline

    recipe, work = work_of(args)
    machine = Machine.choose(args.device, args.precision, args.compile, args.workers)
    report: Callable[[str], None] = print if machine.ranks.first else lambda _: None
    pipeline = Pipeline(recipe, replace(work, machine=machine), report)
    last = "bundle" if args.command == "all" else args.command
    if args.weights is not None:
        pipeline.adopt(args.weights, last)
    artifact = pipeline.run(last, first=last if args.only else "train")
    report(f"{recipe.id}: {last} is in {artifact.folder}")
    machine.ranks.leave()
    return 0


def _run_ship(args: argparse.Namespace) -> int:
    from .ship import ship

    recipe, work = work_of(args)
    print(f"{recipe.id}: shipped to {ship(recipe, work)}")
    return 0


def _run_mix(args: argparse.Namespace) -> int:
    from .tasks.de import write_mixes

    recipe, work = work_of(args)
    for path in write_mixes(recipe, work, args.folder, args.count):
        print(path)
    return 0


def _run_summary(args: argparse.Namespace) -> int:
    from .summary import summary, write_summary

    if args.write is not None:
        write_summary(args.models, args.write)
    else:
        print(summary(args.models))
    return 0


def _run_keygen(args: argparse.Namespace) -> int:
    from lumavox.signing import SigningKey

    if args.key.exists():
        raise FileExistsError(f"{args.key} exists; a signing key is never overwritten")
    key = SigningKey.generate()
    key.save(args.key)
    public = args.key.with_suffix(".pub.pem")
    public.write_bytes(key.public_pem())
    print(f"key {key.key_id}: keep {args.key} secret, give {public} to those who open your bundles")
    return 0


def _run_debug_data(args: argparse.Namespace) -> int:
    from .data.debug import make_debug_data

    print(f"datasets in {make_debug_data(args.folder)}")
    return 0
