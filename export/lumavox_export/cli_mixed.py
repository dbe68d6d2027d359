"""``lumavox-export mixed MODEL --target NAME --budget 0.25``: tensors that are worth 16 bits, and their gain.

Prints every tensor with its gain and cost, what was chosen under the budget, and the target's time and
quality with 8 bits and mixed; ``--out`` copies the compiled files. The model itself is not changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the subcommand; options that all target commands have are the caller's."""
    parser = commands.add_parser("mixed", help="16 bits where a model's activations are worth them")
    parser.add_argument("model", help="id or bundle")
    parser.add_argument("--target", required=True, metavar="NAME", help="one that takes .tflite files")
    parser.add_argument(
        "--budget", type=float, default=0.25, help="share of the MACs that may have 16 bits (default: 0.25)"
    )
    parser.add_argument("--preset", action="append", default=[], help="default: the smallest of the model")
    parser.add_argument("--content", help="clean, streamed or any (default: the model's first)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="copy the compiled files there")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Search, compile both, tell."""
    from lumavox.bundle import Bundle
    from lumavox.errors import OptionError

    from . import targets
    from .cli_targets import copy, make_compiler
    from .evaluation import table_of
    from .npu import presets
    from .npu.mixing import mixed
    from .npu.network import networks

    target, _ = targets.get(args.target)
    if target.format != "tflite":
        takers = [t.name for t in targets.available() if t.format == "tflite"]
        raise OptionError(
            f"{target.name} takes {target.format}, which has one width; try {', '.join(takers)}"
        )
    known = {network.content: network for network in networks(Bundle.open(args.model, allow_unsigned=True))}
    if args.content is not None and args.content not in known:
        raise OptionError.unknown("content", args.content, known)
    narrow = known[args.content] if args.content else next(iter(known.values()))
    sizes = [presets.parse(name, narrow.presets()) for name in args.preset] or narrow.presets()[:1]
    wide, mixture, ranked = mixed(narrow, args.budget)
    print(table_of(["tensor", "gain, dB", "of MACs"], [
        [c.tensor + (" *" if c.tensor in mixture.tensors else ""), f"{c.gain_db:.2f}", f"{c.share:.0%}"]
        for c in ranked
    ]))  # fmt: skip
    print(
        f"chosen (*) with {mixture.share:.0%} of the MACs in 16 bits: against 16 bits everywhere, "
        f"{mixture.mixed_db:.2f} dB instead of {mixture.narrow_db:.2f}"
    )
    compiler, rows = make_compiler(args), []
    for name, network in (("int8", narrow), ("mixed", wide)):
        quality = compiler.agreement(network, target.name)
        told = quality if isinstance(quality, str) else f"{quality.quality_db or float('nan'):.2f}"
        for size in sizes:
            outcome = compiler.compile(network, size, target.name)
            total = outcome.record.total_ms
            of = f"{outcome.record.compiled.on_npu} of {outcome.record.compiled.operators}"
            rows.append([name, size.name, "not known" if total is None else f"{total:.3g}", of, told])
            if args.out is not None:
                copy(outcome, args.out / name)
    print(table_of(["", "preset", "ms", "operators on the NPU", "dB against float"], rows))
    return 0
