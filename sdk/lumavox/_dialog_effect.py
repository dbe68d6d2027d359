"""How much of the remix is used at each frame: only where there is dialog, and the estimate can be trusted.

effect = Effect(frames_per_second)
amount = effect.update(state, difference_db, adaptive_lu)
gains.dialog ** amount.remix
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .speech import SpeechState

RISE_S, FALL_S = 0.045, 0.6
_SMOOTH_S = 0.3


@dataclass(frozen=True)
class Amount:
    """How much of each part is used, 0..1.

    ``presence`` ramps to 1 as dialog begins and to exactly 0 after it has ended: music and effects alone stay
    as they are. ``trust`` is presence times confidence. ``remix`` is trust and, in adaptive mode, times the
    part of the asked change that is still missing to the wanted difference of dialog and background.
    """

    presence: float
    trust: float
    remix: float


class Effect:
    """Follows a stream; ``update`` for each frame."""

    def __init__(self, frames_per_second: float) -> None:
        self._rise, self._fall = 1.0 / (RISE_S * frames_per_second), 1.0 / (FALL_S * frames_per_second)
        self._smooth = 1.0 - math.exp(-1.0 / (_SMOOTH_S * frames_per_second))
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._presence = 0.0
        self._trust = 0.0
        self._need = 0.0

    def update(self, state: SpeechState, difference_db: float, adaptive_lu: float | None) -> Amount:
        """The amounts for a change of ``difference_db`` at full amount, in a frame of this state."""
        need = 1.0
        if adaptive_lu is not None and difference_db > 0 and state.difference_lu is not None:
            need = min(1.0, max(0.0, adaptive_lu - state.difference_lu) / difference_db)
        # Dialog that begins is met with what is known of it by then; later changes are slow.
        smooth = self._smooth if self._presence else 1.0
        self._trust += (state.confidence - self._trust) * smooth
        self._need += (need - self._need) * smooth
        self._presence += self._rise if state.active else -self._fall
        self._presence = min(1.0, max(0.0, self._presence))
        trust = self._presence * self._trust
        return Amount(self._presence, trust, trust * self._need)
