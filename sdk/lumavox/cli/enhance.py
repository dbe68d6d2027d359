"""``lumavox enhance IN OUT``: a sharper picture and clearer dialog, from file to file."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Any

from lumavox.catalog import DEFAULT_DE, DEFAULT_SR
from lumavox.cli._output import add_json_flag, print_json, size

HELP = "enhance a video, picture or sound file"

_ENDINGS = ".mp4 .mkv .webm .mov, .png .jpg .webp, .wav .flac .ogg .mp3 .opus"
_LEVELS = "off, low, medium (default), high, max"
_NAMES = "tier (small, base, large: the scale picks the model), id or path"
_OFF = "off: copy that part as it is"
_QUALITY = "CRF of the video encoder (lower is better), or quality of .jpg and .webp (higher is better)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("input", metavar="IN", type=Path, help="video, picture or sound file")
    add("output", metavar="OUT", type=Path, help=f"its ending says what is written: {_ENDINGS}")
    add("--scale", default="auto", help="1.5, 2, 3, 4, or auto (default): to the target, or double up to 4K")
    add("--target", metavar="WxH", type=size, help="the size to fill, such as 1920x1080")
    add("--dialog", default="medium", metavar="LEVEL", help=f"{_LEVELS}, or a number such as +6dB")
    add(
        "--adaptive",
        nargs="?",
        const=True,
        type=float,
        default=False,
        metavar="LU",
        help="only where dialog is masked: less than so many LU above the background (default 10)",
    )
    add("--night", action="store_true", help="bring what is louder than the dialog down to it")
    add("--audiogram", metavar="N3|HZ:DB,...", help="hearing profile: gain on the dialog by NAL-R")
    add("--hold", default="programme", help="whose loudness stays: programme (default) or dialog")
    add("--true-peak", type=float, default=-1.0, metavar="DBTP", help="ceiling (default -1; streaming -2)")
    add("--stems", type=Path, metavar="DIR", help="write dialog.flac and background.flac there")
    add(
        "--downmix",
        nargs="?",
        const=0.0,
        type=float,
        metavar="DB",
        help="surround to stereo, with this gain of the centre (default 0)",
    )
    add("--sr", "--model", default=DEFAULT_SR, metavar="MODEL", help=f"picture model, by {_NAMES}; {_OFF}")
    add("--de", default=DEFAULT_DE, metavar="MODEL", help=f"dialog model, by id or path; {_OFF}")
    add("--backend", default="auto", help="inference engine; see `lumavox probe`")
    add("--content", default="auto", help="kind of picture: streamed, clean, auto (default)")
    add("--quality", "--crf", type=int, metavar="N", help=_QUALITY)
    add("--threads", type=int, metavar="N", help="of the picture engine (default: one per core)")
    add("--isolation", default="none", help="process: run engines in worker processes; none (default)")
    add(
        "--no-overwrite",
        action="store_true",
        help="refuse when OUT exists (else the finished file replaces it)",
    )
    add("--report", type=Path, metavar="JSON", help="write what was done, with telemetry")
    add("--preview", type=Path, metavar="PNG", help="write a picture of before and after")
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    from lumavox.media import EnhanceOptions, enhance
    from lumavox.media.options import parse_scale
    from lumavox.media.progress import TerminalProgress

    options = EnhanceOptions(
        scale=parse_scale(args.scale),
        target=args.target,
        dialog=args.dialog,
        adaptive=args.adaptive,
        night=args.night,
        audiogram=args.audiogram,
        hold=args.hold,
        true_peak_dbtp=args.true_peak,
        stems=args.stems,
        downmix_centre_db=args.downmix,
        sr=args.sr,
        de=args.de,
        backend=args.backend,
        content=args.content,
        quality=args.quality,
        threads=args.threads,
        isolation=args.isolation,
        overwrite=not args.no_overwrite,
        report=args.report,
        preview=args.preview,
    )
    # A stop by the system (kill, shutdown) cleans up as Ctrl-C does.
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with TerminalProgress() as progress:
            report = enhance(args.input, args.output, options, progress)
    finally:
        signal.signal(signal.SIGTERM, previous)
    if args.json:
        print_json(report.to_json())
    else:
        print(report.summary())
    return 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
