"""Spectrograms of what a dialog network does: the mix, its dialog, and the stem that was estimated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]


def write_spectrograms(path: Path, rows: dict[str, Sound], rate_hz: int, title: str = "") -> Path:
    """One PNG, a row for each sound, 0-8 kHz over time, the same 70 dB of colour for all."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(rows), 1, figsize=(9, 1.9 * len(rows)), sharex=True, squeeze=False)
    window = round(0.032 * rate_hz)
    shape = np.hanning(window)
    levels = {}
    for name, sound in rows.items():
        frames = np.lib.stride_tricks.sliding_window_view(sound, window)[:: window // 4]
        levels[name] = 20 * np.log10(np.abs(np.fft.rfft(frames * shape, axis=-1)).T + 1e-9)
    top = max(level.max() for level in levels.values())
    for axis, (name, level) in zip(axes[:, 0], levels.items(), strict=True):
        seconds = len(rows[name]) / rate_hz
        extent = (0.0, seconds, 0.0, rate_hz / 2000)
        axis.imshow(
            level, origin="lower", aspect="auto", extent=extent, vmin=top - 70, vmax=top, cmap="magma"
        )
        axis.set_ylim(0, min(8.0, rate_hz / 2000))
        axis.set_ylabel("kHz")
        axis.text(0.01, 0.9, name, color="white", transform=axis.transAxes, va="top")
    axes[-1, 0].set_xlabel("s")
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
