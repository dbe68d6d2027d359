"""Figures of the whole enhancer where they are known: a level that does nothing, sound without dialog."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lumavox.bundle import Bundle
from lumavox_export.data.de_mixes import Mix
from lumavox_export.evaluation import de_enhancer
from lumavox_export.evaluation.de_enhancer import RATE_HZ, measure_enhancer

BUNDLE = Path(__file__).parents[2] / "models" / "de" / "base" / "bundle"


def _noise(seconds: float, rms: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, rms, round(seconds * RATE_HZ)).astype(np.float32)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(BUNDLE, task="de")


def test_a_level_that_does_nothing_gives_the_mix_itself(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(de_enhancer, "LEVEL", "off")
    mixes = [
        Mix("effects", "a", _noise(2, 0.05, 1), _noise(2, 0.02, 2)),
        Mix("music", "b", *[_noise(2, 0.05, 3)] * 2),
    ]
    soundfile.write(tmp_path / "a.wav", _noise(2, 0.1, 4), RATE_HZ)
    found = measure_enhancer(bundle, mixes, {"effects": [tmp_path / "a.wav"]})
    remix, alone = found["remix_at_off"], found["without_dialog"]["effects"]
    for programme in (remix, remix["one_programme"]):
        assert programme["si_sdr_db"] > 60
        # The parts begin and end with half a window: 30 of 2,000 ms.
        assert programme["achieved_difference_lu"] == pytest.approx(0, abs=0.15)
        assert programme["largest_programme_loudness_change_lu"] <= 0.01
    assert (
        alone["least_si_sdr_db"] > 60 and alone["share_above_30_db"] == 1 and alone["least_like"] == "a.wav"
    )
    assert found["speed"]["delay_ms"] == bundle.front_end["window"] * 1000 / RATE_HZ + 2  # the limiter's 2 ms
