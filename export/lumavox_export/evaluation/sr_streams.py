"""Options ``--video`` and ``--bdrate``: streamed clips beyond PSNR, for our integer variants for streams.

found |= measure_streams(compared, scale, multiple, datasets, cache, options)
print(stream_tables(found))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.manifest import Dataset
from . import Options
from .rate_plot import plot_rates
from .rate_quality import BDRATE_FRAMES, bdrate_table, measure_bdrate
from .sr_methods import Method
from .streams import Footage, footage, read_clip
from .video import VIDEO_FRAMES, measure_video, video_tables


def measure_streams(
    compared: Sequence[Method],
    scale: float,
    multiple: int,
    datasets: Sequence[Dataset],
    cache: Path,
    options: Options,
) -> dict[str, Any]:
    """The sections that ``options`` asks for, on its clips or else on those of the datasets.

    Peers and floating point are left out: `sr` compares them, and each costs as much again.
    """
    chosen = [m for m in compared if m.role == "filter" or _for_streams(m)]
    found: dict[str, Any] = {}
    if options.video:
        found |= measure_video(_clips(datasets, options, VIDEO_FRAMES), chosen, scale, multiple, cache)
    if options.bdrate:
        clips = _clips(datasets, options, BDRATE_FRAMES)
        found["bdrate"] = measure_bdrate(clips, chosen, scale, multiple, cache)
        if options.plots is not None:
            plot_rates(found["bdrate"], options.plots)
    return found


def stream_tables(found: Mapping[str, Any]) -> list[str]:
    """The tables of the sections that are there."""
    parts = [video_tables(found)] if "temporal" in found else []
    return parts + ([bdrate_table(found["bdrate"])] if "bdrate" in found else [])


def _for_streams(method: Method) -> bool:
    return method.role == "ours" and method.precision != "float32" and method.content in ("streamed", "any")


def _clips(datasets: Sequence[Dataset], options: Options, frames: int) -> list[Footage]:
    if options.clips:
        return [read_clip(path, frames) for path in options.clips]
    return list(footage(datasets, frames))
