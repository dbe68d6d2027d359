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

MAX_MEAN_DIFFERENCE = 48.0
"""Largest mean difference (8-bit steps) between probed input pixels and the output pixels over each.

A good network stays below 5 on pictures and below 20 on white noise; a negative, black or scrambled
picture is at 60 and above.
"""

_PROBES = 32  # along each side
_FLAT = 12  # an input that varies by less may come out constant


def implausible(source: np.ndarray, out: np.ndarray) -> str | None:
    """Why ``out`` cannot be an enlargement of ``source`` by a whole factor, or None.

    Both are luma planes, uint8, or uint16 with samples of 0..1023. An output pixel block is compared with
    the input pixel that it covers.
    """
    scale = out.shape[0] // source.shape[0]
    rows = max(1, source.shape[0] // _PROBES)
    columns = max(1, source.shape[1] // _PROBES)
    seen = source[::rows, ::columns].astype(np.float32)
    blocks = np.zeros_like(seen)
    for i in range(scale):
        for j in range(scale):
            blocks += out[i :: rows * scale, j :: columns * scale]
    blocks /= scale * scale
    step = 4.0 if source.dtype == np.uint16 else 1.0
    if np.ptp(seen) > _FLAT * step and np.ptp(blocks) == 0:
        return "the network gave a constant picture for one that is not"
    difference = float(np.abs(blocks - seen).mean()) / step
    if difference > MAX_MEAN_DIFFERENCE:
        return f"the network's picture is not an enlargement of its input (mean difference {difference:.0f})"
    return None
