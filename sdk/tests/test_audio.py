"""`DialogEnhancer` with the scripted engine: whatever goes in and goes wrong, sound comes out."""

from __future__ import annotations

import math
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bundles
from enhancers import HOP, RATE, Opener, energy_db, give_mask, noise, opener, through
from lumavox.audio import DialogEnhancer
from lumavox.errors import AudioError, BackendError, BundleFormatError, OptionError
from lumavox.loudness import LoudnessMeter, true_peak_dbtp
from lumavox.remix import DialogControls


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    return opener(tmp_path_factory)


# Delay and passthrough


def test_the_delay_at_48_khz_is_32_milliseconds(opened):
    assert opened().delay_samples == 1536


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000, 192000])
def test_other_rates_add_at_most_ten_milliseconds(opened, rate):
    assert 32 <= 1000 * opened(rate_hz=rate).delay_samples / rate <= 42


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (48000, 2), (48000, 6), (44100, 2), (8000, 8)])
def test_off_is_the_input_bit_for_bit(opened, dtype, rate, channels):
    sound = noise(0.3, channels, 0.9, rate)  # well beyond full scale: the limiter does not act either
    sound[:4] = [[-0.0], [1e-42], [1.0], [-1.0]]
    if dtype == np.int16:
        sound = np.clip(sound * 32768, -32768, 32767).astype(np.int16)
    enhancer = opened(level="off", rate_hz=rate, channels=channels)
    assert through(enhancer, sound, 500).tobytes() == sound.tobytes()
    record = enhancer.record()
    assert (record.state, record.frames_enhanced) == ("off", 0)


def test_strength_zero_is_off(opened):
    enhancer = opened(level="max")
    enhancer.set(strength=0.0)
    enhancer.reset()
    assert through(enhancer, noise()).tobytes() == noise().tobytes()


def test_the_added_latency_is_in_the_record(opened):
    assert opened().record().added_latency_ms.audio == pytest.approx(32.0)


# What the remix does


