"""``lumavox enhance IN OUT``: a sharper picture and clearer dialog, from file to file."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Any

from lumavox.cli._output import add_json_flag, print_json

HELP = "enhance a video, picture or sound file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="IN", type=Path, help="video, picture or sound file")
    parser.add_argument("output", metavar="OUT", type=Path, help="its ending says what is written: .mp4 .mkv "
                        ".webm .mov, .png .jpg .webp, .wav .flac .ogg .mp3 .opus")  # fmt: skip
    parser.add_argument("--scale", default="auto", help="1.5, 2, 3, or auto: the model's own (default)")
    parser.add_argument("--dialog", default="medium", metavar="LEVEL",
                        help="off, low, medium (default), high, max, or a number such as +6dB")  # fmt: skip
    parser.add_argument("--sr", default="sr/x2-base", metavar="MODEL",
                        help="picture model, by id or path; off: copy the picture as it is")  # fmt: skip
    parser.add_argument("--de", default="de/base", metavar="MODEL",
                        help="dialog model, by id or path; off: copy the sound as it is")  # fmt: skip
    parser.add_argument("--backend", default="auto", help="inference engine; see `lumavox probe`")
    parser.add_argument("--content", default="auto", help="kind of picture: streamed, clean, auto (default)")
    parser.add_argument("--quality", "--crf", type=int, metavar="N", help="CRF of the video encoder (lower is "
                        "better), or quality of .jpg and .webp (higher is better)")  # fmt: skip
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of the picture engine (default: one per core)"
    )
    parser.add_argument("--no-overwrite", action="store_true", help="refuse if OUT exists (else it is replaced, "
                        "once the new file is complete)")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="JSON", help="write what was done, with telemetry")
    parser.add_argument("--preview", type=Path, metavar="PNG", help="write a picture of before and after")
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    from lumavox.media import EnhanceOptions, enhance
    from lumavox.media.options import parse_scale
    from lumavox.media.progress import TerminalProgress

    options = EnhanceOptions(
        scale=parse_scale(args.scale),
        dialog=args.dialog,
        sr=args.sr,
        de=args.de,
        backend=args.backend,
        content=args.content,
        quality=args.quality,
        threads=args.threads,
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
