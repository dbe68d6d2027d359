"""Quality measures, each with its source. Pictures are luma 0..255, sounds float arrays of samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def psnr(estimate: Array, truth: Array, border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB, peak 255, estimate clipped, ``border`` pixels left out all round."""
    inner = slice(border, -border or None), slice(border, -border or None)
    error = np.clip(estimate, 0, 255)[inner].astype(np.float64) - truth[inner]
    return float(10 * np.log10(255**2 / max(float(np.mean(error**2)), 1e-10)))


def ssim(estimate: Array, truth: Array, border: int = 0) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004): 11x11 Gaussian, sigma 1.5, peak 255, valid area."""
    return ssim_to(truth, border)(estimate)


def ssim_to(truth: Array, border: int = 0) -> Callable[[Array], float]:
    """`ssim` of many estimates to one truth, whose own means and variances are computed once."""
    import cv2

    inner = slice(border, -border or None), slice(border, -border or None)
    b = np.asarray(truth, np.float64)[inner]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    kernel = cv2.getGaussianKernel(11, 1.5)

    def blur(x: Array) -> Array:
        return cv2.sepFilter2D(x, -1, kernel, kernel)[5:-5, 5:-5]

    mean_b = blur(b)
    var_b = blur(b * b) - mean_b**2

    def to_truth(estimate: Array) -> float:
        a = np.clip(estimate, 0, 255)[inner].astype(np.float64)
        mean_a = blur(a)
        var_a, cov = blur(a * a) - mean_a**2, blur(a * b) - mean_a * mean_b
        value = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
        value /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
        return float(value.mean())

    return to_truth


def si_sdr(estimate: Array, truth: Array) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019)."""
    estimate, truth = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    scale = float(estimate @ truth) / max(float(truth @ truth), 1e-20)
    target = scale * truth
    return float(10 * np.log10((target @ target + 1e-20) / (np.sum((estimate - target) ** 2) + 1e-20)))


def lost_share(
    kept: np.ndarray, dialog: np.ndarray, rate_hz: int, seconds: float = 1.0, range_db: float = 20.0
) -> float:
    """Share of stretches of ``seconds`` with dialog in which ``kept`` is more than 10 dB below ``dialog``.

    ``kept`` is the dialog alone after the gains that were estimated from the mix. A stretch has dialog where
    its energy is within ``range_db`` of the loudest one's.
    """
    length = round(seconds * rate_hz)
    count = min(len(kept), len(dialog)) // length
    energy = np.mean(dialog[: count * length].reshape(count, length).astype(np.float64) ** 2, 1)
    left = np.mean(kept[: count * length].reshape(count, length).astype(np.float64) ** 2, 1)
    active = energy > 10 ** (-range_db / 10) * energy.max()
    return float(np.mean(left[active] < 0.1 * energy[active]))
