"""The true-peak limiter: transparent below the ceiling, at the ceiling above it, never abrupt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import AudioError, OptionError
from lumavox.limiter import TruePeakLimiter
from lumavox.loudness import interpolated_peaks, true_peak_dbtp

RATE = 48000
DELAY = 96


def limited(signal: np.ndarray, block: int = 720, **options) -> tuple[np.ndarray, np.ndarray]:
    """The whole signal through a limiter, delay removed: output and flags."""
    limiter = TruePeakLimiter(RATE, signal.shape[1], **options)
    padded = np.concatenate([signal, np.zeros((limiter.delay_samples, signal.shape[1]), np.float32)])
    parts = [limiter.process(padded[i : i + block]) for i in range(0, len(padded), block)]
    out, touched = (np.concatenate(x)[limiter.delay_samples :] for x in zip(*parts))
    return out, touched


def loud_noise(seconds: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(4)
    n = round(seconds * RATE)
    swell = 0.2 + 0.8 * np.sin(np.arange(n) / 3000) ** 2
    return (rng.standard_normal((n, 2)) * swell[:, None]).astype(np.float32)


def true_peak_inside(signal: np.ndarray) -> float:
    """True peak in dB without the ringing that the ends of a cut signal have."""
    return 20 * np.log10(interpolated_peaks(signal).max())


def true_peak_by_fft(signal: np.ndarray) -> float:
    """Sixteen-fold band-limited interpolation of the whole signal, as an oracle."""
    spectrum = np.fft.rfft(signal, axis=0)
    return 20 * np.log10(np.abs(np.fft.irfft(spectrum, 16 * len(signal), axis=0) * 16).max())


def test_sound_below_the_ceiling_comes_out_bit_for_bit():
    signal = np.random.default_rng(5).uniform(-0.4, 0.4, (5000, 2)).astype(np.float32)
    out, touched = limited(signal)
    assert out.tobytes() == signal.tobytes()
    assert touched.all()  # active, though not attenuated


def test_samples_far_from_a_peak_are_untouched_bit_for_bit():
    signal = np.random.default_rng(5).uniform(-0.2, 0.2, (40000, 2)).astype(np.float32)
    signal[20000] = 2.0
    out, _ = limited(signal)
    before, after = slice(0, 20000 - DELAY), slice(20000 + RATE // 8, None)
    assert np.array_equal(out[before], signal[before])
    assert np.array_equal(out[after], signal[after])
    assert abs(out[20000, 0]) <= 10 ** (-1 / 20)


@pytest.mark.parametrize("ceiling", [-1.0, -2.0])
def test_the_true_peak_stays_at_the_ceiling(ceiling):
    """By the meter within 0.1 dB; by an exact interpolation of sound below 16 kHz within 0.4 dB.

    (Close to the Nyquist frequency the twelve taps of Annex 2 under-read, by 0.9 dB for white noise.)
    """
    assert true_peak_dbtp(limited(loud_noise(), ceiling_dbtp=ceiling)[0]) <= ceiling + 0.1
    spectrum = np.fft.rfft(loud_noise(), axis=0)
    spectrum[RATE // 3 :] = 0
    out, _ = limited(np.fft.irfft(spectrum, axis=0).astype(np.float32), ceiling_dbtp=ceiling)
    assert true_peak_dbtp(out) <= ceiling + 0.1
    assert true_peak_by_fft(out) <= ceiling + 0.4


@pytest.mark.parametrize("hz", [50, 997, 5000, 11987])
def test_a_steady_tone_is_brought_to_the_ceiling_and_not_below(hz):
    n = np.arange(RATE)
    sine = 1.5 * np.sin(2 * np.pi * hz * n / RATE) * np.minimum(1, n / 2000)
    out, _ = limited(sine.astype(np.float32)[:, None])
    assert -1.4 <= true_peak_inside(out[RATE // 4 : RATE // 2]) <= -0.9


def test_the_gain_never_jumps():
    """Over the look-ahead of 2 ms a gain moves smoothly: at most 1/90 of the attenuation per sample."""
    signal = np.full((30000, 1), 0.3, np.float32)
    signal[10000:10010] = 3.0
    out, _ = limited(signal)
    gain_db = 20 * np.log10(out / signal)
    assert np.abs(np.diff(gain_db, axis=0)).max() <= -gain_db.min() / 90 + 0.01


def test_all_channels_get_the_same_gain():
    signal = loud_noise()
    signal[:, 1] = 0.25 * signal[:, 0]
    out, _ = limited(signal)
    np.testing.assert_allclose(out[:, 1], 0.25 * out[:, 0], rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(block=st.integers(1, 3000))
def test_the_block_size_does_not_matter(block):
    signal = loud_noise(0.05)
    np.testing.assert_allclose(limited(signal, block)[0], limited(signal)[0], atol=1e-3)


def test_inactive_sound_is_not_limited_and_the_gain_comes_back_fast():
    limiter = TruePeakLimiter(RATE, 1)
    signal = np.full((RATE // 2, 1), 1.5, np.float32)
    active = np.arange(len(signal)) < RATE // 4
    out, touched = limiter.process(signal, active)
    late = RATE // 4 + DELAY + RATE // 20  # 50 ms after the last active sample
    assert np.all(out[late:] == 1.5)
    assert not touched[late:].any()
    assert np.all(out[RATE // 8 : RATE // 4] <= 10 ** (-1 / 20))


def test_silence_stays_silence():
    out, _ = limited(np.zeros((2000, 2), np.float32))
    assert not out.any()


def test_reset_forgets_signal_and_attenuation():
    limiter = TruePeakLimiter(RATE, 2)
    limiter.process(loud_noise(0.1))
    limiter.reset()
    quiet = np.full((500, 2), 0.1, np.float32)
    out, _ = limiter.process(quiet)
    assert not out[:DELAY].any()
    assert np.array_equal(out[DELAY:], quiet[:-DELAY])


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_the_look_ahead_is_two_milliseconds_at_most(rate):
    limiter = TruePeakLimiter(rate, 1)
    assert limiter.delay_samples / rate <= 0.002
    signal = np.full((rate // 2, 1), 2.0, np.float32)
    signal[: rate // 4] = 0.5
    out, _ = limiter.process(signal)
    assert true_peak_inside(out) <= -0.9


def test_wrong_options_are_refused():
    with pytest.raises(OptionError, match="ceiling_dbtp"):
        TruePeakLimiter(RATE, 2, ceiling_dbtp=1.0)
    with pytest.raises(AudioError, match="channels"):
        TruePeakLimiter(RATE, 0)
