"""Which channels carry the dialog: what the network hears of them, and where its mask is applied.

Mono and stereo: the network hears the mid signal, and one mask serves both channels, so that the image does
not move. Where the dialog sits in the middle, side power in a band is background, and the mask, an estimate
for the mid signal, is lowered to what it means for left and right: with L = M + S and R = M - S, the gain
that comes nearest to the dialog in both is ``m |M|² / (|M|² + |S|²)``.

With a centre channel: films put dialog there. The network then hears the centre alone, its mask is applied
there, and left and right are bed, as surrounds and LFE are. A film whose centre has no dialog (or none at
all) is heard as the sum of all three, with one mask for them. ``sides`` crosses over between the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]

CENTRE_SHARE = 0.7  # of the dialog's power: from here on the centre is heard alone ...
SIDES_AFTER_S = 3.0  # ... until it has been without dialog for so long
CROSS_S = 0.2
_MEMORY_S = 2.0
_TINY = np.float32(1e-20)


def front_channels(channels: int) -> int:
    """How many channels, from the first, may carry dialog: L R C where there is a centre, else L R."""
    return min(channels, 2 if channels in (2, 4) else 3)


class DialogLayout:
    """Channel roles of a layout, and what was learnt about where the dialog is."""

    def __init__(self, channels: int, frames_per_second: float) -> None:
        self.fronts = front_channels(channels)
        self.centred = self.fronts == 3
        # Mid: (L + R) / 2, and a centre as loud as in an ITU-R BS.775 downmix.
        self._weights = np.array({1: [1.0], 2: [0.5, 0.5], 3: [0.5, 0.5, 0.7071]}[self.fronts], np.float32)
        self._keep = 1.0 - 1.0 / (_MEMORY_S * frames_per_second)
        self._cross = 1.0 / (CROSS_S * frames_per_second)
        self._patience = round(SIDES_AFTER_S * frames_per_second)
        self.reset()

    def reset(self) -> None:
        """Forget the past: dialog may be anywhere."""
        self.sides = 1.0 if self.centred else 0.0
        self._goal = self.sides
        self._without = 0  # frames since dialog was last active
        self._inside = self._outside = 0.0  # the dialog's power in the centre or middle, and beside it

    def feed(self, spectra: Complex) -> Complex:
        """What the network hears ``(bins,)`` of the front channels' ``(fronts, bins)``."""
        if self.fronts == 1:
            return spectra[0]
        weights = self._weights
        if self.centred and self.sides < 1.0:
            alone = np.array([0.0, 0.0, 1.0], np.float32)
            weights = alone + np.float32(self.sides) * (weights - alone)
        return np.asarray(weights @ spectra)

    def bands(self, mask: Float, sides: Float, middle: Float) -> Float:
        """The band mask ``(bands,)`` as it is meant for left and right, in stereo; else as it is.

        ``sides``, ``middle``: band powers of the first two channels ``(2, bands)`` and of the feed.
        """
        if self.fronts != 2:
            return mask
        both = sides.sum(0) / 2  # |M|² + |S|²
        weight = mask * mask
        self._learn(float(weight @ middle), float(weight @ np.maximum(both - middle, 0)))
        middled = self._inside + self._outside
        trust = max(0.0, (self._inside - self._outside) / middled) if middled > 0 else 0.0
        return np.asarray(mask * (1 + np.float32(trust) * (middle / (both + _TINY) - 1)), np.float32)

    def masks(self, bins: Float) -> Float:
        """The mask of each front channel: ``(1, bins)`` if all share it, else ``(fronts, bins)``."""
        if not self.centred or self.sides == 1.0:
            return bins[None]
        share = np.array([self.sides, self.sides, 1.0], np.float32)
        return np.asarray(share[:, None] * bins)

    def follow(self, bins: Float, powers: Float, active: bool) -> None:
        """Learn from a frame's bin mask and K-weighted bin powers ``(fronts, bins)`` of L R C."""
        if not self.centred:
            return
        self._without = 0 if active else self._without + 1
        if active:
            each = powers @ (bins * bins)
            self._learn(float(each[2]), float(each[0] + each[1]))
            if self.sides == 1.0 and self._inside > CENTRE_SHARE * (self._inside + self._outside):
                self._goal = 0.0
        elif self._without > self._patience:
            self._goal = 1.0
            self._inside = self._outside = 0.0  # where it was says nothing of where it will be
        step = min(max(self._goal - self.sides, -self._cross), self._cross)
        self.sides = self._goal if abs(self._goal - self.sides) <= self._cross else self.sides + step

    def _learn(self, inside: float, outside: float) -> None:
        self._inside = self._inside * self._keep + inside
        self._outside = self._outside * self._keep + outside
