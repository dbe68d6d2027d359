"""What is read off masks: activity with hysteresis, confidence, loudness difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lumavox.speech import HOLD_S, SpeechState, SpeechTracker

HOPS_PER_S = 48000 / 720


def run(tracker: SpeechTracker, seconds: float, power: float, mask: float) -> list[SpeechState]:
    """Frames of one bin with this power and mask."""
    frame = power, mask * power, mask * mask * power
    return [tracker.update(*frame) for _ in range(round(seconds * HOPS_PER_S))]


def test_dialog_begins_after_a_tenth_of_a_second_and_outlasts_a_pause():
    tracker = SpeechTracker(HOPS_PER_S)
    assert not any(state.active for state in run(tracker, 1.0, 1e-2, 0.05))
    begun = [state.active for state in run(tracker, 1.0, 1e-2, 1.0)]
    assert 0.05 < begun.index(True) / HOPS_PER_S < 0.2
    assert all(state.active for state in run(tracker, 0.7 * HOLD_S, 1e-3, 0.0))
    assert not run(tracker, 2.0, 1e-3, 0.0)[-1].active


def test_speech_below_the_level_of_speech_is_none():
    assert not any(state.active for state in run(SpeechTracker(HOPS_PER_S), 1.0, 1e-7, 1.0))


@pytest.mark.parametrize("mask", [0.45, 0.6, 0.7, 0.9])
def test_confidence_is_the_expected_ratio_of_dialog_to_its_error(mask):
    """Oracle: for a Wiener gain m the ratio is m² / (m (1 - m)); -2 dB is 0, +4 dB is 1."""
    state = run(SpeechTracker(HOPS_PER_S), 2.0, 1e-2, mask)[-1]
    ratio_db = 10 * math.log10(mask / (1 - mask))
    assert state.confidence == pytest.approx(np.clip((ratio_db + 2) / 6, 0, 1), abs=1e-6)


def test_the_expected_error_is_that_of_a_wiener_estimate():
    """Monte Carlo: Gaussian dialog in Gaussian background, estimated by the Wiener gain; 2 %."""
    rng = np.random.default_rng(1)
    dialog, background = rng.normal(0, 2.0, 200_000), rng.normal(0, 1.0, 200_000)
    mask = 4.0 / 5.0
    error = np.mean((mask * (dialog + background) - dialog) ** 2)
    assert error == pytest.approx(mask * (1 - mask) * np.mean((dialog + background) ** 2), rel=0.02)


def test_the_difference_is_over_three_seconds_of_dialog_only():
    tracker = SpeechTracker(HOPS_PER_S)
    run(tracker, 4.0, 1e-2, 0.9)
    state = run(tracker, 5.0, 1.0, 0.0)[-1]  # loud music after the dialog
    loud = run(SpeechTracker(HOPS_PER_S), 4.0, 1e-2, 0.9)[-1]
    assert loud.difference_lu == pytest.approx(20 * math.log10(0.9 / 0.1), abs=0.01)
    assert not state.active


def test_before_any_dialog_nothing_is_known():
    assert SpeechTracker(HOPS_PER_S).state.difference_lu is None
    assert run(SpeechTracker(HOPS_PER_S), 1.0, 1e-2, 0.0)[-1].difference_lu is None


def test_dialog_over_silence_is_infinitely_louder():
    assert run(SpeechTracker(HOPS_PER_S), 1.0, 1e-2, 1.0)[-1].difference_lu == math.inf
