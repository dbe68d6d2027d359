"""Loudness against the signals of EBU Tech 3341 (made here) and against an independent meter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import AudioError
from lumavox.loudness import LoudnessMeter, k_weighting, k_weighting_power, true_peak_dbtp

RATE = 48000


def tone(level_dbfs: float, seconds: float, rate: int = RATE, hz: float = 1000.0) -> np.ndarray:
    n = np.arange(round(seconds * rate))
    return (10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * n / rate)).astype(np.float32)


def stereo(*parts: tuple[float, float], rate: int = RATE) -> np.ndarray:
    mono = np.concatenate([tone(level, seconds, rate) for level, seconds in parts])
    return np.stack([mono, mono], axis=1)


def measured(signal: np.ndarray, rate: int = RATE) -> LoudnessMeter:
    meter = LoudnessMeter(rate, signal.shape[1])
    meter.add(signal)
    return meter


@pytest.mark.parametrize(
    ("case", "parts", "lufs"),
    [
        (1, [(-23, 20)], -23.0),
        (2, [(-33, 20)], -33.0),
        (3, [(-36, 10), (-23, 60), (-36, 10)], -23.0),
        (4, [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        (5, [(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
)
def test_integrated_loudness_of_tech_3341(case, parts, lufs):
    """Minimum requirements test signals 1 to 5, tolerance 0.1 LU (EBU Tech 3341 table 1)."""
    assert measured(stereo(*parts)).integrated_lufs == pytest.approx(lufs, abs=0.1)


def test_integrated_loudness_of_five_channels_of_tech_3341():
    """Test signal 6: -28 dBFS left and right, -24 centre, -30 surrounds; the LFE does not count."""
    levels = (-28, -28, -24, None, -30, -30)
    channels = [tone(v, 20) if v is not None else tone(-6, 20, hz=50) for v in levels]
    assert measured(np.stack(channels, 1)).integrated_lufs == pytest.approx(-23.0, abs=0.1)


def test_momentary_and_short_term_follow_the_signal():
    """Tech 3341 signals 9 and 12 in spirit: a level held as long as the window is read exactly."""
    meter = measured(stereo((-20, 4), (-30, 0.4)))
    assert meter.momentary_lufs == pytest.approx(-30.0, abs=0.1)
    power = (2.6 * 10**-2.0 + 0.4 * 10**-3.0) / 3
    assert meter.short_term_lufs == pytest.approx(10 * math.log10(power), abs=0.1)


@pytest.mark.parametrize(("parts", "lra"), [([(-20, 20), (-30, 20)], 10), ([(-20, 20), (-15, 20)], 5)])
def test_loudness_range_of_tech_3342(parts, lra):
    """Test signals 1 and 2 of EBU Tech 3342, tolerance 1 LU."""
    assert measured(stereo(*parts)).loudness_range_lu == pytest.approx(lra, abs=1.0)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000, 192000])
def test_the_reading_does_not_depend_on_the_rate(rate):
    assert measured(stereo((-23, 3), rate=rate), rate).integrated_lufs == pytest.approx(-23.0, abs=0.1)


def test_k_weighting_at_48_khz_is_the_table_of_bs_1770():
    (b1, a1), (b2, a2) = k_weighting(48000)
    np.testing.assert_allclose(b1, [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-6)
    np.testing.assert_allclose(a1, [1.0, -1.69065929318241, 0.73248077421585], atol=1e-6)
    np.testing.assert_allclose(b2, [1.0, -2.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(a2, [1.0, -1.99004745483398, 0.99007225036621], atol=1e-6)


def test_k_weighting_power_is_the_gain_of_the_meter():
    power = k_weighting_power(48000, 1440)
    for hz in (100, 1000, 10000):
        lufs = measured(np.stack([tone(-20, 2, hz=hz)] * 2, 1)).integrated_lufs
        assert lufs == pytest.approx(-20 - 0.691 + 10 * math.log10(power[round(hz / 48000 * 1440)]), abs=0.02)


def test_noise_agrees_with_pyloudnorm():
    pyloudnorm = pytest.importorskip("pyloudnorm", reason="the oracle is a development dependency")
    rng = np.random.default_rng(1)
    noise = np.cumsum(rng.standard_normal((RATE * 12, 2)), 0)  # speech-like: falling spectrum
    noise -= np.apply_along_axis(lambda x: np.convolve(x, np.ones(480) / 480, "same"), 0, noise)
    noise *= 0.02 * (1 + np.sin(np.arange(len(noise)) / RATE))[:, None]
    oracle = pyloudnorm.Meter(RATE).integrated_loudness(noise)
    assert measured(noise.astype(np.float32)).integrated_lufs == pytest.approx(oracle, abs=0.1)


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=8))
def test_the_block_size_does_not_matter(sizes):
    signal = np.random.default_rng(2).standard_normal((30000, 2)).astype(np.float32) * 0.1
    whole, parts = measured(signal), LoudnessMeter(RATE, 2)
    rest = signal
    for size in sizes:
        parts.add(rest[:size])
        rest = rest[size:]
    parts.add(rest)
    assert parts.integrated_lufs == whole.integrated_lufs
    assert parts.true_peak_dbtp == whole.true_peak_dbtp


def faded(amplitude: float, divisor: float, degrees: float) -> np.ndarray:
    n = np.arange(RATE // 2)
    sine = np.sin(2 * np.pi * n / divisor + np.deg2rad(degrees))
    return (amplitude * sine * np.minimum(1, np.minimum(n, n[::-1]) / 4800)).astype(np.float32)


@pytest.mark.parametrize(
    ("case", "amplitude", "divisor", "degrees", "dbtp"),
    [
        (15, 0.5, 4, 0, -6),
        (16, 0.5, 4, 45, -6),
        (17, 0.5, 6, 60, -6),
        (18, 0.5, 8, 67.5, -6),
        (19, 1.41, 4, 45, 3),
    ],
)
def test_true_peak_of_tech_3341(case, amplitude, divisor, degrees, dbtp):
    """Test signals 15 to 19, tolerance +0.2 / -0.4 dB (EBU Tech 3341 table 1)."""
    signal = faded(amplitude, divisor, degrees)
    meter = LoudnessMeter(RATE, 1)
    meter.add(signal)
    for reading in (true_peak_dbtp(signal), meter.true_peak_dbtp):
        assert dbtp - 0.4 <= reading <= dbtp + 0.2


def test_true_peak_of_the_meter_is_that_of_the_whole_signal():
    signal = np.random.default_rng(3).standard_normal((12345, 2)).astype(np.float32)
    assert measured(signal).true_peak_dbtp == pytest.approx(true_peak_dbtp(signal), abs=1e-4)


@pytest.mark.parametrize("at", [0, 4799, 4800, 9999])
def test_a_single_loud_sample_is_found_wherever_it_is(at):
    signal = np.zeros((10000, 1), np.float32)
    signal[at] = 0.5
    assert measured(signal).true_peak_dbtp == pytest.approx(-6.02, abs=0.01)
    assert true_peak_dbtp(signal) == pytest.approx(-6.02, abs=0.01)


def test_int16_reads_like_float():
    signal = stereo((-23, 2))
    ints = np.round(signal * 32768).astype(np.int16)
    assert measured(ints).integrated_lufs == pytest.approx(measured(signal).integrated_lufs, abs=0.01)
    assert true_peak_dbtp(ints) == pytest.approx(true_peak_dbtp(signal), abs=0.01)


def test_silence_and_nothing_measure_minus_infinity():
    meter = LoudnessMeter(RATE, 2)
    meter.add(np.zeros((0, 2), np.float32))
    assert meter.integrated_lufs == meter.momentary_lufs == meter.true_peak_dbtp == -math.inf
    meter.add(np.zeros((RATE, 2), np.float32))
    assert meter.integrated_lufs == meter.momentary_lufs == meter.true_peak_dbtp == -math.inf
    assert meter.loudness_range_lu == 0.0
    assert true_peak_dbtp(np.zeros(0, np.float32)) == -math.inf


def test_samples_that_are_not_finite_count_as_silence():
    signal = stereo((-23, 2))
    signal[RATE // 2] = np.nan
    signal[RATE // 3] = np.inf
    assert measured(signal).integrated_lufs == pytest.approx(-23.0, abs=0.1)


def test_reset_forgets():
    meter = measured(stereo((-10, 2)))
    meter.reset()
    meter.add(stereo((-23, 2)))
    assert meter.integrated_lufs == pytest.approx(-23.0, abs=0.1)
    assert meter.true_peak_dbtp == pytest.approx(-23.0, abs=0.3)


@pytest.mark.parametrize(("rate", "channels"), [(7999, 2), (192001, 2), (48000, 0), (48000, 9), (44100.5, 2)])
def test_impossible_formats_are_refused(rate, channels):
    with pytest.raises(AudioError, match="cannot be handled"):
        LoudnessMeter(rate, channels)


@pytest.mark.parametrize(
    "block", [np.zeros((4, 3), np.float32), np.zeros(4, np.float32), np.zeros((4, 2)), [[0.0, 0.0]]]
)
def test_blocks_of_another_form_are_refused(block):
    with pytest.raises(AudioError, match="was given"):
        LoudnessMeter(48000, 2).add(block)
