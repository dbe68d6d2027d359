"""How good a dialog stem is, at 16 kHz, where all speech enhancers can be compared.

SI-SDR improvement, PESQ-WB (ITU-T P.862.2, package ``pesq``), ESTOI (Jensen & Taal 2016, package ``pystoi``)
and the share of lost seconds: those in which the stem holds the dialog more than 10 dB down (least squares,
so that background left in the stem does not pass for dialog).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.de_mixes import Mix
from ..metrics import si_sdr

RATE_HZ = 16000
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class StemScore:
    """Of one mix and method."""

    kind: str  # of background
    si_sdri_db: float
    pesq_wb: float  # NaN where PESQ finds no utterance, or is not installed (extra ``scores``)
    estoi: float
    lost_share: float


def score(stem: Sound, mix: Mix) -> StemScore:
    """Of a stem at 16 kHz against the dialog of ``mix`` (16 kHz too); the shorter length counts."""
    from pystoi import stoi

    length = min(len(stem), len(mix.dialog))
    made, dialog, heard = stem[:length], mix.dialog[:length], mix.mix[:length]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of stoi, about fully silent stems
        estoi = float(stoi(dialog, made, RATE_HZ, extended=True))
    gain = si_sdr(made, dialog) - si_sdr(heard, dialog)
    return StemScore(mix.kind, gain, pesq_wb(dialog, made), estoi, lost_seconds(made, dialog))


def pesq_wb(dialog: Sound, stem: Sound) -> float:
    """Wide-band PESQ (MOS-LQO); NaN where it finds no utterance, or is not installed."""
    try:
        from pesq import PesqError, pesq
    except ImportError:
        return float("nan")
    value = pesq(RATE_HZ, dialog, stem, "wb", on_error=PesqError.RETURN_VALUES)
    return float(value) if value > 0 else float("nan")


def lost_seconds(stem: Sound, dialog: Sound, rate_hz: int = RATE_HZ) -> float:
    """Share of the seconds with dialog (within 20 dB of the loudest) of which the stem holds under -10 dB."""
    count = len(dialog) // rate_hz
    d, s = (np.asarray(x[: count * rate_hz], np.float64).reshape(count, rate_hz) for x in (dialog, stem))
    energy = np.sum(d**2, 1)
    active = energy > 1e-2 * energy.max()
    held = np.sum(d * s, 1)[active] / energy[active]
    return float(np.mean(held < 10 ** (-10 / 20)))


def summary(scores: Iterable[StemScore]) -> Mapping[str, object]:
    """Means, the SI-SDR improvement by kind of background, too."""
    scores = list(scores)
    kinds = dict.fromkeys(s.kind for s in scores)
    by_kind = {k: round(float(np.mean([s.si_sdri_db for s in scores if s.kind == k])), 2) for k in kinds}
    pesq = [s.pesq_wb for s in scores if np.isfinite(s.pesq_wb)]
    return {
        "si_sdri_db": by_kind | {"all": round(float(np.mean([s.si_sdri_db for s in scores])), 2)},
        **({"pesq_wb": round(float(np.mean(pesq)), 3)} if pesq else {}),
        "estoi": round(float(np.mean([s.estoi for s in scores])), 3),
        "lost_share": round(float(np.mean([s.lost_share for s in scores])), 4),
    }
