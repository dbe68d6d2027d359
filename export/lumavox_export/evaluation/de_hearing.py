"""What a hearing profile is worth: HASPI of dialog in a mix as it is, remixed, and remixed for the listener.

The listener has a moderate loss (``PROFILE``: N3 of Bisgaard et al. 2010) and no hearing aid. Figures are
means of HASPI (``intelligibility``, 0..1), played at the volume that gives the dialog of the untouched mix
65 dB SPL: who turns the knob does not touch the volume. One score takes some 10 s, so not every mix is heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lumavox.audio import DialogEnhancer
from lumavox.bundle import Bundle
from lumavox.hearing import HearingProfile

from ..data.de_mixes import Mix
from ..progress import progress
from . import mean, table_of
from .de_enhancer import LEVEL, RATE_HZ, Sound, enhanced
from .intelligibility import haspi

PROFILE = "N3"
SNRS_DB = (-5.0, 0.0, 5.0)
UNTOUCHED = "as it is"
EVERY = 8  # of how many mixes one is heard: another voice and another kind of background each time


def measure_hearing(bundle: Bundle, mixes: Mapping[float, Sequence[Mix]]) -> dict[str, Any]:
    """Mean HASPI by dialog-to-background ratio and by what is heard; ``mixes`` by ratio, at 48 kHz.

    Raises MissingExtraError without pyclarity.
    """
    profile = HearingProfile.parse(PROFILE)
    heard_as: dict[str, HearingProfile | None] = {LEVEL: None, f"{LEVEL}, {PROFILE}": profile}
    chosen = {snr_db: of_ratio[::EVERY] for snr_db, of_ratio in mixes.items()}
    by_snr: dict[str, dict[str, float]] = {}
    for snr_db, of_ratio in chosen.items():
        scores: dict[str, list[float]] = {}
        for mix in progress(of_ratio, f"measuring intelligibility at {snr_db:+.0f} dB"):
            scores.setdefault(UNTOUCHED, []).append(haspi(mix.dialog, mix.mix, RATE_HZ, profile))
            for name, hearing in heard_as.items():
                scores.setdefault(name, []).append(
                    haspi(mix.dialog, _remixed(bundle, mix.mix, hearing), RATE_HZ, profile)
                )
        by_snr[f"{snr_db:+.0f} dB"] = {name: mean(values, 3) for name, values in scores.items()}
    return {"profile": PROFILE, "mixes": max(map(len, chosen.values())), "haspi": by_snr}


def hearing_table(found: Mapping[str, Any]) -> str:
    """A row for each ratio."""
    by_snr: Mapping[str, Mapping[str, float]] = found["haspi"]
    names = list(next(iter(by_snr.values())))
    rows = [[snr, *(f"{scores[name]:.3f}" for name in names)] for snr, scores in by_snr.items()]
    return table_of([f"HASPI, loss {found['profile']}", *names], rows)


def _remixed(bundle: Bundle, mix: Sound, hearing: HearingProfile | None) -> Sound:
    with DialogEnhancer.open(bundle, rate_hz=RATE_HZ, channels=1, level=LEVEL, hearing=hearing) as enhancer:
        return enhanced(enhancer, mix)
