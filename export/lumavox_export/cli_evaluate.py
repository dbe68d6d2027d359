"""``lumavox-export evaluate RECIPE``: measures a bundled model beside filters and other projects' networks.

Prints tables; ``--write`` puts the numbers into measured.json beside the recipe.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .cli_work import add_work, work_of


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "evaluate", help="measure a model against conventional filters, write measured.json"
    )
    add_work(parser)
    parser.add_argument("--write", action="store_true", help="write measured.json beside the recipe")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what measured.json holds to FILE")
    parser.add_argument(
        "--peers",
        type=Path,
        help="measure the networks of this folder too: *_x<scale>.onnx and .tflite, or speech enhancers",
    )
    parser.add_argument(
        "--pictures", type=Path, action="append", default=[], help="a folder of pictures to measure besides"
    )
    parser.add_argument(
        "--no-dataset",
        action="store_true",
        help="measure --pictures, --video and --bdrate only, not the datasets' pictures and levels",
    )
    parser.add_argument(
        "--crops", type=Path, metavar="DIR", help="write before-and-after strips, or spectrograms of sound"
    )
    parser.add_argument("--video", action="store_true", help="VMAF and steadiness of streamed clips")
    parser.add_argument(
        "--bdrate", action="store_true", help="bit rate saved over Lanczos and over sending full resolution"
    )
    parser.add_argument(
        "--clip",
        type=Path,
        action="append",
        default=[],
        help="a clip for --video and --bdrate (default: data)",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the rate-quality plots of --bdrate")
    parser.add_argument(
        "--hearing", action="store_true", help="intelligibility (HASPI) of dialog for a moderate hearing loss"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write what is asked for."""
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
    recipe, work = work_of(args)
    options = Options(
        peers=args.peers,
        pictures=tuple(args.pictures),
        dataset=not args.no_dataset,
        crops=args.crops,
        video=args.video,
        bdrate=args.bdrate,
        clips=tuple(args.clip),
        plots=args.plots,
        hearing=args.hearing,
    )
    measured, table = evaluate(recipe, work, options)
    print(table)
    for path in [args.json] * (args.json is not None) + [recipe.folder / "measured.json"] * args.write:
        replace_file(path, dump_json(measured))
    return 0
