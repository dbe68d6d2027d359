"""HASPI: only that it is called as it is meant to; the model is pyclarity's."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lumavox.errors import MissingExtraError
from lumavox.hearing import HearingProfile
from lumavox_export.evaluation.intelligibility import haspi


def speechlike(seconds: float = 1.5) -> np.ndarray:
    """Noise with the spectrum and the syllables of speech, 48 kHz."""
    rng = np.random.default_rng(1)
    n = round(seconds * 48000)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum /= np.maximum(1.0, np.fft.rfftfreq(n, 1 / 48000) / 500)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(n) / 48000)
    return (0.1 * np.fft.irfft(spectrum, n) * syllables).astype(np.float32)


def test_without_pyclarity_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clarity.evaluator.haspi", None)
    with pytest.raises(MissingExtraError, match=r"lumavox\[hearing\]"):
        haspi(speechlike(), speechlike(), 48000, HearingProfile())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_more_noise_is_understood_less_and_a_loss_needs_its_prescription() -> None:
    pytest.importorskip("clarity.evaluator.haspi", reason="pyclarity is not installed")
    clean, profile = speechlike(), HearingProfile.parse("N3")
    noise = np.random.default_rng(2).standard_normal(len(clean)).astype(np.float32)
    normal = [haspi(clean, clean + level * noise, 48000, HearingProfile()) for level in (0.0, 0.02, 0.1)]
    assert normal[0] > normal[1] > normal[2]
    bins = np.fft.rfftfreq(len(clean), 1 / 48000)
    fitted = np.fft.irfft(np.fft.rfft(clean) * 10 ** (profile.gain_db(bins) / 20), len(clean)).astype(
        np.float32
    )
    assert haspi(clean, fitted, 48000, profile) > haspi(clean, clean, 48000, profile)
