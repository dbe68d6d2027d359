"""The protocol of the literature, against slow independent implementations written here."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lumavox_export.errors import DatasetError
from lumavox_export.evaluation.sr_material import border, sizes, still
from lumavox_export.metrics import psnr, ssim
from lumavox_export.resize import resize

Plane = NDArray[np.float64]


def _imresize_matlab(plane: Plane, scale: float) -> Plane:
    """MATLAB's imresize(plane, scale), bicubic: the loops of its documented algorithm, 1-based as there.

    contributions(): u = x / scale + 0.5 * (1 - 1 / scale); the kernel is stretched by 1 / scale when it
    shrinks; indices beyond the border are mirrored (1 2 3 3 2 1); rows first, then columns.
    """

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    def along_rows(p: Plane) -> Plane:
        length = p.shape[0]
        out = np.zeros((math.ceil(length * scale), p.shape[1]))
        width = 4 / min(scale, 1)
        for x in range(1, out.shape[0] + 1):
            u = x / scale + 0.5 * (1 - 1 / scale)
            left = math.floor(u - width / 2)
            weights = {k: cubic((u - k) * min(scale, 1)) for k in range(left, left + math.ceil(width) + 2)}
            total = sum(weights.values())
            for k, weight in weights.items():
                mirrored = (k - 1) % (2 * length)
                mirrored = mirrored if mirrored < length else 2 * length - 1 - mirrored
                out[x - 1] += weight / total * p[mirrored]
        return out

    return along_rows(along_rows(plane).T).T


def _ssim_slow(a: Plane, b: Plane) -> float:
    """Wang et al. (2004), window by window: 11x11 Gaussian of sigma 1.5, K = 0.01 and 0.03, peak 255."""
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def _picture(height: int, width: int, seed: int = 3) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.sin(x / 2.3)[..., None] * np.cos(y / 3.1)[..., None] * rng.uniform(30, 70, 3)
    return np.clip(128 + waves + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4, 1.5])
def test_the_reduction_is_matlabs_imresize(scale: float) -> None:
    plane = _picture(24, 36)[..., 0].astype(float)
    oracle = _imresize_matlab(plane, 1 / scale)
    assert np.abs(resize(plane, (round(24 / scale), round(36 / scale))) - oracle).max() < 1e-3


@pytest.mark.parametrize("scale", [2, 1.5])
def test_the_enlargement_is_matlabs_imresize(scale: float) -> None:
    plane = _picture(14, 10)[..., 1].astype(float)
    oracle = _imresize_matlab(plane, scale)
    assert np.abs(resize(plane, oracle.shape) - oracle).max() < 1e-3


def test_ssim_is_that_of_the_window_by_window_definition() -> None:
    truth = _picture(20, 26)[..., 0].astype(float)
    estimate = truth + np.random.default_rng(1).normal(0, 9, truth.shape)
    clipped = np.clip(estimate, 0, 255)
    assert ssim(estimate, truth) == pytest.approx(_ssim_slow(clipped, truth), abs=1e-9)
    assert ssim(estimate, truth, 2) == pytest.approx(
        _ssim_slow(clipped[2:-2, 2:-2], truth[2:-2, 2:-2]), abs=1e-9
    )


@pytest.mark.parametrize("scale", [2, 3, 1.5])
def test_bicubic_on_a_still_has_the_psnr_and_ssim_of_the_whole_protocol_done_slowly(scale: float) -> None:
    rgb = _picture(49, 63)
    pair = still(rgb, "a", "", scale).pairs[0]
    (height, width), (tall, wide) = sizes((49, 63), scale)
    cut = rgb[:tall, :wide].astype(float)

    def luma(p: Plane) -> Plane:
        return 16 + (65.481 * p[..., 0] + 128.553 * p[..., 1] + 24.966 * p[..., 2]) / 255

    low = np.stack([_imresize_matlab(cut[..., c], 1 / scale) for c in range(3)], -1)
    low = np.clip(np.floor(low + 0.5), 0, 255)
    assert pair.low.shape == low.shape[:2] == (height, width)
    assert pair.rgb is not None and np.abs(pair.rgb - low).max() <= 1  # a tie may round either way
    assert np.mean(pair.rgb != low) < 0.01
    estimate = np.clip(np.round(_imresize_matlab(np.round(luma(low)), scale)), 0, 255)
    edge = border(scale)
    inner = slice(edge, -edge), slice(edge, -edge)
    oracle = 10 * np.log10(255**2 / np.mean((estimate[inner] - luma(cut)[inner]) ** 2))
    ours = np.rint(np.clip(resize(pair.low, (tall, wide)), 0, 255))
    assert psnr(ours, pair.high, edge) == pytest.approx(oracle, abs=0.01)
    assert ssim(ours, pair.high, edge) == pytest.approx(
        _ssim_slow(estimate[inner], luma(cut)[inner]), abs=1e-3
    )


def test_a_known_value_without_any_data() -> None:
    """Luma 100 everywhere, an estimate that is 3 too bright: 20 log10(255 / 3) dB."""
    truth = np.full((40, 40), 100.0)
    assert psnr(truth + 3, truth, 2) == pytest.approx(38.588, abs=1e-3)
    c1 = (0.01 * 255) ** 2
    assert ssim(truth + 3, truth, 2) == pytest.approx((2 * 100 * 103 + c1) / (100**2 + 103**2 + c1), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(24, 3000), st.integers(24, 3000), st.sampled_from([1.5, 2, 3, 4, 4 / 3]), st.integers(1, 4)
)
def test_low_and_high_resolution_meet_and_as_little_as_possible_is_cut(
    height: int, width: int, scale: float, multiple: int
) -> None:
    low, high = sizes((height, width), scale, multiple)
    for given_, small, large in zip((height, width), low, high):
        assert small % multiple == 0 and large <= given_
        assert large == pytest.approx(small * scale, abs=1e-6)
        unit = math.lcm(multiple, {1.5: 2, 4 / 3: 3}.get(scale, 1)) * scale
        assert given_ - large < unit + 1e-6


def test_a_low_resolution_of_one_and_a_half_is_even_and_its_border_is_two() -> None:
    assert sizes((1080, 1921), 1.5) == ((720, 1280), (1080, 1920))
    assert sizes((7, 8), 1.5) == ((4, 4), (6, 6))
    assert (border(1.5), border(2), border(3)) == (2, 2, 3)


def test_a_picture_smaller_than_the_scale_is_refused_with_its_size() -> None:
    with pytest.raises(DatasetError, match="3x2 is too small to be reduced by 4"):
        sizes((2, 3), 4)