def test_dialog_alone_comes_out_as_it_was(opened):
    """Mask 1: everything is dialog, so the gain is g_dialog, and the loudness hold takes it back."""
    sound = noise(6)
    out = through(opened(1.0, level="max"), sound)
    settled = slice(4 * RATE, 6 * RATE)
    assert energy_db(out[settled]) == pytest.approx(energy_db(sound[settled]), abs=0.3)
    onset = slice(HOP, RATE // 2)
    assert -0.5 < energy_db(out[onset]) - energy_db(sound[onset]) <= 3.0  # before it has settled


@pytest.mark.parametrize("value", [0.6, 1.0])
def test_a_flat_mask_makes_the_remix_one_gain_for_all_samples_of_a_moment(opened, value):
    sound = np.copysign(np.float32(0.1), noise(1.0))
    sound[:, 1] = 0.5 * sound[:, 0]
    gain = through(opened(value, level="max"), sound) / sound
    np.testing.assert_allclose(gain[:, 1], gain[:, 0], atol=1e-5)
    assert np.abs(np.diff(gain[:, 0])).max() < 1e-3
    assert np.ptp(gain) > 0.01


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_without_dialog_the_sound_is_left_alone_bit_for_bit(opened, value):
    enhancer = opened(value, level="max", channels=6)
    sound = noise(1.0, 6)
    assert through(enhancer, sound).tobytes() == sound.tobytes()
    assert enhancer.record().state == "active"


@pytest.mark.parametrize(("level", "db"), [("low", 3), ("medium", 6), ("high", 9), ("max", 12)])
def test_a_level_moves_dialog_against_background_by_its_decibels(opened, level, db):
    """Two tones, one in bands taken for dialog, one not; tolerance 0.1 dB."""
    enhancer = give_mask(opened(level=level))
    n = np.arange(4 * RATE)
    tones = [0.1 * np.sin(2 * np.pi * hz * n / RATE) for hz in (500, 6000)]
    sound = np.stack([sum(tones)] * 2, 1).astype(np.float32)
    out = through(enhancer, sound)[RATE : 3 * RATE, 0]
    low, high = (abs(np.vdot(out, np.exp(2j * np.pi * hz * n[RATE : 3 * RATE] / RATE))) for hz in (500, 6000))
    assert 20 * math.log10(low / high) == pytest.approx(db, abs=0.1)


def test_the_calibration_of_the_bundle_is_applied(opened):
    enhancer = opened(level="medium", calibration=((6.0, 8.0),))
    gains = DialogControls.of_level("medium").gains(((6.0, 8.0),))
    assert enhancer._path._wanted[1] == gains
    assert 20 * math.log10(gains.dialog / gains.background) == pytest.approx(8.0)


@pytest.mark.parametrize("value", [0.0, 0.6, 1.0])
def test_programme_loudness_is_held_within_half_a_unit(opened, value):
    sound = noise(8)
    meters = LoudnessMeter(RATE, 2), LoudnessMeter(RATE, 2)
    for meter, signal in zip(meters, (sound, through(opened(value, level="high"), sound))):
        meter.add(signal)
    assert meters[1].integrated_lufs == pytest.approx(meters[0].integrated_lufs, abs=0.5)


def test_left_and_right_get_the_same_gain(opened):
    sound = noise(1.0)
    sound[:, 1] = -0.3 * sound[:, 0]
    out = through(opened(0.7, level="max"), sound)
    np.testing.assert_allclose(out[:, 1], -0.3 * out[:, 0], atol=1e-6)


def test_surrounds_and_lfe_are_background_whatever_the_mask(opened):
    sound = noise(1.5, 6)
    out = through(opened(1.0, level="max", channels=6), sound)
    gain = np.median((out / sound)[RATE // 2 :], axis=0)
    difference = 20 * np.log10(gain[0] / gain[3:])
    np.testing.assert_allclose(difference, 12.0, atol=0.05)
    np.testing.assert_allclose(gain[:3], gain[0], rtol=1e-3)


def test_the_true_peak_stays_below_the_ceiling(opened):
    sound = np.clip(noise(3.0, level=0.3), -0.89, 0.89)
    quiet_then_loud = np.concatenate([0.05 * sound[:RATE], sound])
    assert true_peak_dbtp(quiet_then_loud) > 0
    assert true_peak_dbtp(through(opened(0.8, level="max"), quiet_then_loud)) <= -0.9


def test_int16_is_float_rounded(opened):
    ints = (noise() * 32768).astype(np.int16)
    as_float = through(opened(0.7), ints.astype(np.float32) / 32768)
    assert np.array_equal(through(opened(0.7), ints), np.rint(as_float * 32768).astype(np.int16))


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 88200, 96000, 192000])
def test_other_rates_are_remixed_alike(opened, rate):
    """Two tones, dialog and background: the same change at the network's rate and at another one, no comb."""
    n = np.arange(rate * 2)
    below = (np.arange(96) < 20).astype(np.float32)  # 660 Hz
    for hz in (1500, 0.35 * min(rate, RATE)):
        tones = [0.1 * np.sin(2 * np.pi * f * n / rate) for f in (300, hz)]
        enhancer = give_mask(opened(level="max", rate_hz=rate, channels=1), below)
        out = through(enhancer, np.float32(sum(tones))[:, None])[rate // 2 : 3 * rate // 2, 0]
        at = n[rate // 2 : 3 * rate // 2]
        low, high = (abs(np.vdot(out, np.exp(2j * np.pi * f * at / rate))) for f in (300, hz))
        assert 20 * math.log10(low / high) == pytest.approx(12.0, abs=0.1)


# The stream


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_block_size_does_not_change_a_bit(opened, data):
    rate = data.draw(st.sampled_from([44100, 48000, 96000]))
    dtype = data.draw(st.sampled_from([np.float32, np.int16]))
    sound = noise(0.15, level=0.4, rate=rate)
    if dtype == np.int16:
        sound = np.clip(sound * 32768, -32768, 32767).astype(np.int16)
    sizes = data.draw(st.lists(st.one_of(st.integers(0, 40), st.integers(0, 5000)), max_size=12))
    cuts = np.minimum(np.cumsum(sizes), len(sound)) if sizes else []
    enhancer = opened(0.7, rate_hz=rate)
    parts = [enhancer.process(part) for part in np.split(sound, cuts)]
    got = np.concatenate([*parts, enhancer.flush()])
    assert got[enhancer.delay_samples :].tobytes() == through(opened(0.7, rate_hz=rate), sound).tobytes()


def test_single_samples_come_out_as_in_one_block(opened):
    sound = noise(0.06, 1)
    by_one = through(opened(0.7, channels=1), sound, block=1)
    assert by_one.tobytes() == through(opened(0.7, channels=1), sound, block=len(sound)).tobytes()


def test_mono_may_be_flat(opened):
    sound = noise(0.1, 1)
    flat, column = (through(opened(0.7, channels=1), s) for s in (sound[:, 0], sound))
    assert flat.ndim == 1
    assert np.array_equal(flat, column[:, 0])


def test_out_is_filled_and_may_be_the_block_itself(opened):
    sound = noise(0.2)
    expected = opened(0.7).process(sound)
    out = np.empty_like(sound)
    assert opened(0.7).process(sound, out) is out
    assert np.array_equal(out, expected)
    block = sound.copy()
    opened(0.7).process(block, out=block)
    assert np.array_equal(block, expected)


@pytest.mark.parametrize("level", ["off", "max"])
def test_after_reset_and_flush_the_stream_begins_anew(opened, level):
    enhancer = opened(0.7, level=level)
    first = through(enhancer, noise())
    assert np.array_equal(through(enhancer, noise()), first)
    enhancer.process(noise(0.1))
    enhancer.reset()
    assert np.array_equal(through(enhancer, noise()), first)


def test_a_flush_of_nothing_is_silence_as_long_as_the_delay(opened):
    tail = opened().flush()
    assert tail.shape == (1536, 2)
    assert not tail.any()


def test_controls_change_without_a_click_and_off_is_exact_soon(opened):
    """No second difference beyond that of the tone itself at its loudest, and 5 % more."""
    n = np.arange(4 * RATE)
    tone = np.stack([0.1 * np.sin(2 * np.pi * 300 * n / RATE)] * 2, 1).astype(np.float32)
    enhancer = opened(0.9, level="off")
    parts = []
    changes = ["max", "off", "low", "high", "off"]
    for i, level in enumerate(changes):
        parts.append(enhancer.process(tone[i * RATE // 2 : (i + 1) * RATE // 2]))
        enhancer.set(level=level)
    parts.append(enhancer.process(tone[len(changes) * RATE // 2 :]))
    out = np.concatenate([*parts, enhancer.flush()])[enhancer.delay_samples :]
    curvature = np.abs(np.diff(tone, 2, axis=0)).max()
    assert np.abs(np.diff(out, 2, axis=0)).max() <= 1.05 * curvature * np.abs(out).max() / 0.1
    assert np.abs(out - tone)[RATE : 2 * RATE].max() > 1e-3
    after = len(changes) * RATE // 2 + round(0.1 * RATE)
    assert np.array_equal(out[after:], tone[after:])


def test_a_change_of_controls_falls_on_the_same_sample_whatever_the_block_size(opened):
    def run(block: int) -> np.ndarray:
        enhancer, sound, parts = opened(0.7, level="off"), noise(0.4), []
        for start in (0, 9000):
            piece = sound[start : start + 9000]
            parts += [enhancer.process(piece[i : i + block]) for i in range(0, len(piece), block)]
            enhancer.set(dialog_gain_db=2.0, background_atten_db=10.0)
        return np.concatenate(parts)

    assert np.array_equal(run(100), run(9000))


def test_partial_controls_keep_the_others(opened):
    enhancer = opened(level="low")
    enhancer.set(strength=0.5)
    enhancer.set(background_atten_db=10.0)
    assert enhancer.controls == DialogControls(1.5, 10.0, 0.5)
    enhancer.set(level="high")
    assert enhancer.controls == DialogControls.of_level("high", 0.5)
    with pytest.raises(OptionError, match="not both"):
        enhancer.set(level="low", dialog_gain_db=1.0)
    assert enhancer.controls == DialogControls.of_level("high", 0.5)


# Awkward sound


@pytest.mark.parametrize("level", ["off", "max"])
def test_silence_in_is_silence_out(opened, level):
    sound = noise(0.3)
    sound[5000:] = 0.0
    out = through(opened(0.7, level=level), sound)
    assert not out[5000 + 2 * HOP :].any()
    assert not through(opened(0.7, level=level), np.zeros((9000, 2), np.float32)).any()


def test_samples_that_are_not_finite_become_zero_and_poison_nothing(opened):
    sound = noise(1.0)
    bad = sound.copy()
    bad[10000:10003, 0] = [np.nan, np.inf, -np.inf]
    clean = sound.copy()
    clean[10000:10003, 0] = 0.0
    enhancer = opened(0.7, level="max")
    assert np.array_equal(through(enhancer, bad), through(opened(0.7, level="max"), clean))
    assert "DE.E_NOT_FINITE" in enhancer.record().errors
    assert np.array_equal(through(opened(level="off"), bad), clean)


@pytest.mark.parametrize("value", [1.0, 1e30, 1e-40])
def test_clipped_huge_and_tiny_constants_pass(opened, value):
    sound = np.full((RATE // 2, 2), value, np.float32)
    sound[::3] *= -1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = through(opened(0.7, level="max"), sound)
    assert np.isfinite(out).all()
    enhancer = opened(0.7, level="max")
    enhancer.process(sound)
    after = enhancer.process(noise(2.0))
    assert np.isfinite(after).all()


# Faults


@pytest.mark.parametrize(
    ("script", "code"), [({"fail_at": [30]}, "DE.E_ENGINE"), ({"nan_at": [30]}, "DE.E_OUTPUT")]
)
def test_a_faulty_hop_is_dry_and_the_stream_goes_on(opened, script, code):
    """Call 30 is the frame whose middle is the border of the 29th and the 30th hop."""
    sound = noise(1.0) + np.float32(0.2 * np.sin(np.arange(RATE) / 25))[:, None]  # a voice of 300 Hz
    enhancer = give_mask(opened(1.0, level="max", script=script))
    change = np.abs(through(enhancer, sound) - sound).max(1)
    record = enhancer.record()
    assert code in record.errors
    assert record.frames_bypassed == 1
    assert record.frames_in == record.frames_enhanced + 1
    before, at, after = (change[n * HOP - 20 : n * HOP + 20].max() for n in (28, 29, 30))
    assert at < 0.1 * min(before, after)


def test_a_mask_out_of_range_is_not_used(opened):
    enhancer = opened(1.5, level="max")
    assert through(enhancer, noise()).tobytes() == noise().tobytes()
    assert "DE.E_OUTPUT" in enhancer.record().errors


def test_an_engine_that_never_works_leaves_the_sound_dry_and_rests(opened):
    sound = noise(1.0)
    enhancer = opened(0.0, level="max", script={"fail_every": 1})
    assert through(enhancer, sound).tobytes() == sound.tobytes()
    record = enhancer.record()
    assert record.state == "bypass"
    assert "resting after 5 faults" in record.state_reason
    assert record.frames_enhanced == 0


def test_a_rest_ends_when_the_engine_works_again(opened):
    enhancer = opened(0.0, level="max", script={"fail_at": [1, 2, 3, 4, 5]})
    through(enhancer, noise(4.0))
    record = enhancer.record()
    assert record.state == "active"
    assert record.frames_enhanced > 20


def test_a_late_hop_is_dry_and_said_to_be_late(opened):
    """The engine hangs in its second call until it is closed; every hop from then on is dry."""
    sound = noise(0.5)
    enhancer = opened(0.0, level="max", deadline_ms=200.0, script={"hang_at": [2]})
    out = through(enhancer, sound)
    record = enhancer.record()
    assert record.frames_late == record.frames_bypassed > 20
    assert "DE.E_DEADLINE" in record.errors
    assert record.state == "bypass"
    assert np.array_equal(out[6 * HOP :], sound[6 * HOP :])
    enhancer.close()


def test_a_deadline_that_is_kept_changes_nothing(opened):
    timed = opened(0.7, level="max", deadline_ms=5000.0)
    assert np.array_equal(through(timed, noise()), through(opened(0.7, level="max"), noise()))
    timed.close()


def test_while_the_model_loads_sound_is_dry(opened, monkeypatch):
    from lumavox import _dialog_network

    gate, open_session = threading.Event(), _dialog_network.Session.open

    def slow(*args, **kwargs):
        gate.wait(10)
        return open_session(*args, **kwargs)

    monkeypatch.setattr(_dialog_network.Session, "open", slow)
    enhancer = opened(0.7, level="max", background=True)
    assert not enhancer.ready()
    assert enhancer.record().state == "warming"
    assert through(enhancer, noise()).tobytes() == noise().tobytes()
    gate.set()
    assert enhancer.wait(10)
    assert through(enhancer, noise()).tobytes() != noise().tobytes()
    assert enhancer.record().state == "active"
    assert enhancer.backend == "virtual"


def test_a_model_that_cannot_be_loaded_raises_or_in_the_background_stays_dry(opened):
    script = {"fail_open": True}
    with pytest.raises(BackendError):
        opened(script=script)
    enhancer = opened(script=script, background=True, level="max")
    assert not enhancer.wait(10)
    assert through(enhancer, noise()).tobytes() == noise().tobytes()
    record = enhancer.record()
    assert (record.state, record.errors) == ("failed", ("DE.E_LOAD",))
    assert "scripted fault" in enhancer.reason


# Wrong use


@pytest.mark.parametrize(("rate", "channels"), [(7000, 2), (384000, 2), (48000, 0), (48000, 9)])
def test_formats_that_cannot_be_handled_are_refused(opened, rate, channels):
    with pytest.raises(AudioError, match="cannot be handled"):
        opened(rate_hz=rate, channels=channels)


@pytest.mark.parametrize(
    "block",
    [
        np.zeros((10, 3), np.float32),
        np.zeros(10, np.float32),
        np.zeros((2, 10, 2), np.float32),
        np.zeros((10, 2)),
        np.zeros((10, 2), np.int32),
        [[0.0, 0.0]],
    ],
)
def test_blocks_of_another_form_are_refused_and_the_stream_goes_on(opened, block):
    enhancer = opened(level="off")
    first = enhancer.process(noise(0.1))
    with pytest.raises(AudioError, match="was given"):
        enhancer.process(block)
    rest = enhancer.process(noise(0.1))
    assert np.concatenate([first, rest])[1536:].shape == (2 * 4800 - 1536, 2)


def test_a_change_of_dtype_in_a_stream_is_refused_and_allowed_after_a_reset(opened):
    enhancer = opened()
    enhancer.process(noise(0.1))
    with pytest.raises(AudioError, match="int16 was given in a stream of float32"):
        enhancer.process(np.zeros((10, 2), np.int16))
    enhancer.reset()
    assert enhancer.process(np.zeros((10, 2), np.int16)).dtype == np.int16


@pytest.mark.parametrize("out", [np.zeros((9, 2), np.float32), np.zeros((10, 2), np.int16), "out"])
def test_an_out_that_does_not_fit_is_refused(opened, out):
    with pytest.raises(AudioError, match="it must be float32"):
        opened().process(np.zeros((10, 2), np.float32), out)


def test_an_empty_block_gives_an_empty_block(opened):
    assert opened().process(np.zeros((0, 2), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(
    "options", [{"level": "loud"}, {"deadline_ms": 0}, {"backend": "nonesuch"}, {"level": 40}]
)
def test_unknown_options_are_refused(opened, options):
    with pytest.raises(OptionError):
        opened(**options)


def test_a_closed_enhancer_says_so_and_may_be_closed_again(opened):
    with opened() as enhancer:
        enhancer.process(noise(0.1))
    enhancer.close()
    assert enhancer.record().state == "off"
    with pytest.raises(AudioError, match="closed"):
        enhancer.process(noise(0.1))


def test_a_front_end_with_an_unknown_key_is_refused_and_the_nearest_named(tmp_path: Path):
    path = bundles.de_bundle(tmp_path, front_end={"linear_band": 48}, model={"op": "mask"})
    with pytest.raises(BundleFormatError, match="linear_bands"):
        DialogEnhancer.open(path, trusted_keys=bundles.trusted())
