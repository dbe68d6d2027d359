"""Makes the knob honest: which gain difference to apply so that the requested one is heard.

A mask is never perfect: some background is lifted with the dialog and some dialog stays with the background,
so a gain difference of 6 dB changes the loudness difference of dialog and background by less. The same bin
gains are applied to the two parts apart, and the loudness of each is measured (ITU-R BS.1770-4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from lumavox.dsp import BandFrontEnd
from lumavox.loudness import LoudnessMeter
from lumavox.remix import LEVELS, DialogControls

Sound = NDArray[np.float32]
Masks = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # features (frames, bands) to masks


def loudness_lufs(x: Sound, rate_hz: int) -> float:
    """Integrated loudness of a mono sound."""
    meter = LoudnessMeter(rate_hz, 1)
    meter.add(np.asarray(x, np.float32)[:, None])
    return meter.integrated_lufs


def achieved_difference_db(
    front_end: BandFrontEnd, mask: NDArray[np.float32], dialog: Sound, background: Sound, applied_db: float
) -> float:
    """Change of the dialog-to-background loudness difference when ``applied_db`` goes through ``mask``."""
    gains = DialogControls.of_level(min(applied_db, 12.0)).gains([(min(applied_db, 12.0), applied_db)])
    bins = gains.of_mask(front_end.expand(mask))
    change = []
    for part in (dialog, background):
        spectra = front_end.stft().analyze_all(part)
        before = front_end.stft().synthesize_all(spectra)
        after = front_end.stft().synthesize_all(spectra * bins)
        change.append(loudness_lufs(after, front_end.rate_hz) - loudness_lufs(before, front_end.rate_hz))
    return change[0] - change[1]


def calibrate_knob(
    front_end: BandFrontEnd, masks: Masks, mixes: Iterable[tuple[Sound, Sound]]
) -> list[tuple[float, float]]:
    """(requested, applied) dB for every level but off, from (dialog, background) pairs.

    Where even the largest gains do not give what is asked for, those are applied.
    """
    applied = np.array([2.0, 4.0, 6.0, 9.0, 12.0, 15.0, 18.0, 22.0, 26.0])
    curves = []
    for dialog, background in mixes:
        spectra = front_end.stft().analyze_all(dialog + background)
        mask = masks(front_end.features_of(spectra))
        curve = [achieved_difference_db(front_end, mask, dialog, background, a) for a in applied]
        if np.all(np.isfinite(curve)):
            curves.append(curve)
    mean = np.maximum.accumulate(np.concatenate([[0.0], np.mean(curves, 0)]))
    grid = np.concatenate([[0.0], applied])
    wanted = sorted(db for db in LEVELS.values() if db > 0)
    return [(db, round(float(np.interp(db, mean, grid)), 2)) for db in wanted]
