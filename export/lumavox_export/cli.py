"""The ``lumavox-export`` command: makes models.

lumavox-export all RECIPE --data ROOT [--resume]     every stage, unchanged ones skipped
lumavox-export train|distill|quantize|export|bundle RECIPE …    up to that stage
torchrun --nproc-per-node N -m lumavox_export train RECIPE …    the same by N processes, one per GPU
lumavox-export evaluate RECIPE --data ROOT           measure a model, write measured.json
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
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lumavox.errors import LumavoxError

from . import cli_publish, cli_targets
from .stopping import StopRequests

STAGE_NAMES = ("train", "distill", "quantize", "export", "bundle")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code (0 done, 2 error, 130 Ctrl-C, 143 SIGTERM)."""
    parser = argparse.ArgumentParser(prog="lumavox-export", description="Make Lumavox models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_stages(commands)
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
        _add_work(stage)
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
    evaluate = commands.add_parser(
        "evaluate", help="measure a model against conventional filters, write measured.json"
    )
    _add_work(evaluate)
    evaluate.add_argument("--write", action="store_true", help="write measured.json beside the recipe")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write what measured.json holds to FILE")
    evaluate.add_argument(
        "--peers",
        type=Path,
        help="measure the networks of this folder too: *_x<scale>.onnx and .tflite, or speech enhancers",
    )
    evaluate.add_argument(
        "--pictures", type=Path, action="append", default=[], help="a folder of pictures to measure besides"
    )
    evaluate.add_argument(
        "--no-dataset",
        action="store_true",
        help="measure --pictures, --video and --bdrate only, not the datasets' pictures and levels",
    )
    evaluate.add_argument(
        "--crops", type=Path, metavar="DIR", help="write before-and-after strips, or spectrograms of sound"
    )
    evaluate.add_argument("--video", action="store_true", help="VMAF and steadiness of streamed clips")
    evaluate.add_argument(
        "--bdrate", action="store_true", help="bit rate saved over Lanczos and over sending full resolution"
    )
    evaluate.add_argument(
        "--clip",
        type=Path,
        action="append",
        default=[],
        help="a clip for --video and --bdrate (default: data)",
    )
    evaluate.add_argument(
        "--plots", type=Path, metavar="DIR", help="write the rate-quality plots of --bdrate"
    )
    evaluate.set_defaults(run=_run_evaluate)
    ship = commands.add_parser("ship", help="put bundle and weights beside the recipe")
    _add_work(ship)
    ship.set_defaults(run=_run_ship)
    mix = commands.add_parser("mix", help="write training mixes and their dialog as WAV files")
    _add_work(mix)
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


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, default=Path("."), help="root of the dataset files")
    parser.add_argument(
        "--manifests", type=Path, help="dataset manifests (default: models/datasets by the recipe)"
    )
    parser.add_argument("--out", type=Path, help="where the stages leave their files (default: out/<id>)")
    parser.add_argument("--cache", type=Path, default=Path("out/cache"), help="decoded and paired material")
    parser.add_argument("--key", type=Path, help="signing key; without one the bundle is unsigned")
    cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    parser.add_argument("--threads", type=int, default=max(1, cores), help="of each process")


def _work(args: argparse.Namespace):  # type: ignore[no-untyped-def]
    import torch

    from .recipe import Recipe
    from .work import Work

    recipe = Recipe.load(args.recipe)
    torch.set_num_threads(args.threads)
    manifests = args.manifests or args.recipe.parent.parent.parent / "datasets"
    out = args.out or Path("out") / recipe.id
    resume = getattr(args, "resume", False)
    return recipe, Work(out, args.data, manifests, args.cache, resume, args.key)


def _run_stages(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from .machine import Machine
    from .pipeline import Pipeline

    recipe, work = _work(args)
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


def _run_evaluate(args: argparse.Namespace) -> int:
    from lumavox._files import replace_file
    from lumavox._parse import dump_json
    from lumavox.errors import OptionError

    from .evaluation import Options, evaluate

    other = args.pictures or args.video or args.bdrate
    if args.no_dataset and (args.write or args.crops or not other):
        raise OptionError(
            "--no-dataset needs --pictures, --video or --bdrate, and has neither measured.json nor --crops "
            "to write"
        )
    if (args.clip and not (args.video or args.bdrate)) or (args.plots and not args.bdrate):
        raise OptionError("--clip needs --video or --bdrate, --plots needs --bdrate")
    recipe, work = _work(args)
    options = Options(
        peers=args.peers,
        pictures=tuple(args.pictures),
        dataset=not args.no_dataset,
        crops=args.crops,
        video=args.video,
        bdrate=args.bdrate,
        clips=tuple(args.clip),
        plots=args.plots,
    )
    measured, table = evaluate(recipe, work, options)
    print(table)
    for path in [args.json] * (args.json is not None) + [recipe.folder / "measured.json"] * args.write:
        replace_file(path, dump_json(measured))
    return 0


def _run_ship(args: argparse.Namespace) -> int:
    from .ship import ship

    recipe, work = _work(args)
    print(f"{recipe.id}: shipped to {ship(recipe, work)}")
    return 0


def _run_mix(args: argparse.Namespace) -> int:
    from .tasks.de import write_mixes

    recipe, work = _work(args)
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
