"""Dialog enhancement figures on fixed film-like mixes, through the runtime's own engine and remix.

Stem: SI-SDR improvement at several dialog-to-background ratios. Remix: change of the dialog-to-background
loudness difference that each level achieves (ITU-R BS.1770-4), and the SI-SDR of the whole `DialogEnhancer`'s
output against the ideal remix. Never lose the dialog: share of active time where the stem is more than 10 dB
below it. Integer variants: SI-SDR of their stem against the float one's.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox.audio import DialogEnhancer
from lumavox.bundle import Bundle
from lumavox.dsp import BandFrontEnd
from lumavox.remix import LEVELS, DialogControls, calibrated
from lumavox.session import Session
from lumavox.streaming import StreamingNetwork

from ..data.de_mixes import Mix, validation_mixes
from ..knob import achieved_difference_db, loudness_lufs
from ..metrics import si_sdr
from ..progress import progress
from ..recipe import Recipe
from ..work import Work
from . import table_of

SNRS_DB = (-5.0, 0.0, 5.0, 10.0)
Sound = NDArray[np.float32]


def measure(recipe: Recipe, bundle: Bundle, work: Work) -> tuple[dict[str, Any], str]:
    """All figures of a bundle; see the package."""
    front_end = BandFrontEnd(**bundle.front_end)  # type: ignore[arg-type]
    precisions = list(dict.fromkeys(v.precision for v in bundle.variants))
    sessions = {p: Session.open(bundle, precision=p) for p in precisions}
    networks = {p: StreamingNetwork(s.engine, s.variant) for p, s in sessions.items()}
    stems: dict[str, dict[str, dict[str, float]]] = {p: {} for p in precisions}
    against_float: dict[str, list[float]] = {p: [] for p in precisions}
    levels: dict[str, list[float]] = {level: [] for level in LEVELS if level != "off"}
    lost: list[float] = []
    try:
        for snr_db in SNRS_DB:
            gains: dict[str, dict[str, list[float]]] = {p: {} for p in precisions}
            for mix in progress(
                list(_mixes(recipe, work, front_end.rate_hz, snr_db)), f"measuring {snr_db:+.0f} dB"
            ):
                spectra = front_end.stft().analyze_all(mix.mix)
                features = front_end.features_of(spectra)
                made = {p: _masks(network, features) for p, network in networks.items()}
                stem = {
                    p: front_end.stft().synthesize_all(spectra * front_end.expand(m)) for p, m in made.items()
                }
                length = len(next(iter(stem.values())))
                dialog, heard = mix.dialog[:length], mix.mix[:length]
                before = si_sdr(heard, dialog)
                for p in precisions:
                    gains[p].setdefault(mix.kind, []).append(si_sdr(stem[p], dialog) - before)
                    if p != "float32" and "float32" in stem:
                        against_float[p].append(si_sdr(stem[p], stem["float32"]))
                if snr_db == 0.0:
                    preferred = made[bundle.variants[0].precision]
                    for level, achieved in levels.items():
                        applied = calibrated(LEVELS[level], bundle.calibration)
                        achieved.append(
                            achieved_difference_db(front_end, preferred, mix.dialog, mix.background, applied)
                        )
                if snr_db >= 0.0:
                    lost.append(_lost_share(front_end, made[bundle.variants[0].precision], mix))
            for p in precisions:
                kinds = {kind: round(float(np.mean(v)), 2) for kind, v in gains[p].items()}
                kinds["all"] = round(float(np.mean(sum(gains[p].values(), []))), 2)
                stems[p][f"{snr_db:+.0f} dB"] = kinds
    finally:
        for session in sessions.values():
            session.close()
    remix = _remix(recipe, bundle, work)
    network: Any = recipe.network.build().to_graph()  # type: ignore[attr-defined]
    frames_per_second = front_end.rate_hz / front_end.hop
    figures = {
        "parameters": network.parameters(),
        "mmacs_per_second": round(network.macs() * frames_per_second / 1e6, 1),
        "engines": {p: s.engine.description for p, s in sessions.items()},
        "si_sdr_improvement_db": stems,
        "achieved_difference_lu": {
            level: {"mean": round(float(np.mean(v)), 2), "std": round(float(np.std(v)), 2)}
            for level, v in levels.items()
        },
        "remix_at_medium": remix,
        "speed": _speed(bundle),
        "lost_dialog_share": round(float(np.mean(lost)), 4),
        "si_sdr_against_float_db": {p: round(float(np.mean(v)), 1) for p, v in against_float.items() if v},
    }
    return figures, _table(figures)


def _mixes(recipe: Recipe, work: Work, rate_hz: int, snr_db: float) -> list[Mix]:
    data: Any = recipe.contents[0].data
    names = (data.validation_speech, data.validation_music, data.validation_effects)
    sets = [[work.dataset(n) for n in group] for group in names]
    return list(validation_mixes(*sets, rate_hz=rate_hz, snr_db=snr_db))


def _masks(network: StreamingNetwork, features: NDArray[np.float32]) -> NDArray[np.float32]:
    network.reset()
    return np.stack([np.array(network.step(frame)) for frame in features])


def _lost_share(front_end: BandFrontEnd, mask: NDArray[np.float32], mix: Mix) -> float:
    """Share of the 100 ms stretches with dialog in which the mask leaves it more than 10 dB down."""
    spectra = front_end.stft().analyze_all(mix.dialog)
    kept = front_end.stft().synthesize_all(spectra * front_end.expand(mask))
    frame = front_end.rate_hz // 10
    count = len(kept) // frame
    energy = np.mean(mix.dialog[: count * frame].reshape(count, frame) ** 2, 1)
    left = np.mean(kept[: count * frame].reshape(count, frame) ** 2, 1)
    active = energy > 1e-3 * energy.max()
    return float(np.mean(left[active] < 0.1 * energy[active]))


def _remix(recipe: Recipe, bundle: Bundle, work: Work) -> dict[str, float]:
    """The whole enhancer at "medium" on 0 dB mixes: SI-SDR to the ideal remix, and loudness held."""
    sdrs, drifts = [], []
    for mix in progress(_mixes(recipe, work, 48000, 0.0), "measuring the remix"):
        with DialogEnhancer.open(bundle, rate_hz=48000, channels=1, level="medium") as enhancer:
            out = np.concatenate([enhancer.process(mix.mix), enhancer.flush()])[enhancer.delay_samples :]
        out = out[: len(mix.mix)]
        wanted = DialogControls.of_level("medium").gains()
        ideal = wanted.dialog * mix.dialog + wanted.background * mix.background
        sdrs.append(si_sdr(out, ideal))
        drifts.append(loudness_lufs(out, 48000) - loudness_lufs(mix.mix, 48000))
    return {
        "si_sdr_db": round(float(np.mean(sdrs)), 2),
        "programme_loudness_change_lu": round(float(np.mean(drifts)), 2),
        "largest_programme_loudness_change_lu": round(float(np.max(np.abs(drifts))), 2),
    }


def _speed(bundle: Bundle, seconds: float = 20.0) -> dict[str, float]:
    """Processor time over playing time for 48 kHz stereo in blocks of 10 ms, the whole enhancer."""
    noise = np.random.default_rng(1).normal(0, 0.05, (round(seconds * 48000), 2)).astype(np.float32)
    with DialogEnhancer.open(bundle, rate_hz=48000, channels=2, level="medium") as enhancer:
        delay_ms = enhancer.delay_samples / 48
        begin = time.process_time()
        for start in range(0, len(noise), 480):
            enhancer.process(noise[start : start + 480])
        spent = time.process_time() - begin
    return {"real_time_factor_stereo_48_khz": round(spent / seconds, 3), "delay_ms": delay_ms}


def _table(figures: dict[str, Any]) -> str:
    rows = []
    for precision, by_snr in figures["si_sdr_improvement_db"].items():
        for snr, kinds in by_snr.items():
            rows.append(
                [
                    precision,
                    snr,
                    *(f"{kinds.get(k, float('nan')):.2f}" for k in ("music", "effects", "both", "all")),
                ]
            )
    stems = table_of(["SI-SDR improvement, dB", "mix", "music", "effects", "both", "all"], rows)
    achieved = [
        [k, f"{LEVELS[k]:+.0f}", f"{v['mean']:.2f} ± {v['std']:.2f}"]
        for k, v in figures["achieved_difference_lu"].items()
    ]
    knob = table_of(["level", "asked, dB", "achieved, LU"], achieved)
    rest = [
        f"{key}: {figures[key]}"
        for key in ("remix_at_medium", "lost_dialog_share", "si_sdr_against_float_db")
    ]
    return "\n\n".join([stems, knob, *rest])
