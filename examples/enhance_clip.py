"""Enhance a clip from Python, and read what was done: the same as ``lumavox enhance IN OUT``.

    python examples/enhance_clip.py examples/clip.mp4 enhanced.mp4

Needs ``pip install "lumavox[media]"``.
"""

from __future__ import annotations

import argparse

from lumavox.errors import LumavoxError
from lumavox.media import EnhanceOptions, EnhanceReport, enhance


def main(arguments: list[str] | None = None, options: EnhanceOptions | None = None) -> EnhanceReport:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    args = parser.parse_args(arguments)

    # Twice the size, and dialog 9 dB above where it was; every option is in EnhanceOptions.
    options = options or EnhanceOptions(scale=2, dialog="high")
    try:
        report = enhance(args.input, args.output, options)
    except LumavoxError as error:  # says what was asked, where, what is possible, what to do
        raise SystemExit(f"{error}") from error

    if report.picture is not None:
        print("picture:", *report.picture.size, f"at {report.picture.fps:.1f} frames per second")
    if report.sound is not None:
        print(f"sound: {report.sound.before.integrated_lufs} -> {report.sound.after.integrated_lufs} LUFS")
    for sentence in report.warnings:
        print("warning:", sentence)
    return report


if __name__ == "__main__":
    main()
