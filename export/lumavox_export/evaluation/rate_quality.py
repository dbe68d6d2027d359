"""Rate against quality: low resolution enlarged on the device, or full resolution sent? BD-rate per codec.

    found = measure_bdrate(clips, methods, scale, multiple, cache)    # "bdrate" of measured.json
    print(bdrate_table(found))

For every codec a clip is encoded at several CRF at full size, and reduced by ``scale``. The reduced streams
are enlarged by each method, all is scored at full size against the source (PSNR-Y and VMAF-NEG, mean over
frames). Rates are the bytes of the packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.codec import ENCODERS
from ..metrics import psnr
from ..progress import progress
from . import table_of
from .bdrate import BdRate, bd_rate
from .sr_material import Pair, border
from .sr_methods import Method
from .streams import Footage, Stream, stream
from .vmaf import vmaf


@dataclass(frozen=True)
class Ladder:
    """How one encoder is run. CRF are its own, chosen so that all curves overlap at scales of 1.5 to 4."""

    settings: Mapping[str, str]
    crf_full: tuple[int, ...]
    crf_reduced: tuple[int, ...]


# As a service encodes: the encoders' middle presets, a fixed group of pictures of two seconds at 24 Hz.
LADDERS = {
    "libx264": Ladder(
        {"preset": "medium", "keyint_min": "48", "sc_threshold": "0"},
        (22, 27, 32, 38, 44, 50),
        (16, 21, 26, 31, 36),
    ),
    "libx265": Ladder(
        {"preset": "medium", "x265-params": "log-level=none:pools=1:frame-threads=1:scenecut=0"},
        (23, 28, 33, 39, 45, 51),
        (17, 22, 27, 32, 37),
    ),
    "libsvtav1": Ladder(
        {"preset": "6", "svtav1-params": "lp=1"},
        (34, 42, 49, 55, 60, 63),
        (24, 36, 48, 57, 63),
    ),
}
GOP_FRAMES = 48
BDRATE_FRAMES = 48  # of every clip
METRICS = {"psnr_y_db": "PSNR-Y", "vmaf_neg": "VMAF-NEG"}
FULL = "full resolution"


@dataclass(frozen=True)
class RatePoint:
    """One stream as one method shows it."""

    crf: int
    kbps: float
    psnr_y_db: float
    vmaf_neg: float


def rate_curves(
    clip: Footage, codec: str, methods: Sequence[Method], scale: float, multiple: int, cache: Path
) -> dict[str, list[RatePoint]]:
    """By method, and for ``FULL``, a point for every CRF."""
    pairs = clip.pairs(scale, multiple)
    truths = [_bytes(pair.high) for pair in pairs]
    floats = [truth.astype(np.float32) for truth in truths]
    edge, ladder = border(scale), LADDERS[codec]

    def sent(frames: Sequence[NDArray[np.uint8]], crf: int) -> Stream:
        on_h264_scale = crf - ENCODERS[codec][0]
        return stream(frames, codec, on_h264_scale, GOP_FRAMES, clip.rate_hz, cache, ladder.settings)

    def point(crf: int, kbps: float, shown: Sequence[NDArray[np.uint8]]) -> RatePoint:
        quality = np.mean([psnr(e.astype(np.float32), t, edge) for e, t in zip(shown, floats, strict=True)])
        neg = vmaf(shown, truths, cache=cache / "vmaf")["vmaf_neg"].mean
        return RatePoint(crf, round(kbps, 1), round(float(quality), 3), round(neg, 3))

    curves: dict[str, list[RatePoint]] = {name: [] for name in (FULL, *(m.name for m in methods))}
    for crf in ladder.crf_full:
        full = sent(truths, crf)
        curves[FULL].append(point(crf, full.kbps, full.frames))
    for crf in ladder.crf_reduced:
        reduced = sent([pair.low for pair in pairs], crf)
        lows = [Pair(low, pair.high) for low, pair in zip(reduced.frames, pairs, strict=True)]
        for method in methods:
            shown = [_bytes(method.run(pair)) for pair in lows]
            curves[method.name].append(point(crf, reduced.kbps, shown))
    return curves


def measure_bdrate(
    clips: Iterable[Footage], methods: Sequence[Method], scale: float, multiple: int, cache: Path
) -> dict[str, Any]:
    """Points and BD-rates of every clip and codec: our methods against Lanczos and full resolution."""
    methods = [m for m in methods if m.name == "lanczos" or m.role != "filter"]
    found: dict[str, Any] = {
        "settings": {codec: dict(ladder.settings) for codec, ladder in LADDERS.items()},
        "gop_frames": GOP_FRAMES,
        "clips": {},
    }
    clips = list(clips)
    work = [(clip, codec) for clip in clips for codec in LADDERS]
    for clip, codec in progress(work, "measuring rate and quality"):
        curves = rate_curves(clip, codec, methods, scale, multiple, cache)
        of_clip = found["clips"].setdefault(
            clip.name, {"frames": len(clip.frames), "rate_hz": round(clip.rate_hz, 3), "codecs": {}}
        )
        of_clip["codecs"][codec] = {
            "points": {name: [asdict(point) for point in curve] for name, curve in curves.items()},
            "bd_rate": {
                f"{test} over {anchor}": {
                    metric: _told(bd_rate(_curve(curves[anchor], metric), _curve(curves[test], metric)))
                    for metric in METRICS
                }
                for anchor, test in _comparisons(methods)
            },
        }
    return found


def _comparisons(methods: Sequence[Method]) -> Iterator[tuple[str, str]]:
    """Anchor and test."""
    for method in methods:
        if method.role != "filter":
            yield "lanczos", method.name
            yield FULL, method.name
    yield FULL, "lanczos"


def bdrate_table(found: Mapping[str, Any]) -> str:
    """A row for every comparison, clip and codec, and the mean over clips where each has a number."""
    header = [
        "BD-rate (negative: fewer bits)",
        "clip",
        *(f"{c} {m}" for c in LADDERS for m in METRICS.values()),
    ]
    clips = found["clips"]
    if not clips:
        return "BD-rate: no clip is long enough"
    rows = []
    for comparison in next(iter(next(iter(clips.values()))["codecs"].values()))["bd_rate"]:
        for name, clip in clips.items():
            rows.append([comparison, name, *(_cell(one) for one in _row(clip, comparison))])
        if len(clips) > 1:
            means = mean_percents(found, comparison)
            rows.append([comparison, "mean", *("-" if x is None else f"{x:+.1f} %" for x in means)])
    return table_of(header, rows)


def mean_percents(found: Mapping[str, Any], comparison: str) -> list[float | None]:
    """BD-rate of "bdrate" by codec and metric, mean over the clips; None where one of them has no number."""
    columns = zip(*(_row(clip, comparison) for clip in found["clips"].values()))
    numbers = [[one.get("percent") for one in column] for column in columns]
    return [None if None in column else float(np.mean(column)) for column in numbers]


def _row(clip: Mapping[str, Any], comparison: str) -> list[Mapping[str, Any]]:
    return [clip["codecs"][codec]["bd_rate"][comparison][metric] for codec in LADDERS for metric in METRICS]


def _cell(one: Mapping[str, Any]) -> str:
    if "percent" not in one:
        return str(one["reason"])
    return f"{one['percent']:+.1f} % ({one['quality'][0]:.1f}..{one['quality'][1]:.1f})"


def _told(found: BdRate) -> dict[str, Any]:
    """For measured.json: absent means that there is no number."""
    if found.percent is None:
        return {"reason": found.reason}
    low, high = found.quality
    return {
        "percent": round(found.percent, 2),
        "quality": [round(low, 3), round(high, 3)],
        "overlap": round(found.overlap, 3),
    }


def _curve(points: Sequence[RatePoint], metric: str) -> list[tuple[float, float]]:
    return [(point.kbps, getattr(point, metric)) for point in points]


def _bytes(luma: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.rint(luma), 0, 255).astype(np.uint8)
