"""The numbers of the shipped models for the README, out of each model's ``measured.json``.

A block of the README between two comments is this text, and a test compares them: no number there is typed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lumavox._files import replace_file
from lumavox.remix import LEVELS

from .errors import StageError
from .evaluation import table_of
from .evaluation.de import SNRS_DB
from .evaluation.sr import CODECS

BEGIN, END = "<!-- summary: lumavox-export summary --write -->", "<!-- /summary -->"


def summary(models: Path) -> str:
    """Markdown about every model below ``models`` that has been measured."""
    measured = [json.loads(path.read_text()) for path in models.glob("*/*/measured.json")]
    pictures = [m for m in measured if m["model"]["id"].startswith("sr/")]
    sounds = [m for m in measured if m["model"]["id"].startswith("de/")]
    parts = [_sr(sorted(pictures, key=lambda m: (m["scale"], m["macs_per_input_pixel"])))] if pictures else []
    return "\n\n".join([*parts, *(_de(m) for m in sorted(sounds, key=lambda m: str(m["model"]["id"])))])


def write_summary(models: Path, readme: Path) -> None:
    """Put the summary into its block of the README. Raises StageError if the block is not there."""
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise StageError(f"{readme} has no block between {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    replace_file(readme, f"{before}{BEGIN}\n\n{summary(models)}\n\n{END}{after}")


def _sr(models: list[dict[str, Any]]) -> str:
    """One row per model; encoded clips by codec and level as gain over Lanczos."""
    names = [f"{codec} crf {crf}" for codec, levels in CODECS.items() for crf in levels]
    rows = [_sr_row(m, names) for m in models]
    title = (
        "**Picture.** int8, on the validation pictures (antialiased bicubic reduction) with `clean` weights, "
        "and on encoded clips (CRF on the H.264 scale) with `streamed` weights: PSNR-Y in dB and what it "
        "is above Lanczos. MAC: thousands per low-resolution pixel. ms: processor time of one thread for one "
        "1920×1080 picture. RGB: the stills as 8-bit colours in and out, as RGB networks are measured; in "
        "the column before, luma is rounded to bytes on both ways."
    )
    codecs = [name.replace("lib", "").replace("crf ", "") for name in names]
    return f"{title}\n\n{table_of(['model', 'scale', 'MAC', 'ms', 'stills', 'RGB', *codecs], rows)}"


def _sr_row(m: dict[str, Any], names: list[str]) -> list[str]:
    ms = m["speed"]["in_turn"]["streamed int8"]["cpu_ms"]
    stills = m["stills"]["clean int8"]["psnr_y_db"]
    above = stills - m["stills"]["lanczos"]["psnr_y_db"]
    gains = [_gain(m["encoded"][name]) for name in names]
    macs = f"{m['macs_per_input_pixel'] / 1000:.1f}"
    return [
        f"`{m['model']['id']}`", f"×{m['scale']:g}", macs, f"{ms:.0f}", f"{stills:.2f} ({above:+.2f})",
        f"{m['stills']['clean int8 RGB']['psnr_y_db']:.2f}", *gains
    ]  # fmt: skip


def _gain(scores: dict[str, Any]) -> str:
    return f"{scores['streamed int8']['psnr_y_db'] - scores['lanczos']['psnr_y_db']:+.2f}"


def _de(m: dict[str, Any]) -> str:
    first = "float32"
    kinds = ("music", "effects", "both", "all")
    by_ratio = m["si_sdr_improvement_db"][first]
    rows = [[r, *(f"{by_ratio[r][k]:.1f}" for k in kinds)] for r in (f"{db:+.0f} dB" for db in SNRS_DB)]
    found = m["achieved_difference_lu"]
    achieved = ", ".join(f"{level} {found[level]['mean']:.1f}" for level in LEVELS if level in found)
    speed = m["speed"]
    title = (
        f"**`{m['model']['id']}`**: dialog stem, {m['parameters']:,} parameters, "
        f"{m['mmacs_per_second']:.0f} MMAC/s, {speed['delay_ms']:.0f} ms delay, "
        f"real-time factor {speed['real_time_factor_stereo_48_khz']:.2f} "
        "(48 kHz stereo, one thread). SI-SDR improvement in dB on film-like mixes of validation voices, "
        "by dialog-to-background ratio:"
    )
    knob = (
        "What the levels (3, 6, 9, 12 dB) change the dialog-to-background loudness difference by, "
        f"in LU: {achieved}. Share of seconds of dialog left more than 10 dB down at 0 dB and above: "
        f"{m['lost_dialog_share']:.1%}."
    )
    return f"{title}\n\n{table_of(['mix', *kinds], rows)}\n\n{knob}"
