"""The numbers of the shipped models for the README, out of each model's ``measured.json``.

A block of the README between two comments is this text, and a test compares them: no number there is typed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lumavox.remix import LEVELS

from .errors import StageError
from .evaluation import table_of
from .evaluation.de import SNRS_DB
from .evaluation.sr import CODECS

SCALES = {2: "twice", 3: "three times", 4: "four times"}
BEGIN, END = "<!-- summary: lumavox-export summary --write -->", "<!-- /summary -->"


def summary(models: Path) -> str:
    """Markdown about every model below ``models`` that has been measured."""
    parts = []
    for path in sorted(models.glob("*/*/measured.json"), reverse=True):
        measured = json.loads(path.read_text())
        task = measured["model"]["id"].split("/")[0]
        parts.append(_sr(measured) if task == "sr" else _de(measured))
    return "\n\n".join(parts)


def write_summary(models: Path, readme: Path) -> None:
    """Put the summary into its block of the README. Raises StageError if the block is not there."""
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise StageError(f"{readme} has no block between {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    partial = readme.with_suffix(".partial")
    partial.write_text(f"{before}{BEGIN}\n\n{summary(models)}\n\n{END}{after}")
    partial.replace(readme)


def _sr(m: dict[str, Any]) -> str:
    names = [f"{codec} crf {crf}" for codec, levels in CODECS.items() for crf in levels]
    columns = {"stills": m["stills"], **{name: m["encoded"][name] for name in names}}
    methods = ("bicubic", "lanczos", "clean int8", "streamed int8")
    rows = [[name, *(f"{scores[name]['psnr_y_db']:.2f}" for scores in columns.values())] for name in methods]
    size, engine_ms = next(
        (key.removeprefix("engine_ms_"), ms) for key, ms in m["speed"].items() if key.startswith("engine_ms_")
    )
    scale = m.get("scale", 2)
    title = (
        f"**`{m['model']['id']}`**: {SCALES.get(scale, f'{scale:g} times')} the size, "
        f"{m['parameters']:,} parameters, int8, {size.replace('x', '×')} in "
        f"{engine_ms:.0f} ms on one thread. PSNR-Y in dB on the validation pictures "
        "(antialiased bicubic) and on encoded clips (CRF on the H.264 scale):"
    )
    return f"{title}\n\n{table_of(['PSNR-Y, dB', *columns], rows)}"


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
        f"in LU: {achieved}. Share of active dialog left more than 10 dB down at 0 dB and above: "
        f"{m['lost_dialog_share']:.1%}."
    )
    return f"{title}\n\n{table_of(['mix', *kinds], rows)}\n\n{knob}"
