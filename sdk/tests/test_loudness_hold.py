"""The loudness hold: energies of frames in, a make-up gain out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lumavox.loudness_hold import LoudnessHold

HOPS_PER_S = 48000 / 720


def programme(*parts: tuple[float, float, float]) -> list[tuple[float, float]]:
    """Frames of (dry, remixed) energy: (seconds, dry LUFS, change of loudness by the remix)."""
    frames = []
    for seconds, lufs, change in parts:
        dry = 10 ** ((lufs + 0.691) / 10)
        frames += [(dry, dry * 10 ** (change / 10))] * round(seconds * HOPS_PER_S)
    return frames


def held(frames: list[tuple[float, float]]) -> np.ndarray:
    hold = LoudnessHold(HOPS_PER_S)
    return np.array([hold.update(*frame) for frame in frames])


def loudness_change(frames: list[tuple[float, float]], gains: np.ndarray) -> float:
    dry, remixed = np.array(frames).T
    return 10 * math.log10((remixed * gains**2).sum() / dry.sum())


@pytest.mark.parametrize("change", [-9.0, -3.0, 3.0, 6.0])
def test_a_steady_change_of_loudness_is_made_good(change):
    gains = held(programme((10, -23, change)))
    assert 20 * math.log10(gains[-1]) == pytest.approx(-change, abs=0.05)


@pytest.mark.parametrize("speech_s", [0.3, 3.0, 15.0])
def test_programme_loudness_is_held_within_half_a_unit(speech_s):
    """Speech (+3 dB by level "max") and background (-9 dB, 10 or 20 LU below) in turn, for five minutes."""
    for below in (10, 20):
        turns = [(speech_s, -22, 2.8), (speech_s, -22 - below, -9.0)] * round(150 / speech_s)
        frames = programme(*turns)
        assert abs(loudness_change(frames, held(frames))) <= 0.5


def test_pauses_between_words_do_not_pump():
    frames = programme(*[(0.4, -22, 2.8), (0.3, -32, -9.0)] * 60)
    gains_db = 20 * np.log10(held(frames)[round(5 * HOPS_PER_S) :])
    assert np.ptp(gains_db) < 1.0


def test_dialog_after_long_music_does_not_blare():
    """At most 300 ms after the onset it is no more than 3 dB louder than it went in."""
    frames = programme((20, -32, -9.0), (3, -20, 2.8))
    gains = held(frames)
    start = round(20 * HOPS_PER_S)
    louder_db = 20 * np.log10(gains[start:]) + 2.8
    assert louder_db[round(0.3 * HOPS_PER_S) :].max() <= 3.1


def test_silence_moves_nothing():
    gains = held([*programme((5, -23, 3.0)), *[(0.0, 0.0)] * 200])
    assert np.ptp(gains[-150:]) < 1e-9


def test_a_release_ends_at_exactly_one_within_three_frames():
    hold = LoudnessHold(HOPS_PER_S)
    for frame in programme((10, -23, -12.0)):
        hold.update(*frame)
    assert [hold.release() for _ in range(4)][-2:] == [1.0, 1.0]
