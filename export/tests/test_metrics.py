"""Quality measures against values that can be worked out by hand."""

import numpy as np
import pytest

from lumavox_export.metrics import psnr, si_sdr, ssim


def test_psnr_of_a_constant_error_is_twenty_log_of_peak_over_error() -> None:
    truth = np.full((16, 16), 100.0)
    assert psnr(truth + 5, truth) == pytest.approx(20 * np.log10(255 / 5), abs=1e-9)


def test_psnr_leaves_the_border_out_and_clips_the_estimate() -> None:
    truth = np.full((16, 16), 250.0)
    estimate = truth + 5
    estimate[:2] = 0
    estimate[:, -2:] = 0
    estimate[5:8] = 400
    assert psnr(estimate, truth, border=2) == pytest.approx(20 * np.log10(255 / 5), abs=1e-9)


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 255, (32, 32))
    light, heavy = (ssim(truth + rng.normal(0, s, truth.shape), truth) for s in (5, 50))
    assert ssim(truth, truth) == pytest.approx(1.0, abs=1e-12)
    assert 1 > light > heavy


def test_si_sdr_does_not_depend_on_the_level_of_the_estimate() -> None:
    rng = np.random.default_rng(2)
    truth, noise = rng.normal(size=(2, 4000))
    noise -= truth * (noise @ truth) / (truth @ truth)  # orthogonal: the ratio is exactly the energies'
    estimate = truth + 0.1 * noise
    oracle = 10 * np.log10((truth @ truth) / (0.01 * noise @ noise))
    assert si_sdr(estimate, truth) == pytest.approx(oracle, abs=1e-6)
    assert si_sdr(0.3 * estimate, truth) == pytest.approx(oracle, abs=1e-6)
