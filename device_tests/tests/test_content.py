"""Marks in picture and sound survive what enhancement does to them, and tell what was lost."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox_matrix.runner.looks import fault_of
from lumavox_matrix.runner.picture_marks import Picture, read
from lumavox_matrix.runner.sequence import judge
from lumavox_matrix.runner.sound_marks import locate, noise

FILTERS = {"nearest": cv2.INTER_NEAREST, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
SIZES = st.tuples(st.integers(64, 500), st.integers(48, 300))


def enlarged(luma: np.ndarray, scale: float, how: int) -> np.ndarray:
    height, width = luma.shape
    return cv2.resize(luma, (round(width * scale), round(height * scale)), interpolation=how)


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 2**24 - 1),
    size=SIZES,
    scale=st.sampled_from([1.0, 1.5, 2.0, 3.0]),
    how=st.sampled_from(sorted(FILTERS)),
)
def test_a_number_is_read_from_a_picture_of_any_size_enlarged_by_any_filter(number, size, scale, how):
    picture = Picture(*size)
    marks = read(enlarged(picture.luma(number), scale, FILTERS[how]))
    assert marks.number == number
    assert not marks.torn


@settings(max_examples=30, deadline=None)
@given(number=st.integers(0, 2**24 - 1), seed=st.integers(0, 100), sigma=st.floats(0, 12))
def test_noise_and_blur_and_ten_bits_leave_the_number_readable(number, seed, sigma):
    luma = cv2.GaussianBlur(enlarged(Picture(96, 64).luma(number), 2, cv2.INTER_CUBIC), (0, 0), 1.2)
    noisy = luma + np.random.default_rng(seed).normal(0, sigma, luma.shape)
    eight = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    assert read(eight).number == number
    assert read(eight.astype(np.uint16) * 4).number == number


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_pictures_have_no_number(data):
    seed = data.draw(st.integers(0, 10_000))
    plane = np.random.default_rng(seed).integers(0, 256, (64, 96)).astype(np.uint8)
    assert read(plane).number is None  # two CRCs of 8 bits and equal numbers: chance 1 in 10**11


def test_a_picture_of_two_frames_is_torn_and_black_or_tiny_ones_are_unreadable():
    picture = Picture(96, 64)
    mixed = picture.luma(3)
    mixed[32:] = picture.luma(4)[32:]
    assert (read(mixed).top, read(mixed).bottom) == (3, 4)
    assert read(mixed).torn
    for plane in (np.zeros((64, 96), np.uint8), np.full((64, 96), 200, np.uint8), np.zeros((4, 4), np.uint8)):
        assert read(plane).number is None
    with pytest.raises(OptionError, match="at least 64x48"):
        Picture(32, 32)


@pytest.mark.parametrize("scale", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("how", FILTERS)
def test_an_enlarged_picture_looks_right_with_every_filter(scale, how):
    for number in (0, 14, 15, 77):
        luma = Picture(96, 64).luma(number)
        assert fault_of(luma, enlarged(luma, scale, FILTERS[how])) is None


def test_what_broken_engines_make_is_told_by_name():
    luma = Picture(96, 64).luma(5)
    good = enlarged(luma, 2, cv2.INTER_CUBIC)
    seam = good.astype(int)
    seam[:, good.shape[1] // 2 :] += 12
    across = good.astype(int)
    across[good.shape[0] // 2 :] += 12
    wrapped = (good.astype(int) + 100) % 256
    expected = {
        "black": np.zeros_like(good),
        "constant": np.full_like(good, 255),
        "inverted": 255 - good,
        "wrapped": wrapped,
        "wrong": np.clip(good.astype(int) + 60, 0, 255),
        "seam": np.clip(seam, 0, 255),
    }
    assert {name: fault_of(luma, plane.astype(np.uint8)) for name, plane in expected.items()} == {
        name: name for name in expected
    }
    assert fault_of(luma, np.clip(across, 0, 255).astype(np.uint8)) == "seam"


def test_the_noise_of_a_sample_does_not_depend_on_the_block_it_is_asked_in():
    whole = noise(0, 5000)
    assert np.array_equal(whole, np.concatenate([noise(0, 1), noise(1, 1999), noise(2000, 3000)]))
    assert abs(float(whole.mean())) < 0.01
    assert float(np.abs(whole).max()) <= 0.1


@settings(max_examples=25, deadline=None)
@given(
    delay=st.integers(0, 4000),
    lag=st.integers(-600, 8000),
    gain=st.floats(0.2, 3.0),
    rate=st.sampled_from([44_100, 48_000]),
)
def test_every_piece_of_sound_is_found_at_its_lag(delay, lag, gain, rate):
    piece = round(0.02 * rate)
    sound = noise(0, 30 * piece) * np.float32(gain)
    heard = np.concatenate([np.zeros(max(0, delay + lag), np.float32), sound])[max(0, -delay - lag) :]
    places = locate(np.concatenate([heard, np.zeros(rate, np.float32)]), rate_hz=rate, delay=delay, pieces=30)
    late = 2 if delay + lag < 0 else 0  # the first ones were cut off
    assert [place.lag for place in places[late:]] == [lag] * (30 - late)


def test_lost_and_repeated_pieces_of_sound_are_told():
    sound = noise(0, 40 * 960)
    lost = sound.copy()
    lost[10 * 960 : 12 * 960] = 0
    lags = [place.lag for place in locate(lost, rate_hz=48_000, pieces=40)]
    assert [k for k, lag in enumerate(lags) if lag is None] == [10, 11]
    repeated = sound.copy()
    repeated[20 * 960 : 21 * 960] = sound[19 * 960 : 20 * 960]
    places = locate(repeated, rate_hz=48_000, pieces=40)
    assert places[20].lag is None
    assert places[19].echo > 0.7


def test_sound_survives_a_filter_and_noise():
    sound = noise(0, 50 * 960)
    smooth = np.convolve(sound, [0.25, 0.5, 0.25], "same")
    heard = smooth + np.random.default_rng(0).normal(0, 0.02, len(sound))
    places = locate(heard.astype(np.float32), rate_hz=48_000, pieces=50)
    assert all(place.lag == 0 for place in places)


@given(st.lists(st.none() | st.integers(0, 30), max_size=30))
def test_any_series_of_numbers_is_judged_and_every_position_has_a_letter(numbers):
    seen = judge(numbers, frames=30)
    assert len(seen.strip) == len(numbers)
    assert set(seen.missing) == set(range(30)) - set(numbers)
    assert seen.missing_in("start") + seen.missing_in("middle") + seen.missing_in("end") == len(seen.missing)


@given(frames=st.integers(8, 200), delay=st.integers(0, 5))
def test_a_series_in_order_is_right_whatever_its_delay(frames, delay):
    numbers = [None] * delay + list(range(frames))
    seen = judge(numbers, frames, delay)
    assert seen.strip == " " * delay + "." * frames
    assert not (seen.missing or seen.duplicates or seen.reordered or seen.unreadable or seen.unexpected)


def test_what_is_wrong_with_a_series_has_its_letter():
    assert judge([0, 1, 1, 3, 2, None, 99, 7], frames=8).strip == "..D.R?X."
    assert judge([0, 2, 2, 3], frames=4).strip == ".JD."
