"""Video beyond PSNR: VMAF and steadiness in time of streamed clips, for our variants and the filters.

    found = measure_video(clips, methods, scale, multiple, cache)    # three sections of measured.json
    print(video_tables(found))

Clips go through the encoders and levels of `sr_material.CODECS`, with groups of pictures so short that a
clip has several I frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..progress import progress
from . import table_of
from .sr_material import CODECS, Pair, border
from .sr_methods import Method
from .streams import Footage, stream
from .temporal import i_frame_pulse_db, temporal
from .vmaf import vmaf

VIDEO_FRAMES = 25
GOP_FRAMES = 12  # I frames at 0, 12 and 24
BASE = "bicubic"  # what the I-frame pulse is a gain over
MODELS = ("vmaf_neg", "vmaf")
POOLED = ("mean", "harmonic_mean", "percentile_5")
Figures = dict[str, Any]


def measure_video(
    clips: Iterable[Footage], methods: Sequence[Method], scale: float, multiple: int, cache: Path
) -> Figures:
    """Sections ``temporal``, ``vmaf_neg`` and ``vmaf``, by level and method; means over clips."""
    clips = list(clips)
    found: Figures = {"video_frames": {c.name: len(c.frames) for c in clips}}
    found |= {section: {} for section in ("temporal", *MODELS)}
    levels = [(codec, crf) for codec, crfs in CODECS.items() for crf in crfs] if clips else []
    for codec, crf in progress(levels, "measuring video"):
        by_clip = [_measure_clip(clip, codec, crf, methods, scale, multiple, cache) for clip in clips]
        for section in ("temporal", *MODELS):
            found[section][f"{codec} crf {crf}"] = {
                m.name: _mean([measured[m.name][section] for measured in by_clip]) for m in methods
            }
    return found


def _measure_clip(
    clip: Footage,
    codec: str,
    crf: int,
    methods: Sequence[Method],
    scale: float,
    multiple: int,
    cache: Path,
) -> dict[str, Figures]:
    """By method, one clip at one level."""
    pairs = clip.pairs(scale, multiple)
    sent = stream([p.low for p in pairs], codec, crf, GOP_FRAMES, clip.rate_hz, cache)
    truths = [p.high for p in pairs]
    shown = {
        m.name: [m.run(Pair(low, high)) for low, high in zip(sent.frames, truths, strict=True)]
        for m in methods
    }
    steady = {name: temporal(frames, truths, border(scale)) for name, frames in shown.items()}
    found: dict[str, Figures] = {}
    for name, one in steady.items():
        gains = [own - other for own, other in zip(one.psnr_y_db, steady[BASE].psnr_y_db)]
        found[name] = {
            "temporal": {
                "flicker": one.flicker,
                "static_share": one.static_share,
                "difference_psnr_db": one.difference_psnr_db,
                "psnr_y_db": one.by_type(sent.frame_types),
                "i_frame_pulse_db": i_frame_pulse_db(gains, sent.frame_types),
            }
        }
        scores = vmaf([_bytes(f) for f in shown[name]], [_bytes(t) for t in truths], MODELS, cache / "vmaf")
        for model in MODELS:
            found[name][model] = {pooling: getattr(scores[model], pooling) for pooling in POOLED}
    return found


def _bytes(luma: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.rint(luma), 0, 255).astype(np.uint8)


def _mean(by_clip: Sequence[Figures]) -> Figures:
    """Mean over the clips that have the figure; one that none has is left out."""
    out: Figures = {}
    for key in dict.fromkeys(key for one in by_clip for key in one):
        have = [one[key] for one in by_clip if one.get(key) is not None]
        if have and isinstance(have[0], Mapping):
            out[key] = _mean(have)
        elif have:
            out[key] = round(float(np.mean(have)), 4)
    return out


def video_tables(found: Mapping[str, Any]) -> str:
    """VMAF-NEG with VMAF by level, then steadiness by level and method."""
    if not found["temporal"]:
        return "Video: no clip is long enough"
    names = list(next(iter(found["temporal"].values())))
    quality = []
    for level, neg in found["vmaf_neg"].items():
        plain = found["vmaf"][level]
        cells = [(neg[n]["mean"], neg[n]["percentile_5"], plain[n]["mean"]) for n in names]
        quality.append([level, *(" / ".join(f"{value:.1f}" for value in cell) for cell in cells)])
    steady = [
        [
            level,
            name,
            _told(one, "flicker", ".3f"),
            _told(one, "difference_psnr_db", ".2f"),
            *(_told(one["psnr_y_db"], kind, ".2f") for kind in "IPB"),
            _told(one, "i_frame_pulse_db", "+.3f"),
        ]
        for level, by_method in found["temporal"].items()
        for name, one in by_method.items()
    ]
    header = ["level", "method", "flicker", "difference PSNR dB", "I dB", "P dB", "B dB", "I-frame pulse dB"]
    return "\n\n".join(
        [
            table_of(["VMAF-NEG mean / 5th percentile / VMAF mean", *names], quality),
            table_of(header, steady),
        ]
    )


def _told(figures: Mapping[str, float], key: str, form: str) -> str:
    return format(figures[key], form) if key in figures else "-"
