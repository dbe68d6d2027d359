"""``LoudnessHold``: a make-up gain that keeps loudness where it was although the remix changes it.

Pure numbers; the caller measures energies (K-weighted, as in BS.1770-4) and applies the gain.

    hold = LoudnessHold(frames_per_second)
    gain = hold.update(dry, remixed, share)           # linear, of this frame

Two parts. *Ratio*: mean energies of dry and remixed sound over the last seconds say which gain makes them
equal; a second, quick measure caps it, so that no onset blares. *Error*: how far the loudness of all the
output so far is from that of the input; a multiple of it is added, so that a short programme, or one in
which every scene begins anew, ends as loud as it was, and a long one is hardly disturbed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .loudness import ABSOLUTE_GATE_LUFS, power_of


class LoudnessHold:
    """Follows a stream; ``update`` for each remixed frame, ``pass_dry`` for each that stays as it is.

    The gain stays within ``LIMIT_DB`` and moves by at most ``RISE_DB_PER_S`` up and ``FALL_DB_PER_S`` down.
    """

    RATIO_S = 3.0
    FAST_S = 0.3
    HEADROOM_DB = 3.0  # an onset may come out louder than it went in by so much
    ERROR_S = 60.0  # what is longer ago is forgotten
    ERROR_GAIN = 6.0  # 0.25 LU off: 1.5 dB more
    ERROR_DB = 4.0  # at most
    LIMIT_DB = 12.0
    RISE_DB_PER_S = 20.0
    FALL_DB_PER_S = 60.0
    _GATE = power_of(ABSOLUTE_GATE_LUFS)  # quieter frames do not count
    _FRESH_S = 0.5  # after a change of controls the past counts no more than this

    def __init__(self, frames_per_second: float) -> None:
        self._rate = frames_per_second
        self._forget_ratio = 1.0 - 1.0 / (self.RATIO_S * frames_per_second)
        self._forget_error = 1.0 - 1.0 / (self.ERROR_S * frames_per_second)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self.gain_db = 0.0
        self._weight = 0.0
        self._mean = np.zeros(2)  # dry, remixed: sums of energies
        self._fast = np.zeros(2)
        self._sums = np.zeros(2)  # of input and output so far

    def change(self) -> None:
        """The controls have changed: what was measured says little about what comes."""
        keep = min(1.0, self._FRESH_S * self._rate / self._weight) if self._weight else 1.0
        self._weight *= keep
        self._mean *= keep

    def update(self, dry: float, remixed: float, share: float = 1.0, counts: bool = True) -> float:
        """Linear gain of a frame with these mean squares; ``share`` (0..1) of the gain in dB is used.

        A frame that does not count is given the gain, and nothing is learnt from it.
        """
        counts = counts and dry > self._GATE
        if counts:
            pair = np.array([dry, remixed])
            self._weight = self._weight * self._forget_ratio + 1.0
            self._mean = self._mean * self._forget_ratio + pair
            self._fast += (pair - self._fast) / (self.FAST_S * self._rate)
            self._move()
        gain = 10 ** (share * self.gain_db / 20)
        if counts:
            self._sums = self._sums * self._forget_error + np.array([dry, gain * gain * remixed])
        return float(gain)

    def pass_dry(self, dry: float) -> None:
        """A frame with this mean square stays as it is."""
        if dry > self._GATE:
            self._sums = self._sums * self._forget_error + dry

    def release(self) -> float:
        """Linear gain of a frame without a mask: to exactly 1 within three frames."""
        self.gain_db = 0.0 if abs(self.gain_db) < 2.0 else self.gain_db / 4
        return float(10 ** (self.gain_db / 20))

    def _move(self) -> None:
        error_db = self.ERROR_GAIN * _ratio_db(self._sums)
        target_db = _ratio_db(self._mean) + min(max(error_db, -self.ERROR_DB), self.ERROR_DB)
        target_db = min(target_db, _ratio_db(self._fast) + self.HEADROOM_DB)
        target_db = min(max(target_db, -self.LIMIT_DB), self.LIMIT_DB)
        rise, fall = self.RISE_DB_PER_S / self._rate, self.FALL_DB_PER_S / self._rate
        self.gain_db += min(max(target_db - self.gain_db, -fall), rise)


def _ratio_db(pair: NDArray[np.float64]) -> float:
    dry, remixed = float(pair[0]), float(pair[1])
    return 10 * math.log10(dry / remixed) if dry > 0 and remixed > 0 else 0.0
