"""Can this picture be an enlargement of that one? And if not, what is wrong with it?

Made for the test content: a texture with very dark and very bright places and no edge in the middle. A poor
model passes; an engine or a delegate that computes something else does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fault_of"]

Plane = NDArray[np.uint8]

_MARGIN = 3 / 16  # strips with marks at the top and at the bottom, and what filters spread of them
_WRAP_STEP = 150.0  # levels; a wrap is 256, sharpening of this texture far less
_WRAP_SHARE = 0.002
_WRONG_MEAN = 20.0  # levels, mean over blocks
_SEAM_STEP = 3.0  # levels, between the means of neighbouring stripes
_SEAM_RATIO = 5.0  # times the usual step
_STRIPES = 32


def fault_of(source: Plane, out: Plane) -> str | None:
    """``"black"``, ``"constant"``, ``"inverted"``, ``"wrapped"``, ``"wrong"``, ``"seam"``, or None.

    ``source`` ``(h, w)`` and ``out`` ``(H, W)`` are luma planes of 8 bits at any ratio.
    """
    margin, wide = int(source.shape[0] * _MARGIN), int(out.shape[0] * _MARGIN)
    middle = out[wide : out.shape[0] - wide]
    if np.ptp(middle) <= 2:
        return "black" if int(middle.max()) <= 32 else "constant"
    nearest = _enlarged(source[margin : source.shape[0] - margin], *middle.shape)
    error = middle.astype(np.float32) - nearest
    if np.mean(np.abs(error) > _WRAP_STEP) > _WRAP_SHARE:
        return "inverted" if _correlation(nearest, middle) < -0.5 else "wrapped"
    if np.abs(_blocks(error)).mean() > _WRONG_MEAN:
        return "inverted" if _correlation(nearest, middle) < -0.5 else "wrong"
    if _seam(error) or _seam(error.T):
        return "seam"
    return None


def _enlarged(source: Plane, height: int, width: int) -> NDArray[np.float32]:
    rows = ((np.arange(height) + 0.5) * source.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * source.shape[1] / width).astype(int)
    return source[rows][:, columns].astype(np.float32)


def _blocks(plane: NDArray[np.float32], parts: int = 8) -> NDArray[np.float32]:
    """Means of parts x parts blocks."""
    rows, columns = (np.arange(parts) * size // parts for size in plane.shape)
    heights, widths = np.diff(rows, append=plane.shape[0]), np.diff(columns, append=plane.shape[1])
    sums = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), columns, axis=1)
    means: NDArray[np.float32] = (sums / np.outer(heights, widths)).astype(np.float32)
    return means


def _seam(error: NDArray[np.float32]) -> bool:
    """A step between neighbouring columns that is far above the usual one, for the whole height."""
    profile = error.mean(axis=0)
    width = max(2, len(profile) // _STRIPES)
    sums = np.concatenate(([0.0], np.cumsum(profile)))
    means = (sums[width:] - sums[:-width]) / width
    steps = np.abs(means[width:] - means[:-width])
    return bool(steps.max() > _SEAM_STEP and steps.max() > _SEAM_RATIO * (np.median(steps) + 0.1))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.reshape(-1)[::7], b.reshape(-1)[::7].astype(np.float32))[0, 1])
