"""When not to trust a network: is an output plausible, and how many faults are too many.

The check looks at about a thousand pixels, so that it costs microseconds; it finds a broken engine, not a
poor model.
"""

from __future__ import annotations

import numpy as np

MAX_FAULTS_IN_ROW = 5
"""After so many enhanced-frame attempts that failed or were late, one after the other, the network is
given up for good; until then the next frame tries again. Frames that pass by while a late call still runs
do not count."""

MAX_MEAN_EXCESS = 24.0
"""How far, in 8-bit steps, probed output pixels may on average lie outside the range of the input pixels
around them. An enlargement overshoots at a few edges only (mean below 2, on a checkerboard as on noise); a
negative, black or scrambled picture is at 40 and above."""

_CONSTANT_EXCESS = 4.0  # the same for an output that is one value everywhere
_PROBES = 32  # along each side


def implausible(source: np.ndarray, out: np.ndarray, cell: tuple[int, int]) -> str | None:
    """Why ``out`` cannot be an enlargement of ``source``, or None.

    Both are luma planes, uint8, or uint16 with samples of 0..1023. ``cell`` is how many pixels along a side
    become how many: (1, 2), or (2, 3) for x1.5. The output pixels over such a cell, averaged, are compared
    with the cell's pixels and their neighbours. Pictures of fewer than 3 rows or columns of cells are not
    judged.
    """
    pixels, enlarged = cell
    height, width = source.shape[0] // pixels, source.shape[1] // pixels  # in cells
    if height < 3 or width < 3:
        return None
    rows, columns = max(1, height // _PROBES), max(1, width // _PROBES)

    def probed(plane: np.ndarray, size: int, top: int, left: int) -> np.ndarray:
        """The sample at ``(top, left)`` of each probed cell of ``size``; the border's are left out."""
        return plane[size + top : size * (height - 1) + top : size * rows,
                     size + left : size * (width - 1) + left : size * columns]  # fmt: skip

    lowest = highest = probed(source, pixels, 0, 0)
    for i in range(-1, pixels + 1):
        for j in range(-1, pixels + 1):
            around = probed(source, pixels, i, j)
            lowest, highest = np.minimum(lowest, around), np.maximum(highest, around)
    block = np.zeros(lowest.shape, np.float32)
    for i in range(enlarged):
        for j in range(enlarged):
            block += probed(out, enlarged, i, j)
    block /= enlarged * enlarged
    outside = np.maximum(lowest - block, block - highest)
    excess = float(np.maximum(outside, 0).mean()) / (4.0 if source.dtype == np.uint16 else 1.0)
    if excess > _CONSTANT_EXCESS and np.ptp(block) == 0:
        return "the network gave a constant picture for one that is not"
    if excess > MAX_MEAN_EXCESS:
        return f"the network's picture is not an enlargement of its input (off by {excess:.0f} on average)"
    return None
