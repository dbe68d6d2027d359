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

MIN_CHANGE = 10.0  # mean absolute difference, in 8-bit steps
MIN_SHARE = 0.35  # of all samples that went to other levels
TIMES_USUAL = 2.5  # against the mean difference of the frames before


class SceneCut:
    """Told of each frame in turn, says whether it begins a scene."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._levels: np.ndarray = np.zeros(_BINS, np.intp)
        self._usual = 0.0

    def see(self, frame: Frame) -> bool:
        """True if ``frame`` begins a new scene; False for the first one. A change of size begins one."""
        plane = frame.planes[0]
        if plane.ndim == 3:
            plane = plane[..., 1]  # green stands for luma
        height, width = plane.shape
        samples = plane[:: max(1, height // _ROWS), :: max(1, width // _COLUMNS)]
        now = (samples >> _SHIFT.get(frame.format, 0)).astype(np.int16)
        levels = np.bincount(now.ravel() >> 4, minlength=_BINS)[:_BINS]
        before, self._before = self._before, now
        levels_before, self._levels = self._levels, levels
        if before is None:
            return False
        if before.shape != now.shape:
            self._usual = 0.0
            return True
        change = float(np.abs(now - before).mean())
        share = 0.5 * float(np.abs(levels - levels_before).sum()) / now.size
        cut = change > MIN_CHANGE and share > MIN_SHARE and change > TIMES_USUAL * self._usual
        self._usual = 0.0 if cut else 0.9 * self._usual + 0.1 * change
        return cut
