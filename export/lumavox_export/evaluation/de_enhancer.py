"""The whole `DialogEnhancer` at "medium": what a listener gets, gate, confidence and loudness hold included.

Remix: SI-SDR of the output to the ideal remix (of true dialog and background, the level's gains), the change
of the dialog-to-background loudness difference, and how far programme loudness moves (ITU-R BS.1770-4); for
each mix by itself, as a programme of some seconds, and for all of them one after another, as one programme.
Do no harm: how far the output is from the input where there is no dialog. Speed: processor time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox.audio import DialogEnhancer
from lumavox.bundle import Bundle
from lumavox.remix import DialogControls

from ..data.de_mixes import Mix
from ..data.sound_bank import read_mono
from ..knob import loudness_lufs
from ..metrics import si_sdr
from ..progress import progress
from . import mean
from .remixed_parts import remixed_parts

Sound = NDArray[np.float32]
RATE_HZ = 48000
LEVEL = "medium"
ALONE_S = 10  # of each file without dialog
ALONE_RMS = 0.06


def measure_enhancer(
    bundle: Bundle, mixes: Sequence[Mix], backgrounds: Mapping[str, Sequence[Path]]
) -> dict[str, Any]:
    """Figures on ``mixes`` at 48 kHz and on files without dialog, by kind."""
    return {
        f"remix_at_{LEVEL}": _remix(bundle, mixes) | {"one_programme": _remix(bundle, [_joined(mixes)])},
        "without_dialog": {kind: _without_dialog(bundle, kind, files) for kind, files in backgrounds.items()},
        "speed": _speed(bundle),
    }


def enhanced(enhancer: DialogEnhancer, x: Sound) -> Sound:
    """The whole output for ``x`` ``(n,)`` at the beginning of a stream, ``(n,)``; delay removed."""
    return np.concatenate([enhancer.process(x), enhancer.flush()])[enhancer.delay_samples :][: len(x)]


def _opened(bundle: Bundle, channels: int = 1) -> DialogEnhancer:
    return DialogEnhancer.open(bundle, rate_hz=RATE_HZ, channels=channels, level=LEVEL)


def _joined(mixes: Sequence[Mix]) -> Mix:
    dialog = np.concatenate([m.dialog for m in mixes])
    background = np.concatenate([m.background for m in mixes])
    return Mix("all", "all", dialog, background)


def _remix(bundle: Bundle, mixes: Sequence[Mix]) -> dict[str, float]:
    wanted = DialogControls.of_level(LEVEL).gains()
    sdrs, drifts, changes = [], [], []
    for mix in progress(mixes, "measuring the remix"):
        with _opened(bundle) as enhancer:
            out, parts = remixed_parts(enhancer, [mix.dialog, mix.background])
        out = out[: len(mix.mix)]
        after, before = (
            [loudness_lufs(x, RATE_HZ) for x in two] for two in (parts, (mix.dialog, mix.background))
        )
        changes.append(after[0] - after[1] - (before[0] - before[1]))
        sdrs.append(si_sdr(out, wanted.dialog * mix.dialog + wanted.background * mix.background))
        drifts.append(loudness_lufs(out, RATE_HZ) - loudness_lufs(mix.mix, RATE_HZ))
    return {
        "si_sdr_db": mean(sdrs),
        "achieved_difference_lu": mean(changes),
        "programme_loudness_change_lu": mean(drifts),
        "largest_programme_loudness_change_lu": round(float(np.max(np.abs(drifts))), 2),
    }


def _without_dialog(bundle: Bundle, kind: str, files: Sequence[Path]) -> dict[str, Any]:
    """Means, and the file that comes out least like it went in."""
    sdrs, drifts = [], []
    for path in progress(files, f"measuring {kind} alone"):
        x = read_mono(path, RATE_HZ)[: ALONE_S * RATE_HZ]
        x = x * np.float32(ALONE_RMS / (np.sqrt(np.mean(x**2)) + 1e-9))
        with _opened(bundle) as enhancer:
            out = enhanced(enhancer, x)
        sdrs.append(min(si_sdr(out, x), 100.0))
        drifts.append(loudness_lufs(out, RATE_HZ) - loudness_lufs(x, RATE_HZ))
    return {
        "si_sdr_db": mean(sdrs, 1),
        "share_above_30_db": mean([sdr >= 30 for sdr in sdrs], 3),
        "least_si_sdr_db": round(float(np.min(sdrs)), 1),
        "least_like": files[int(np.argmin(sdrs))].name,
        "largest_loudness_change_lu": round(float(np.nanmax(np.abs(drifts))), 2),
    }


def _speed(bundle: Bundle, seconds: float = 20.0) -> dict[str, float]:
    """Processor time over playing time for 48 kHz stereo in blocks of 10 ms, the whole enhancer."""
    noise = np.random.default_rng(1).normal(0, 0.05, (round(seconds * RATE_HZ), 2)).astype(np.float32)
    with _opened(bundle, channels=2) as enhancer:
        delay_ms = enhancer.delay_samples * 1000 / RATE_HZ
        begin = time.process_time()
        for start in range(0, len(noise), RATE_HZ // 100):
            enhancer.process(noise[start : start + RATE_HZ // 100])
        spent = time.process_time() - begin
    return {"real_time_factor_stereo_48_khz": round(spent / seconds, 3), "delay_ms": delay_ms}
