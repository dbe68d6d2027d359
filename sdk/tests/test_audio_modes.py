"""`DialogEnhancer` beyond the level: stems, speech, confidence, adaptive and night mode, hearing, layouts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enhancers import (
    HOP,
    LOW_BANDS,
    RATE,
    Opener,
    amplitude,
    energy_db,
    give_mask,
    noise,
    opener,
    through,
    tone,
)
from lumavox.audio import DialogEnhancer, HearingProfile, Stems
from lumavox.errors import AudioError, OptionError
from lumavox.loudness import LoudnessMeter

VOICE_HZ, MUSIC_HZ = 500, 6000  # on either side of the 60th band


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    return opener(tmp_path_factory)


def voice_and_music(seconds: float, voice: float = 0.1, music: float = 0.1, channels: int = 2) -> np.ndarray:
    mono = tone(VOICE_HZ, seconds, voice) + tone(MUSIC_HZ, seconds, music)
    return np.repeat(mono[:, None], channels, 1)


def changes_db(out: np.ndarray, sound: np.ndarray, start_s: float, stop_s: float) -> tuple[float, float]:
    """Gain of voice and of music between two times, first channel."""
    span = slice(round(start_s * RATE), round(stop_s * RATE))
    return tuple(
        20 * math.log10(amplitude(out[span, 0], hz) / amplitude(sound[span, 0], hz))
        for hz in (VOICE_HZ, MUSIC_HZ)
    )


def all_stems(enhancer: DialogEnhancer, sound: np.ndarray, sizes: list[int]) -> Stems:
    cuts = np.minimum(np.cumsum(sizes), len(sound)) if sizes else []
    parts = [enhancer.process_stems(part) for part in np.split(sound, cuts)] + [enhancer.flush_stems()]
    late = enhancer.delay_samples
    names = ("remix", "dialog", "background")
    return Stems(*(np.concatenate([getattr(p, name) for p in parts])[late:] for name in names))


# Stems


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (48000, 2), (44100, 2), (48000, 6)])
def test_dialog_and_background_add_up_to_the_dry_sound(opened, dtype, rate, channels):
    sound = noise(0.6, channels, 0.2, rate)
    if dtype == np.int16:
        sound = np.clip(sound * 32768, -32768, 32767).astype(np.int16)
    stems = all_stems(opened(0.7, rate_hz=rate, channels=channels, stems=True), sound, [999] * 20)
    both = stems.dialog.astype(np.float64) + stems.background.astype(np.float64)
    np.testing.assert_allclose(both, sound, atol=0 if dtype == np.int16 else 1e-6)
    assert stems.dialog.dtype == sound.dtype
    assert np.abs(stems.dialog).max() > 0


def test_the_stems_are_what_the_mask_says_and_lie_in_time_with_the_remix(opened):
    sound = voice_and_music(1.5)
    stems = all_stems(give_mask(opened(level="off", stems=True)), sound, [4096] * 20)
    assert stems.remix.tobytes() == sound.tobytes()
    middle = slice(RATE // 2, RATE)
    expected = np.repeat(tone(VOICE_HZ, 1.5)[:, None], 2, 1)
    np.testing.assert_allclose(stems.dialog[middle], expected[middle], atol=2e-3)


def test_the_remix_beside_stems_is_the_remix_without_them(opened):
    sound = noise(0.8)
    alone = through(opened(0.7, level="max"), sound)
    assert np.array_equal(all_stems(opened(0.7, level="max", stems=True), sound, [700] * 9).remix, alone)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_block_size_does_not_change_a_bit_of_the_stems(opened, data):
    rate = data.draw(st.sampled_from([44100, 48000]))
    sound = noise(0.15, level=0.3, rate=rate)
    sizes = data.draw(st.lists(st.integers(0, 3000), max_size=8))
    got, whole = (all_stems(opened(0.7, rate_hz=rate, stems=True), sound, s) for s in (sizes, [len(sound)]))
    for name in ("remix", "dialog", "background"):
        assert getattr(got, name).tobytes() == getattr(whole, name).tobytes()


def test_stems_have_to_be_asked_for(opened):
    with pytest.raises(AudioError, match="stems=True"):
        opened().process_stems(noise())


def test_without_a_mask_all_is_background(opened):
    stems = all_stems(opened(script={"fail_every": 1}, stems=True), noise(), [])
    assert not stems.dialog.any()
    assert stems.background.tobytes() == noise().tobytes()


# Speech


def speaking(*spans: tuple[float, float]):
    """A mask by frame number: all dialog within ``spans`` in seconds, else none."""

    def mask(number: int) -> np.ndarray:
        at = number * HOP / RATE
        return np.full(96, float(any(a <= at < b for a, b in spans)), np.float32)

    return mask


@pytest.mark.parametrize("rate", [44100, 48000])
def test_spans_of_speech_are_told_in_samples_of_the_input(opened, rate):
    """Both ends within 150 ms; a pause of 0.4 s belongs to the speech, one of 1.5 s does not."""
    spans = ((0.5, 1.5), (1.9, 2.5), (4.0, 5.0))
    enhancer = give_mask(opened(rate_hz=rate), speaking(*spans))
    through(enhancer, noise(6.0, rate=rate))
    found = np.array(enhancer.speech_spans()) / rate
    np.testing.assert_allclose(found, [(0.5, 2.5), (4.0, 5.0)], atol=0.15)
    assert enhancer.speech_spans() == []


def test_the_end_of_the_stream_ends_the_last_span(opened):
    enhancer = opened(1.0)
    through(enhancer, noise(1.0))
    ((start, end),) = enhancer.speech_spans()
    assert start < 0.1 * RATE
    assert end == pytest.approx(RATE, abs=2 * HOP)


def test_the_difference_of_dialog_and_background_is_measured(opened):
    """Oracle: K-weighted loudness of the two tones, meter of the whole signals; 0.3 LU."""
    enhancer = give_mask(opened(level="off", stems=True))
    enhancer.process(voice_and_music(4.0, voice=0.1, music=0.05))
    meters = []
    for part in (tone(VOICE_HZ, 4.0, 0.1), tone(MUSIC_HZ, 4.0, 0.05)):
        meters.append(LoudnessMeter(RATE, 2))
        meters[-1].add(np.repeat(part[:, None], 2, 1))
    wanted = meters[0].integrated_lufs - meters[1].integrated_lufs
    assert enhancer.speech.difference_lu == pytest.approx(wanted, abs=0.3)
    assert enhancer.speech.active
    assert enhancer.speech.confidence == pytest.approx(1.0, abs=0.05)


# Confidence


def test_a_doubtful_mask_leaves_the_sound_nearly_dry(opened):
    """Mask 0.5 where dialog is: its expected error is as large as the dialog (confidence 1/3)."""
    sound = voice_and_music(3.0, voice=0.2, music=0.05)
    doubtful, sure = (
        through(give_mask(opened(level="max"), value * LOW_BANDS), sound) for value in (0.5, 0.95)
    )
    music = [changes_db(out, sound, 1.0, 3.0) for out in (doubtful, sure)]
    assert music[0][0] - music[0][1] < 2.5
    assert music[1][0] - music[1][1] > 11.0


def test_a_network_that_loses_the_dialog_gives_the_dry_sound_back_smoothly(opened):
    """Dialog is known for 3 s, then the network says "all background" although nothing has changed."""
    sound = voice_and_music(7.0)
    lost = lambda number: LOW_BANDS if number * HOP < 3 * RATE else np.zeros(96, np.float32)  # noqa: E731
    out = through(give_mask(opened(level="max"), lost), sound)
    assert np.array_equal(out[5 * RATE :], sound[5 * RATE :])
    step = np.abs(np.diff(out, axis=0)).max() / np.abs(np.diff(sound, axis=0)).max()
    assert step < 1.5


# Do no harm


def test_a_short_false_alarm_changes_little(opened):
    """45 ms of "dialog" in music: not long enough to begin."""
    sound = noise(3.0)
    out = through(give_mask(opened(level="max"), speaking((1.0, 1.045))), sound)
    assert out.tobytes() == sound.tobytes()


@pytest.mark.parametrize("gain_db", [-20.0, 20.0])
def test_the_remix_does_not_depend_on_the_level_of_the_sound(opened, gain_db):
    """Oracle: the remix of the sound, scaled. -60 dB; far from the limiter."""
    sound = voice_and_music(2.0, 0.03, 0.03)
    gain = np.float32(10 ** (gain_db / 20))
    plain, scaled = (through(give_mask(opened(level="max")), s) for s in (sound, sound * gain))
    assert energy_db(scaled / gain - plain) < energy_db(plain) - 60


def test_music_after_dialog_comes_back_to_exactly_dry(opened):
    sound = noise(5.0)
    out = through(give_mask(opened(level="max", channels=2), speaking((0.0, 2.0))), sound)
    assert np.array_equal(out[4 * RATE :], sound[4 * RATE :])
    assert not np.array_equal(out[RATE : 2 * RATE], sound[RATE : 2 * RATE])


# Adaptive mode


def test_adaptive_mode_does_nothing_where_dialog_is_clear(opened):
    sound = voice_and_music(4.0, voice=0.1, music=0.005)  # some 22 LU apart
    out = through(give_mask(opened(level="max", adaptive=True)), sound)
    np.testing.assert_allclose(out[RATE:], sound[RATE:], atol=2e-4)


def test_adaptive_mode_adds_what_is_missing_and_no_more(opened):
    """10 LU wanted; the level would give 12."""
    enhancer = give_mask(opened(level="max", adaptive=10.0))
    sound = voice_and_music(6.0, voice=0.1, music=0.03)
    out = through(enhancer, sound)
    enhancer.process(sound)
    voice, music = changes_db(out, sound, 4.0, 6.0)
    missing = 10.0 - enhancer.speech.difference_lu
    assert 0 < missing < 12
    assert voice - music == pytest.approx(missing, abs=0.3)


def test_adaptive_mode_never_exceeds_the_level(opened):
    sound = voice_and_music(4.0, voice=0.1, music=0.1)
    out = through(give_mask(opened(level="low", adaptive=30.0)), sound)
    voice, music = changes_db(out, sound, 2.0, 4.0)
    assert voice - music == pytest.approx(3.0, abs=0.1)


# Night mode


def test_night_mode_brings_loud_background_down_and_holds_dialog(opened):
    """Quiet dialog, then an explosion 20 dB above it: at least 10 dB less, dialog within half a decibel."""
    voice = np.repeat(tone(VOICE_HZ, 6.0, 0.03)[:, None], 2, 1)
    blast = np.zeros_like(voice)
    blast[3 * RATE : 5 * RATE] = 0.3 * np.repeat(tone(MUSIC_HZ, 2.0, 1.0)[:, None], 2, 1)
    sound = voice + blast
    out = through(give_mask(opened(level="off", night=True)), sound)
    before, _ = changes_db(out, sound + 1e-9 * noise(6.0), 1.0, 3.0)
    during, music = changes_db(out, sound, 3.5, 4.9)
    assert before == pytest.approx(0.0, abs=0.1)
    assert during == pytest.approx(0.0, abs=0.5)
    assert music < -10.0


def test_night_mode_reduces_the_loudness_range(opened):
    """Dialog and blasts in turn; EBU Tech 3342 falls by at least a third."""
    sound = np.concatenate(
        [np.repeat(tone(hz, 4.0, level)[:, None], 2, 1) for hz, level in [(500, 0.1), (6000, 0.3)] * 2]
    )
    mask = lambda number: LOW_BANDS * float(number * HOP // RATE % 8 < 4)  # noqa: E731
    meters = [LoudnessMeter(RATE, 2) for _ in range(2)]
    for meter, signal in zip(
        meters, (sound, through(give_mask(opened(level="off", night=True), mask), sound))
    ):
        meter.add(signal)
    assert meters[1].loudness_range_lu < meters[0].loudness_range_lu / 1.5


def test_night_mode_leaves_quiet_scenes_alone(opened):
    sound = voice_and_music(2.0, voice=0.1, music=0.01)
    out = through(give_mask(opened(level="off", night=True)), sound)
    assert np.array_equal(out[RATE:], sound[RATE:])


def test_night_mode_off_again_is_exactly_dry(opened):
    sound = noise(4.0, level=0.3)
    enhancer = opened(0.0, level="off", night=True)
    enhancer.process(sound[:RATE])
    enhancer.set(night=False)
    out = enhancer.process(sound[RATE:])
    late = enhancer.delay_samples
    assert np.array_equal(out[2 * RATE :], sound[3 * RATE - late : -late])


# Hearing profile


def test_a_hearing_profile_gives_the_dialog_the_prescribed_gain_and_the_background_none(opened):
    profile = HearingProfile.parse("N3")
    sound = voice_and_music(2.0, 0.01, 0.01)
    out = through(give_mask(opened(level="off", hearing=profile)), sound)
    voice, music = changes_db(out, sound, 1.0, 2.0)
    assert voice == pytest.approx(profile.gain_db(VOICE_HZ), abs=0.2)
    assert music == pytest.approx(0.0, abs=0.1)


def test_a_hearing_profile_can_be_taken_off(opened):
    enhancer = opened(level="off", hearing="N2")
    enhancer.set(hearing=HearingProfile())
    enhancer.reset()
    assert through(enhancer, noise()).tobytes() == noise().tobytes()


# Layouts


def film(seconds: float, centre: float, sides: float) -> np.ndarray:
    """5.1 with the voice in the centre and sides at these levels, and music left, right and around."""
    sound = np.zeros((round(seconds * RATE), 6), np.float32)
    music = np.stack([tone(hz, seconds, 0.02) for hz in (6000, 5900, 6100, 6200)], 1)
    sound[:, [0, 1, 4, 5]] = music
    sound[:, 2] += tone(VOICE_HZ, seconds, centre)
    sound[:, :2] += tone(VOICE_HZ, seconds, sides)[:, None]
    return sound


def test_in_a_film_the_centre_is_enhanced_and_the_others_are_ducked(opened):
    """After the dialog was found in the centre, left and right get what the surrounds get."""
    sound = film(4.0, centre=0.1, sides=0.0)
    out = through(give_mask(opened(level="max", channels=6)), sound)
    late = slice(2 * RATE, 4 * RATE)
    gains = [energy_db(out[late, c]) - energy_db(sound[late, c]) for c in (0, 1, 2, 4)]
    assert gains[0] == pytest.approx(gains[3], abs=0.1)
    assert gains[1] == pytest.approx(gains[3], abs=0.1)
    assert gains[2] - gains[3] == pytest.approx(12.0, abs=0.2)


def test_a_film_without_dialog_in_the_centre_is_enhanced_left_and_right(opened):
    sound = film(4.0, centre=0.0, sides=0.1)
    out = through(give_mask(opened(level="max", channels=6)), sound)
    voice, music = changes_db(out, sound, 2.0, 4.0)
    assert voice - music == pytest.approx(12.0, abs=0.2)


def test_dialog_that_leaves_the_centre_is_found_left_and_right(opened):
    sound = np.concatenate([film(3.0, 0.1, 0.0), film(5.0, 0.0, 0.0), film(6.0, 0.0, 0.1)])
    mask = lambda number: LOW_BANDS * float(not 3 <= number * HOP / RATE < 8)  # noqa: E731
    out = through(give_mask(opened(level="max", channels=6), mask), sound)
    voice, music = changes_db(out, sound, 10.0, 12.0)
    assert voice - music == pytest.approx(12.0, abs=0.2)


def test_wide_music_is_lowered_also_in_bands_that_the_mask_gives_to_dialog(opened):
    """A voice in the middle, music only in the side signal: the mask, of the mid signal, is all dialog."""
    voice, music = tone(VOICE_HZ, 4.0), tone(1000, 4.0, 0.02)
    sound = np.stack([voice + music, voice - music], 1)
    out = through(opened(1.0, level="max"), sound)[2 * RATE :, 0]
    change = [20 * math.log10(amplitude(out, hz) / was) for hz, was in ((VOICE_HZ, 0.1), (1000, 0.02))]
    assert change[0] - change[1] > 9.0


def test_a_voice_on_one_side_is_not_taken_for_wide_music(opened):
    sound = np.stack([tone(VOICE_HZ, 4.0), np.zeros(4 * RATE, np.float32)], 1)
    stems = all_stems(opened(1.0, level="max", stems=True), sound, [4096] * 50)
    assert energy_db(stems.dialog[2 * RATE :, 0]) == pytest.approx(energy_db(sound[:, 0]), abs=0.2)


def test_the_ceiling_is_the_one_asked_for(opened):
    from lumavox.loudness import true_peak_dbtp

    sound = np.concatenate([noise(1.0, level=0.02), np.clip(noise(2.0, level=0.3), -0.8, 0.8)])
    out = through(opened(0.9, level="max", ceiling_dbtp=-2.0), sound)
    assert true_peak_dbtp(out) <= -1.9


# Clicks


@pytest.mark.parametrize("hz", [60, 300, 2000])
def test_no_change_of_mode_fault_or_seek_makes_a_step_beyond_the_sound_s_own(opened, hz):
    """Largest sample step over the loudest gain, against the dry tone's: at most 5 % more."""
    script = {"fail_at": [70, 71, 72, 150], "nan_at": [200]}
    sound = np.repeat(tone(hz, 6.0)[:, None], 2, 1)
    enhancer = opened(0.9, level="off", script=script)
    changes = [
        {"level": "max"}, {"night": True}, {"level": "off"}, {"adaptive": True, "level": "high"},
        {"night": False}, {"strength": 0.3}, {"hearing": "N2"}, {"hearing": HearingProfile()},
        {"strength": 0.0},
    ]  # fmt: skip
    parts = []
    for n in range(12):
        parts.append(enhancer.process(sound[n * RATE // 2 : (n + 1) * RATE // 2]))
        if n < len(changes):
            enhancer.set(**changes[n])
    out = np.concatenate([*parts, enhancer.flush()])[enhancer.delay_samples :]
    loudest = np.abs(out).max() / np.abs(sound).max()
    own = np.abs(np.diff(sound, axis=0)).max()
    assert np.abs(np.diff(out, axis=0)).max() <= 1.05 * own * max(1.0, loudest)


def test_after_a_seek_the_sound_begins_dry(opened):
    enhancer = opened(0.9, level="max")
    sound = noise(1.0)
    enhancer.process(sound)
    enhancer.reset()
    out = enhancer.process(sound)
    early = slice(enhancer.delay_samples, enhancer.delay_samples + 3 * HOP)
    assert np.array_equal(out[early], sound[: 3 * HOP])
    assert not out[: enhancer.delay_samples].any()


# A long stream


@pytest.mark.slow
def test_an_hour_of_stream_neither_drifts_nor_degenerates(opened):
    """The same 6 s, 400 hops, again and again: the last pass is as the tenth; no denormals, silence is 0."""
    sound = voice_and_music(6.0)
    sound[round(3.5 * RATE) : 5 * RATE] = 0.0
    enhancer = give_mask(opened(level="high", night=True, adaptive=True))
    tenth = [enhancer.process(sound) for _ in range(10)][-1]
    for _ in range(590):
        last = enhancer.process(sound)
    np.testing.assert_allclose(last, tenth, atol=2e-3)
    size = np.abs(last)
    assert not ((size > 0) & (size < np.finfo(np.float32).tiny)).any()
    assert not last[4 * RATE : round(4.9 * RATE)].any()


# Wrong use


@pytest.mark.parametrize(
    "options",
    [{"adaptive": 31.0}, {"hearing": "N9"}, {"hold": "program"}, {"ceiling_dbtp": 1.0}, {"adaptive": -1.0}],
)
def test_impossible_modes_are_refused(opened, options):
    with pytest.raises(OptionError):
        opened(**options)
