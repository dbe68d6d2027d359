"""Surround to stereo: against the matrix of ITU-R BS.775."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lumavox.downmix import Downmix
from lumavox.errors import AudioError, OptionError
from lumavox.loudness import true_peak_dbtp


def mixed(sound: np.ndarray, **options) -> np.ndarray:
    downmix = Downmix(sound.shape[1], **options)
    return np.concatenate([downmix.process(sound), downmix.flush()])[downmix.delay_samples :]


@pytest.mark.parametrize("channels", range(3, 9))
def test_left_and_right_are_mirrored_and_the_lfe_is_left_out(channels):
    lfe = 3 if channels >= 6 else None
    for channel in range(channels):
        sound = np.zeros((100, channels), np.float32)
        sound[:, channel] = 0.1
        left, right = mixed(sound)[50]
        assert (left + right > 0) == (channel != lfe)


def test_a_5_1_mix_is_that_of_the_recommendation():
    sound = np.random.default_rng(1).uniform(-0.1, 0.1, (500, 6)).astype(np.float32)
    left = sound[:, 0] + math.sqrt(0.5) * (sound[:, 2] + sound[:, 4])
    right = sound[:, 1] + math.sqrt(0.5) * (sound[:, 2] + sound[:, 5])
    np.testing.assert_allclose(mixed(sound), np.stack([left, right], 1), atol=1e-6)


def test_the_centre_gain_lifts_the_centre_alone():
    sound = np.zeros((100, 6), np.float32)
    sound[:, 2] = 0.1
    assert mixed(sound, centre_gain_db=6.0)[50, 0] == pytest.approx(0.1 * math.sqrt(0.5) * 10**0.3, rel=1e-5)


def test_the_true_peak_is_kept_below_the_ceiling():
    sound = np.random.default_rng(1).uniform(-0.9, 0.9, (9000, 6)).astype(np.float32)
    assert true_peak_dbtp(mixed(sound, ceiling_dbtp=-2.0)) <= -1.9


def test_the_block_size_does_not_change_a_bit():
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (3000, 6)).astype(np.float32)
    downmix = Downmix(6)
    parts = [downmix.process(part) for part in np.split(sound, [1, 7, 1000, 1001])]
    np.testing.assert_allclose(
        np.concatenate([*parts, downmix.flush()])[downmix.delay_samples :], mixed(sound), atol=1e-6
    )


def test_what_cannot_be_mixed_down_is_refused():
    with pytest.raises(AudioError, match="3 to 8"):
        Downmix(2)
    with pytest.raises(OptionError, match="centre_gain_db"):
        Downmix(6, centre_gain_db=13.0)
