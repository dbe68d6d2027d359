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
from .evaluation.rate_quality import FULL, LADDERS, METRICS, mean_percents
from .evaluation.sr import CODECS

BEGIN, END = "<!-- summary: lumavox-export summary --write -->", "<!-- /summary -->"
OURS = "streamed int8"


def summary(models: Path) -> str:
    """Markdown about every model below ``models`` that has been measured."""
    measured = [json.loads(path.read_text()) for path in models.glob("*/*/measured.json")]
    pictures = [m for m in measured if m["model"]["id"].startswith("sr/")]
    sounds = [m for m in measured if m["model"]["id"].startswith("de/")]
    pictures.sort(key=lambda m: (m["scale"], m["macs_per_input_pixel"]))
    parts = [_sr(pictures)] if pictures else []
    for table, streamed in (
        (_steady, [m for m in pictures if m.get("vmaf_neg")]),
        (_bits, [m for m in pictures if m.get("bdrate", {}).get("clips")]),
    ):
        parts += [table(streamed)] if streamed else []
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
    names = _levels()
    rows = [_sr_row(m, names) for m in models]
    title = (
        "**Picture.** int8, on the validation pictures (antialiased bicubic reduction) with `clean` weights, "
        "and on encoded clips (CRF on the H.264 scale) with `streamed` weights: PSNR-Y in dB and what it "
        "is above Lanczos. MAC: thousands per low-resolution pixel. ms: processor time of one thread for one "
        "1920×1080 picture. RGB: the stills as 8-bit colours in and out, as RGB networks are measured; in "
        "the column before, luma is rounded to bytes on both ways."
    )
    header = ["model", "scale", "MAC", "ms", "stills", "RGB", *(_short(name) for name in names)]
    return f"{title}\n\n{table_of(header, rows)}"


def _levels() -> list[str]:
    return [f"{codec} crf {crf}" for codec, levels in CODECS.items() for crf in levels]


def _short(level: str) -> str:
    """``x264 22`` of ``libx264 crf 22``."""
    return level.replace("lib", "").replace("crf ", "")


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
    return f"{scores[OURS]['psnr_y_db'] - scores['lanczos']['psnr_y_db']:+.2f}"


def _steady(models: list[dict[str, Any]]) -> str:
    """VMAF-NEG by codec and level above Lanczos, and flicker of still regions beside bicubic."""
    names = _levels()
    rows = []
    for m in models:
        gains = [m["vmaf_neg"][n][OURS]["mean"] - m["vmaf_neg"][n]["lanczos"]["mean"] for n in names]
        found = [m["temporal"][n] for n in names]
        flicker = [f[OURS]["flicker"] / f["bicubic"]["flicker"] for f in found if f["bicubic"].get("flicker")]
        told = f"{min(flicker):.2f}–{max(flicker):.2f}" if flicker else "–"
        pulses = [f[OURS]["i_frame_pulse_db"] for f in found if "i_frame_pulse_db" in f[OURS]]
        pulse = f"{max(pulses, key=abs):+.2f}" if pulses else "–"
        rows.append([f"`{m['model']['id']}`", *(f"{gain:+.1f}" for gain in gains), told, pulse])
    title = (
        "**In motion.** VMAF-NEG of encoded clips above Lanczos, `streamed` weights, int8; flicker of still "
        "regions as a ratio to bicubic's (least and largest of the levels); largest I-frame pulse: what the "
        "gain over bicubic jumps by at an I frame, dB."
    )
    header = ["model", *(_short(name) for name in names), "flicker", "pulse"]
    return f"{title}\n\n{table_of(header, rows)}"


def _bits(models: list[dict[str, Any]]) -> str:
    """BD-rates, means over the clips."""
    rows = []
    for m in models:
        for anchor in ("lanczos", FULL):
            means = mean_percents(m["bdrate"], f"{OURS} over {anchor}")
            told = ["–" if x is None else f"{x:+.0f} %" for x in means]
            rows.append([f"`{m['model']['id']}`", anchor, *told])
    title = (
        "**Bits saved.** BD-rate of sending reduced video and enlarging it with the model, against enlarging "
        "it with Lanczos and against sending full resolution; fewer bits are negative, – where the curves do "
        "not overlap."
    )
    header = [
        "model",
        "against",
        *(f"{c.removeprefix('lib')} {name}" for c in LADDERS for name in METRICS.values()),
    ]
    return f"{title}\n\n{table_of(header, rows)}"


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
    heard = f" {_heard(m['hearing'])}" if "hearing" in m else ""
    return f"{title}\n\n{table_of(['mix', *kinds], rows)}\n\n{knob}{heard}"


def _heard(found: dict[str, Any]) -> str:
    scores = ", ".join(
        f"{' → '.join(f'{value:.2f}' for value in by_sound.values())} at {snr}"
        for snr, by_sound in found["haspi"].items()
    )
    names = ", then ".join(next(iter(found["haspi"].values())))
    return f"Intelligibility for a moderate hearing loss (HASPI), {names}: {scores}."
