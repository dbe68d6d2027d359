"""Intelligibility figures: what is heard and how it is averaged; the model of the ear is pyclarity's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lumavox.audio import DialogEnhancer
from lumavox.bundle import Bundle
from lumavox.errors import OptionError
from lumavox.hearing import HearingProfile
from lumavox_export.data.de_mixes import Mix
from lumavox_export.evaluation import Options, de_hearing, evaluate
from lumavox_export.evaluation.de_hearing import EVERY, RATE_HZ, hearing_table, measure_hearing
from lumavox_export.recipe import Recipe
from lumavox_export.work import Work

BUNDLE = Path(__file__).parents[2] / "models" / "de" / "base" / "bundle"


def _noise(rms: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, rms, RATE_HZ // 2).astype(np.float32)


def test_every_eighth_mix_is_heard_untouched_and_both_ways_remixed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[np.ndarray, np.ndarray]] = []

    def counted(dialog: np.ndarray, sound: np.ndarray, rate_hz: int, profile: HearingProfile) -> float:
        assert rate_hz == RATE_HZ and profile == HearingProfile.parse("N3")
        heard.append((dialog, sound))
        return len(heard) / 100

    monkeypatch.setattr(de_hearing, "haspi", counted)
    mixes = [Mix("music", str(n), _noise(0.05, n), _noise(0.02, 100 + n)) for n in range(EVERY + 1)]
    found = measure_hearing(Bundle.open(BUNDLE, task="de"), {-5.0: mixes})
    assert found == {
        "profile": "N3",
        "mixes": 2,
        "haspi": {"-5 dB": {"as it is": 0.025, "medium": 0.035, "medium, N3": 0.045}},  # of 1, 4; 2, 5; 3, 6
    }
    for number, (dialog, sound) in enumerate(heard):
        mix = mixes[number // 3 * EVERY]
        assert np.array_equal(dialog, mix.dialog) and sound.shape == dialog.shape
        assert number % 3 or np.array_equal(sound, mix.mix)
    assert "| -5 dB | 0.025 | 0.035 | 0.045 |" in hearing_table(found)


def test_profile_and_level_are_those_that_the_figure_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, object]] = []
    opened = DialogEnhancer.open

    def watched(*args: Any, **options: Any) -> DialogEnhancer:
        asked.append((options["level"], options["hearing"]))
        return opened(*args, **options)

    monkeypatch.setattr(DialogEnhancer, "open", watched)
    monkeypatch.setattr(de_hearing, "haspi", lambda *_: 0.5)
    measure_hearing(
        Bundle.open(BUNDLE, task="de"), {0.0: [Mix("music", "a", _noise(0.05, 1), _noise(0.02, 2))]}
    )
    assert asked == [("medium", None), ("medium", HearingProfile.parse("N3"))]


def test_pictures_have_no_hearing(tmp_path: Path) -> None:
    recipe = Recipe.load(BUNDLE.parents[2] / "sr" / "debug" / "recipe.toml")
    work = Work(tmp_path, tmp_path, tmp_path, tmp_path)
    with pytest.raises(OptionError, match="--hearing is for dialog enhancement"):
        evaluate(recipe, work, Options(hearing=True))
