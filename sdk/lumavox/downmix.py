"""``Downmix``: surround sound to stereo, with a centre that can be louder, below a true-peak ceiling.

Lo/Ro of ITU-R BS.775: ``L + 0.7071 (C + Ls)``, likewise right; the LFE is left out. The dialog of a film is
in the centre, so a centre gain is the oldest dialog enhancement there is, and it goes together with
`DialogEnhancer`, which comes before.

    downmix = Downmix(channels=6, rate_hz=48000, centre_gain_db=3.0)
    stereo = downmix.process(block)                   # (n, 6) float32 -> (n, 2), delay_samples later
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import AudioError, OptionError
from .limiter import TruePeakLimiter

Float = NDArray[np.float32]

MAX_CENTRE_GAIN_DB = 12.0
_HALF = float(np.sqrt(0.5))

# Rows: L R C LFE and surrounds of the channel orders in `loudness.CHANNEL_WEIGHTS`, as (left, right, centre).
_LEFT, _RIGHT, _CENTRE, _NONE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, _HALF), (0.0, 0.0, 0.0)
_BACK_LEFT, _BACK_RIGHT, _BACK = (_HALF, 0.0, 0.0), (0.0, _HALF, 0.0), (0.5, 0.5, 0.0)
_ROWS = {
    3: (_LEFT, _RIGHT, _CENTRE),
    4: (_LEFT, _RIGHT, _BACK_LEFT, _BACK_RIGHT),
    5: (_LEFT, _RIGHT, _CENTRE, _BACK_LEFT, _BACK_RIGHT),
    6: (_LEFT, _RIGHT, _CENTRE, _NONE, _BACK_LEFT, _BACK_RIGHT),
    7: (_LEFT, _RIGHT, _CENTRE, _NONE, _BACK, _BACK_LEFT, _BACK_RIGHT),
    8: (_LEFT, _RIGHT, _CENTRE, _NONE, _BACK_LEFT, _BACK_RIGHT, _BACK_LEFT, _BACK_RIGHT),
}


class Downmix:
    """Mixes ``(n, channels)`` float32, 3..8 channels, to ``(n, 2)``; a limiter keeps the true peak.

    ``centre_gain_db`` -12..12. Raises AudioError and OptionError.
    """

    def __init__(
        self, channels: int, rate_hz: int = 48000, centre_gain_db: float = 0.0, ceiling_dbtp: float = -1.0
    ) -> None:
        if channels not in _ROWS:
            raise AudioError(f"{channels} channels cannot be mixed down: it takes 3 to 8 to make 2 of them")
        if not abs(centre_gain_db) <= MAX_CENTRE_GAIN_DB:
            raise OptionError(
                f"centre_gain_db {centre_gain_db} is not possible: choose {-MAX_CENTRE_GAIN_DB:g} to "
                f"{MAX_CENTRE_GAIN_DB:g} dB"
            )
        gain = 10 ** (centre_gain_db / 20)
        rows = [(left + gain * centre, right + gain * centre) for left, right, centre in _ROWS[channels]]
        self._matrix = np.array(rows, np.float32)
        self._limiter = TruePeakLimiter(rate_hz, 2, ceiling_dbtp)
        self.delay_samples = self._limiter.delay_samples

    def process(self, block: Float) -> Float:
        """The next ``n`` stereo samples for the next ``n`` of the input."""
        return self._limiter.process(np.asarray(block @ self._matrix, np.float32))[0]

    def flush(self) -> Float:
        """The last ``delay_samples``; a new stream can follow."""
        tail = self._limiter.process(np.zeros((self.delay_samples, 2), np.float32))[0]
        self._limiter.reset()
        return tail
