"""The streaming resampler: exact position, constant delay, clean bands, any chunking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.resampler import Resampler

RATES = [8000, 11025, 16000, 22050, 32000, 44100, 47999, 48000, 88200, 96000, 192000]


def converted(signal: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    resampler = Resampler(from_hz, to_hz, signal.shape[1])
    resampler.push(signal)
    return resampler.pull(resampler.available)


def sine(hz: float, rate: int, count: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(count) / rate).astype(np.float32)[:, None]


@pytest.mark.parametrize("from_hz", RATES)
@pytest.mark.parametrize("to_hz", [48000, 44100])
def test_a_sine_comes_out_as_the_same_sine_at_the_other_rate(from_hz, to_hz):
    """Oracle: the sine sampled at the other rate; 2e-4 is -74 dB, and any shift of position would show."""
    for hz in (200.0, 0.4 * min(from_hz, to_hz)):
        out = converted(sine(hz, from_hz, from_hz // 10), from_hz, to_hz)
        expected = sine(hz, to_hz, len(out))
        edge = round(0.005 * to_hz) + 40
        np.testing.assert_allclose(out[edge:], expected[edge:], atol=2e-4)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(96000, 48000), (48000, 44100), (48000, 8000)])
def test_what_the_lower_rate_cannot_hold_is_removed(from_hz, to_hz):
    out = converted(sine(0.52 * to_hz, from_hz, from_hz // 4), from_hz, to_hz)
    assert np.abs(out[200:]).max() < 1e-3


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_chunking_of_pushes_does_not_change_a_bit(data):
    """Pulls on the same grid give the same bits, however the input arrives."""
    rate = data.draw(st.sampled_from([8000, 44100, 96000]))
    signal = np.random.default_rng(6).standard_normal((6000, 2)).astype(np.float32)

    def pulled(sizes: list[int]) -> np.ndarray:
        resampler, rest, parts = Resampler(rate, 48000, 2), signal, []
        for size in [*sizes, len(signal)]:
            resampler.push(rest[:size])
            rest = rest[size:]
            while resampler.available >= 720:
                parts.append(resampler.pull(720))
        return np.concatenate(parts)

    sizes = data.draw(st.lists(st.integers(0, 2000), max_size=6))
    assert np.array_equal(pulled(sizes), pulled([]))


@pytest.mark.parametrize("rate", RATES)
def test_available_and_needed_samples_are_as_stated(rate):
    resampler = Resampler(rate, 48000, 1)
    for count in (1, 7, 720, 1001):
        needed = resampler.inputs(count)
        assert resampler.outputs(needed) >= count > resampler.outputs(needed - 1)
    resampler.push(np.zeros((resampler.inputs(720), 1), np.float32))
    assert resampler.available >= 720
    with pytest.raises(ValueError, match="asked for"):
        resampler.pull(resampler.available + 1)


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_the_delay_is_half_the_filter(rate):
    assert Resampler(rate, 48000, 1).half / rate <= 0.0041


def test_equal_rates_copy():
    signal = np.random.default_rng(7).standard_normal((1000, 2)).astype(np.float32)
    assert np.array_equal(converted(signal, 48000, 48000), signal)


def test_constant_and_silent_input_stay_exact():
    assert not converted(np.zeros((1000, 1), np.float32), 44100, 48000).any()
    constant = converted(np.ones((4000, 1), np.float32), 44100, 48000)
    np.testing.assert_allclose(constant[100:], 1.0, atol=1e-5)


def test_reset_forgets():
    resampler = Resampler(44100, 48000, 1)
    resampler.push(np.ones((500, 1), np.float32))
    resampler.pull(100)
    resampler.reset()
    resampler.push(np.zeros((500, 1), np.float32))
    assert not resampler.pull(resampler.available).any()
