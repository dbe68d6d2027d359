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
"""How far, in 8-bit steps, probed output pixels may on average lie outside the range of the 3x3 input pixels
around them. An enlargement overshoots at a few edges only (mean below 2, on a checkerboard as on noise); a
negative, black or scrambled picture is at 40 and above."""

_CONSTANT_EXCESS = 4.0  # the same for an output that is one value everywhere
_PROBES = 32  # along each side


def implausible(source: np.ndarray, out: np.ndarray) -> str | None:
    """Why ``out`` cannot be an enlargement of ``source`` by a whole factor, or None.

    Both are luma planes, uint8, or uint16 with samples of 0..1023. The output pixels over an input pixel,
    averaged, are compared with that pixel and its neighbours. Pictures of fewer than 3 rows or columns are
    not judged.
    """
    height, width = source.shape
    if height < 3 or width < 3:
        return None
    scale = out.shape[0] // height
    rows, columns = max(1, height // _PROBES), max(1, width // _PROBES)
    lowest = highest = source[1:-1:rows, 1:-1:columns]
    for i in range(3):
        for j in range(3):
            around = source[i : height - 2 + i : rows, j : width - 2 + j : columns]
            lowest, highest = np.minimum(lowest, around), np.maximum(highest, around)
    block = np.zeros(lowest.shape, np.float32)
    inner = out[scale:-scale, scale:-scale]
    for i in range(scale):
        for j in range(scale):
            block += inner[i :: rows * scale, j :: columns * scale]
    block /= scale * scale
    outside = np.maximum(lowest - block, block - highest)
    excess = float(np.maximum(outside, 0).mean()) / (4.0 if source.dtype == np.uint16 else 1.0)
    if excess > _CONSTANT_EXCESS and np.ptp(block) == 0:
        return "the network gave a constant picture for one that is not"
    if excess > MAX_MEAN_EXCESS:
        return f"the network's picture is not an enlargement of its input (off by {excess:.0f} on average)"
    return None
