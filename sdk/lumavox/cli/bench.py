"""``lumavox bench``: what the runtime costs on this machine.

Picture: the bare engine call against `Upscaler.process`, alternating, so that both see the same machine; for
each ``--format`` (10-bit and RGB pictures cost a little more).
Sound: processing time over playing time of `DialogEnhancer`, the slowest hops, and which part takes how
much. Import: what ``import lumavox`` adds to ``import numpy``, each time in a fresh interpreter. Times on a
busy machine are noisy: compare the ratios, and only those of one run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumavox.catalog import DEFAULT_DE, DEFAULT_SR
from lumavox.cli._output import add_json_flag, print_json, size

if TYPE_CHECKING:
    from lumavox.bundle import Bundle
    from lumavox.picture import PixelFormat

HELP = "measure the wrapper's overhead, the sound's real-time factor and the import time"

MODELS = (DEFAULT_SR, DEFAULT_DE)


@dataclass(frozen=True)
class ImportFigures:
    """Medians over fresh interpreters; ``ratio`` is what lumavox adds, over what numpy takes."""

    rounds: int
    numpy_ms: float
    lumavox_adds_ms: float
    ratio: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="BUNDLE",
        action="append",
        help=f"a tier, id or path (may be repeated; without it: {' and '.join(MODELS)})",
    )
    parser.add_argument(
        "--size", metavar="WxH", type=size, default=(960, 540), help="of the picture (default 960x540)"
    )
    parser.add_argument(
        "--format",
        metavar="F",
        action="append",
        help="of the picture: nv12 (default), p010, rgb24, ... (repeat)",
    )
    parser.add_argument("--rounds", metavar="N", type=_count, default=20, help="repetitions (default 20)")
    parser.add_argument("--backend", default="auto", help="an inference backend (default: auto)")
    parser.add_argument("--allow-unsigned", action="store_true", help="accept bundles without a signature")
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    from lumavox.benchmark import overhead
    from lumavox.benchmark_sound import sound_cost

    formats = [_format(name) for name in args.format or ["nv12"]]
    bundles = [_opened(model, args.allow_unsigned) for model in args.model or MODELS]
    figures: dict[str, list[Any]] = {"picture": [], "sound": []}
    for bundle in bundles:
        if bundle.task == "sr":
            for format in formats:
                picture = overhead(
                    bundle, size=args.size, format=format, rounds=args.rounds, backend=args.backend
                )
                figures["picture"].append(picture)
        else:
            figures["sound"].append(sound_cost(bundle, rounds=args.rounds, backend=args.backend))
    imports = _imports(args.rounds)
    if args.json:
        print_json(figures | {"import": imports})
        return 0
    for picture in figures["picture"]:
        what = f"{picture.format} {picture.width}x{picture.height} x{picture.scale:g}"
        print(
            f"picture  {picture.model} on {picture.backend}, {what}: engine {picture.engine_ms:.2f} ms, "
            f"process {picture.process_ms:.2f} ms, ratio {picture.ratio:.3f}"
        )
        if picture.enhanced < picture.rounds:
            print(f"         only {picture.enhanced} frames went through the network: this compares nothing")
    for sound in figures["sound"]:
        print(
            f"sound    {sound.model} on {sound.backend}: real-time factor {sound.real_time_factor:.3f} "
            f"in blocks of {sound.block_samples}, p99 {sound.p99_hop_ms:.2f} of {sound.hop_ms:g} ms a hop, "
            f"delay {sound.delay_ms:.1f} ms"
        )
        print("         " + ", ".join(f"{part} {share:.0%}" for part, share in sound.shares.items()))
    print(
        f"import   numpy {imports.numpy_ms:.0f} ms, lumavox adds {imports.lumavox_adds_ms:.0f} ms "
        f"({imports.ratio:.2f} of numpy)"
    )
    return 0


def _opened(model: str, allow_unsigned: bool) -> Bundle:
    from lumavox.bundle import Bundle
    from lumavox.catalog import tiers
    from lumavox.scaling import plan_scale

    if model in tiers():
        return plan_scale(model, allow_unsigned=allow_unsigned).bundle
    return Bundle.open(model, allow_unsigned=allow_unsigned)


def _format(name: str) -> PixelFormat:
    from lumavox.errors import OptionError
    from lumavox.picture import PixelFormat

    known = {format.value: format for format in PixelFormat}
    if name not in known:
        raise OptionError.unknown("pixel format", name, known)
    return known[name]


def _imports(rounds: int) -> ImportFigures:
    program = """
import time
started = time.perf_counter()
import numpy
between = time.perf_counter()
import lumavox
print(between - started, time.perf_counter() - between)
"""
    package = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {package!r})\n{program}"]
    times = []
    for _ in range(rounds + 1):
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        times.append([float(t) * 1e3 for t in result.stdout.split()])
    numpy_ms, adds_ms = (statistics.median(t) for t in zip(*times[1:]))  # the first fills the file cache
    return ImportFigures(rounds, numpy_ms, adds_ms, adds_ms / numpy_ms)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
