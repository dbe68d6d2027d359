"""Resampling: the antialiased reduction that the literature measures with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox_export.resize import resize, to_luma


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.sampled_from(["bicubic", "lanczos", "area"]))
def test_a_flat_picture_stays_flat_at_every_size_and_kernel(height: int, width: int, kernel: str) -> None:
    out = resize(np.full((17, 23), 99.0), (height, width), kernel)
    assert out.shape == (height, width)
    assert np.abs(out - 99).max() < 1e-3


def test_area_reduction_by_two_is_the_mean_of_four_pixels() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (8, 12)).astype(float)
    oracle = picture.reshape(4, 2, 6, 2).mean((1, 3))
    assert np.abs(resize(picture, (4, 6), "area") - oracle).max() < 1e-3


def test_bicubic_reduction_by_two_has_the_weights_of_the_stretched_keys_kernel() -> None:
    """An impulse at 16: taps of imresize(x, 0.5) are cubic(d / 2) / 2 at d = 0.5, 1.5, ... input pixels."""

    def cubic(x: float) -> float:
        x = abs(x)
        return (
            1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
        )

    signal = np.zeros((1, 32))
    signal[0, 16] = 1.0
    out = resize(signal, (1, 16))
    oracle = [cubic((2 * i + 0.5 - 16) / 2) / 2 for i in range(16)]
    assert np.abs(out[0] - oracle).max() < 1e-6


def test_a_slope_is_enlarged_without_shift() -> None:
    slope = np.tile(np.arange(32.0), (4, 1))
    out = resize(slope, (4, 64), "bicubic")
    centre = (np.arange(64) + 0.5) / 2 - 0.5
    assert np.abs(out[0, 8:-8] - centre[8:-8]).max() < 1e-4


def test_an_unknown_kernel_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'bicubic'"):
        resize(np.zeros((4, 4)), (2, 2), "bicubik")


def test_luma_of_black_white_and_primaries_is_bt601_studio_range() -> None:
    rgb = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]])
    assert np.allclose(to_luma(rgb)[0], [16, 235, 81.481, 144.553, 40.966], atol=1e-3)
