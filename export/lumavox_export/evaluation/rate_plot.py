"""Rate-quality plots of `rate_quality`: one PNG per clip, a column per codec, a row per metric."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lumavox.errors import MissingExtraError

from .rate_quality import FULL, METRICS


def plot_rates(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw every clip of section ``bdrate`` into ``folder``. Raises MissingExtraError without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
    except ImportError as error:
        raise MissingExtraError("matplotlib", "export", "--plots") from error
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, clip in found["clips"].items():
        codecs = clip["codecs"]
        figure = Figure(figsize=(4.2 * len(codecs), 7), layout="constrained")
        axes = figure.subplots(len(METRICS), len(codecs), squeeze=False, sharex="col", sharey="row")
        for column, (codec, measured) in enumerate(codecs.items()):
            for row, (metric, title) in enumerate(METRICS.items()):
                axis = axes[row][column]
                for method, points in measured["points"].items():
                    style = {FULL: "k--s", "lanczos": "C1-^"}.get(method, "-o")
                    axis.semilogx(
                        [p["kbps"] for p in points],
                        [p[metric] for p in points],
                        style,
                        label=method,
                        markersize=4,
                    )
                axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.xaxis.set_major_formatter(ScalarFormatter())
                axis.xaxis.set_minor_formatter(NullFormatter())
                axis.grid(True, which="both", alpha=0.25)
                if row == 0:
                    axis.set_title(codec)
                else:
                    axis.set_xlabel("kbit/s")
                if column == 0:
                    axis.set_ylabel(f"{title}, dB" if metric.endswith("_db") else title)
        axes[0][0].legend()
        figure.suptitle(f"{name}: {clip['frames']} frames at {clip['rate_hz']:g} Hz")
        path = folder / f"{Path(name).stem}.png"
        partial = path.with_suffix(".partial")
        figure.savefig(partial, format="png", dpi=110)
        partial.replace(path)
        paths.append(path)
    return paths
