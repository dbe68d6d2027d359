"""Separable resampling with antialiasing, as MATLAB's ``imresize`` does it: the reference down-scaler.

Used to make training pairs and to measure quality by the protocol of the super-resolution literature.
Not the runtime's conventional filter (that one is chosen for speed).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import OptionError

Array = NDArray[np.float64]


def _cubic(x: Array) -> Array:
    """Keys' cubic convolution kernel, a = -0.5 (IEEE ASSP 29(6), 1981)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _lanczos3(x: Array) -> Array:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def _area(x: Array) -> Array:
    return np.where((x >= -0.5) & (x < 0.5), 1.0, 0.0)


KERNELS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "bicubic": (_cubic, 4.0),
    "lanczos": (_lanczos3, 6.0),
    "area": (_area, 1.0),
}


@lru_cache(maxsize=256)
def _weights(size_in: int, size_out: int, kernel: str) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each output sample: input indices ``(out, taps)`` (symmetric border) and weights that sum to 1."""
    if kernel not in KERNELS:
        raise OptionError.unknown("resampling kernel", kernel, KERNELS)
    function, width = KERNELS[kernel]
    scale = size_out / size_in
    shrink = min(scale, 1.0)  # antialiasing: the kernel is stretched when the picture shrinks
    centre = (np.arange(size_out) + 0.5) / scale - 0.5
    support = width / shrink
    left = np.floor(centre - support / 2).astype(int)
    taps = left[:, None] + np.arange(int(np.ceil(support)) + 2)
    weights = function((centre[:, None] - taps) * shrink)
    weights /= weights.sum(1, keepdims=True)
    mirror = np.concatenate([np.arange(size_in), np.arange(size_in)[::-1]])
    keep = np.any(weights != 0, axis=0)
    return mirror[np.mod(taps, 2 * size_in)][:, keep], weights[:, keep].astype(np.float32)


def resize(image: NDArray[np.generic], size: tuple[int, int], kernel: str = "bicubic") -> NDArray[np.float32]:
    """Resample ``image`` ``(height, width, ...)`` to ``size`` ``(height, width)``; float32, not clipped.

    Raises OptionError for an unknown kernel.
    """
    out = np.asarray(image, np.float32)
    for axis, length in enumerate(size):
        if out.shape[axis] == length:
            continue
        index, weights = _weights(out.shape[axis], length, kernel)
        moved = np.ascontiguousarray(np.moveaxis(out, axis, 0))  # whole rows are gathered three times faster
        total = np.zeros((length, *moved.shape[1:]), np.float32)
        for tap in range(index.shape[1]):
            rows = moved[index[:, tap]]
            rows *= weights[:, tap].reshape(-1, *[1] * (moved.ndim - 1))
            total += rows
        out = np.moveaxis(total, 0, axis)
    return np.ascontiguousarray(out)


def to_luma(rgb: NDArray[np.generic]) -> NDArray[np.float32]:
    """BT.601 studio-range luma 16..235, ``(height, width)``, of RGB 0..255, ``(height, width, 3)``."""
    r, g, b = (np.asarray(rgb[..., i], np.float32) for i in range(3))
    return np.asarray(16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0, np.float32)
