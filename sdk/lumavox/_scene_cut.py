"""Where a new scene begins, from some thousand samples of each picture: there nobody sees a switch.

It looks at frames as they come and needs no look-ahead. Gradual transitions are not found, and a flash is
taken for a cut: a switch cannot be seen there either.
"""

from __future__ import annotations

import numpy as np

from .picture import Frame, PixelFormat

_ROWS, _COLUMNS = 36, 64
_BINS = 16
_SHIFT = {PixelFormat.P010: 8, PixelFormat.I010: 2}  # to 8 bits

MIN_CHANGE = 10.0  # mean absolute difference, in 8-bit steps ...
TIMES_USUAL = 2.5  # ... and against that of the frames before
MIN_SHARE = 0.35  # of all samples that went to other levels, or ...
MAX_LIKENESS = 0.3  # ... correlation with the frame before


class SceneCut:
    """Told of each frame in turn, says whether it begins a scene."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None
        self._before: np.ndarray = np.zeros((1, 1), np.int16)
        self._usual: float | None = None  # difference from frame to frame in this scene

    def see(self, frame: Frame) -> bool:
        """True if ``frame`` begins a new scene; False for the first one. A change of size begins one."""
        plane = frame.planes[0]
        if plane.ndim == 3:
            plane = plane[..., 1]  # green stands for luma
        height, width = plane.shape
        samples = plane[:: max(1, height // _ROWS), :: max(1, width // _COLUMNS)]
        now = (samples >> _SHIFT.get(frame.format, 0)).astype(np.int16)
        shape, self._shape = self._shape, plane.shape
        before, self._before = self._before, now
        if shape != plane.shape:
            self._usual = None
            return shape is not None
        change = float(np.abs(now - before).mean())
        usual = self._usual
        if usual is not None and change > max(MIN_CHANGE, TIMES_USUAL * usual) and _unlike(before, now):
            self._usual = None
            return True
        self._usual = change if usual is None else 0.9 * usual + 0.1 * change
        return False


def _unlike(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether the samples have other levels, or the same ones at other places."""
    levels = [np.bincount(plane.ravel() >> 4, minlength=_BINS)[:_BINS] for plane in (before, now)]
    if 0.5 * float(np.abs(levels[0] - levels[1]).sum()) > MIN_SHARE * now.size:
        return True
    one, other = (plane - plane.mean() for plane in (before, now))
    spread = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) < MAX_LIKENESS * spread
