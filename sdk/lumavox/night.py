"""``NightRange``: for quiet rooms, what is louder than the dialog is brought down to it; the dialog stays.

Pure numbers. Not a limiter (that one follows) and not a leveller: dialog keeps its gain of 1, and so does
everything that is no louder than the dialog usually is.

    night = NightRange(frames_per_second)
    gain = night.update(on=True, background=power, dialog=power or None)   # linear, of the background

A downward compressor of the background alone, keyed to the programme: its threshold is the mean loudness of
the dialog so far, less ``BELOW_LU``, so that it works the same for a quiet and a loud programme.
"""

from __future__ import annotations

import math

from .loudness import lufs

RATIO = 5.0
BELOW_LU = 3.0
MAX_ATTEN_DB = 20.0
FALLBACK_LUFS = -27.0  # dialog of streaming programmes, until there was any
_ATTACK_S, _RELEASE_S = 0.03, 0.8
_DIALOG_S = 60.0
_FLOOR = 1e-9


class NightRange:
    """Follows a stream; ``update`` for each frame."""

    def __init__(self, frames_per_second: float) -> None:
        self._rate = frames_per_second
        self._attack = 1.0 - math.exp(-1.0 / (_ATTACK_S * frames_per_second))
        self._release = 1.0 - math.exp(-1.0 / (_RELEASE_S * frames_per_second))
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self.gain_db = 0.0
        self._dialog = self._weight = 0.0

    @property
    def dialog_lufs(self) -> float:
        """The programme's dialog loudness so far, or what dialog usually has."""
        return lufs(self._dialog / self._weight) if self._weight else FALLBACK_LUFS

    def update(self, on: bool, background: float, dialog: float | None) -> float:
        """Linear gain of the background whose K-weighted mean square is ``background``.

        ``dialog`` likewise, or None where there is none. Exactly 1 soon after it is off.
        """
        if dialog is not None:
            keep = 1.0 - 1.0 / (_DIALOG_S * self._rate)
            self._dialog = self._dialog * keep + dialog
            self._weight = self._weight * keep + 1.0
        wanted_db = 0.0
        if on:
            over = lufs(max(background, _FLOOR)) - (self.dialog_lufs - BELOW_LU)
            wanted_db = -min(MAX_ATTEN_DB, max(0.0, over) * (1.0 - 1.0 / RATIO))
        step = self._attack if wanted_db < self.gain_db or not on else self._release
        self.gain_db += (wanted_db - self.gain_db) * step
        if self.gain_db > -0.01:
            self.gain_db = 0.0
        return float(10 ** (self.gain_db / 20))
