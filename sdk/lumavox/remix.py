"""How dialog and background are mixed anew: the controls, the gain law, and its ramps.

Pure numbers: no sound is touched and no network is known here.

    controls = DialogControls.of_level("medium")      # or DialogControls(dialog_gain_db=2, strength=0.5)
    gains = controls.gains(calibration)               # linear factors
    gains.of_mask(mask)                               # gain of each bin

With the dialog taken to be ``mask^1.5 * dry``, the law

    y = dry + strength * ((g_dialog - 1) * dialog + (g_background - 1) * (dry - dialog))

is one gain per bin, and controls that do nothing give gains of exactly 1. A level of ``d`` dB changes the
difference between dialog and background by ``d``: half by raising dialog, but never by more than 3 dB, the
rest by lowering the background, so that peaks and the loudness hold have little to correct. How much of it
is used, where there is no dialog or the estimate is doubtful, is up to `_dialog_effect`.

Why the power: a Wiener mask shares out doubtful bins so that the stem's error is least, and lifts background
with the dialog. With a steeper share the same heard change needs smaller gains, and more change is possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .hearing import HearingProfile

LEVELS: dict[str, float] = {"off": 0.0, "low": 3.0, "medium": 6.0, "high": 9.0, "max": 12.0}  # dB
MAX_DIALOG_GAIN_DB = 12.0
MAX_BACKGROUND_ATTEN_DB = 18.0
ADAPTIVE_LU = 10.0  # above it most listeners follow without effort (Torcoli et al. 2019, ducking levels)
MAX_ADAPTIVE_LU = 30.0
HOLDS = ("programme", "dialog")
_MAX_LEVEL_GAIN_DB = 3.0  # how much of a level raises dialog


@dataclass(frozen=True)
class Gains:
    """Linear factors of dialog and background, and how much of their effect is used (0..1)."""

    dialog: float = 1.0
    background: float = 1.0
    strength: float = 1.0

    @property
    def bed(self) -> float:
        """Gain of channels that are taken to carry no dialog (surrounds, LFE)."""
        return 1.0 + self.strength * (self.background - 1.0)

    @property
    def neutral(self) -> bool:
        """Whether the law leaves all sound as it is."""
        return self.strength == 0.0 or (self.dialog == 1.0 and self.background == 1.0)

    def of_mask(self, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """Gain of each bin whose Wiener mask of dialog is ``mask`` (0..1)."""
        span = np.float32(self.strength * (self.dialog - self.background))
        return np.asarray(dialog_share(mask) * span + np.float32(self.bed), np.float32)


def dialog_share(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the remix takes for dialog of each bin, 0..1, from its Wiener mask."""
    return mask * np.sqrt(mask)


@dataclass(frozen=True)
class DialogControls:
    """What the listener asks for.

    ``dialog_gain_db`` 0..12, ``background_atten_db`` 0..18 (positive lowers the background), ``strength``
    0..1 blends the whole effect with the dry sound.

    ``adaptive_lu`` 0..30: act only where the short-term loudness of dialog is less than so many LU above
    that of the background, and no more than what is missing (None: always act). ``night``: bring what is
    louder than the dialog down to it. ``hearing``: gain on the dialog as prescribed for an audiogram.
    ``hold``: whose loudness stays as it was, that of the whole "programme", or that of the passages with
    "dialog" (dialog-gated); night mode and hearing profile come on top of it.

    Raises OptionError for values that are not possible.
    """

    dialog_gain_db: float = 0.0
    background_atten_db: float = 0.0
    strength: float = 1.0
    adaptive_lu: float | None = None
    night: bool = False
    hearing: HearingProfile = HearingProfile()
    hold: str = "programme"

    def __post_init__(self) -> None:
        _check("dialog_gain_db", self.dialog_gain_db, MAX_DIALOG_GAIN_DB, "dB")
        _check("background_atten_db", self.background_atten_db, MAX_BACKGROUND_ATTEN_DB, "dB")
        _check("strength", self.strength, 1.0, "")
        if self.adaptive_lu is not None:
            _check("adaptive_lu", self.adaptive_lu, MAX_ADAPTIVE_LU, "LU")
        if self.hold not in HOLDS:
            raise OptionError.unknown("hold", self.hold, HOLDS)

    @classmethod
    def of_level(cls, level: str | float, strength: float = 1.0) -> DialogControls:
        """Controls of a level by name (``LEVELS``), or in dB: ``7.5`` or ``"+7.5dB"``, 0..12."""
        level_db = _level_db(level)
        gain_db = min(level_db / 2, _MAX_LEVEL_GAIN_DB)
        return cls(gain_db, level_db - gain_db, strength)

    @property
    def neutral(self) -> bool:
        """Whether the sound is left as it is."""
        changes = self.difference_db > 0 or self.night or not self.hearing.neutral
        return self.strength == 0.0 or not changes

    @property
    def difference_db(self) -> float:
        """The requested change of the difference between dialog and background at full strength."""
        return self.dialog_gain_db + self.background_atten_db

    def changed(
        self,
        *,
        level: str | float | None = None,
        dialog_gain_db: float | None = None,
        background_atten_db: float | None = None,
        strength: float | None = None,
        adaptive: bool | float | None = None,
        night: bool | None = None,
        hearing: HearingProfile | str | None = None,
        hold: str | None = None,
    ) -> DialogControls:
        """These controls with others; what is not given stays.

        ``level`` sets both gains, as in `of_level`. ``adaptive``: False, True, or the wanted loudness
        difference of dialog and background in LU (True: 10). ``hearing``: a profile, or text for
        `HearingProfile.parse`; `HearingProfile()` for none. Raises OptionError for values that are not
        possible, and for a level together with gains.
        """
        given: dict[str, Any] = {
            "dialog_gain_db": dialog_gain_db,
            "background_atten_db": background_atten_db,
            "strength": strength,
            "night": night,
            "hearing": HearingProfile.parse(hearing) if isinstance(hearing, str) else hearing,
            "hold": hold,
        }
        given = {name: value for name, value in given.items() if value is not None}
        if level is not None:
            if "dialog_gain_db" in given or "background_atten_db" in given:
                raise OptionError("a level sets both gains: give a level, or gains of your own, not both")
            asked = DialogControls.of_level(level)
            given |= {
                "dialog_gain_db": asked.dialog_gain_db,
                "background_atten_db": asked.background_atten_db,
            }
        if isinstance(adaptive, bool):
            given["adaptive_lu"] = ADAPTIVE_LU if adaptive else None
        elif adaptive is not None:
            given["adaptive_lu"] = float(adaptive)
        return replace(self, **given)

    def gains(self, calibration: Sequence[tuple[float, float]] = ()) -> Gains:
        """Linear gains. ``calibration`` says which difference in dB to apply for a requested one.

        It is piecewise linear through (0, 0) and the given (requested, applied) pairs, and goes on with the
        offset of its last pair; both parts of the controls are scaled alike.
        """
        if self.difference_db == 0.0:
            return Gains(strength=self.strength)
        factor = calibrated(self.difference_db, calibration) / self.difference_db
        return Gains(
            10 ** (self.dialog_gain_db * factor / 20),
            10 ** (-self.background_atten_db * factor / 20),
            self.strength,
        )


def calibrated(requested_db: float, calibration: Sequence[tuple[float, float]]) -> float:
    """The difference to apply for a requested one, both in dB; without calibration the same."""
    points = sorted({0.0: 0.0, **dict(calibration)}.items())
    requested, applied = zip(*points)
    beyond = max(0.0, requested_db - requested[-1])
    return float(np.interp(requested_db, requested, applied)) + beyond


class GainRamp:
    """Moves gains to their target in ``frames`` equal steps, and then is exactly there."""

    def __init__(self, start: Gains, frames: int = 2) -> None:
        self._frames = frames
        self.jump(start)

    def jump(self, gains: Gains) -> None:
        """Be there at once, as before a stream begins."""
        self.now = self._from = self.target = gains
        self._left = 0

    def aim(self, target: Gains) -> None:
        """Begin to move to ``target`` from wherever the gains are now."""
        if target != self.target:
            self._from, self.target, self._left = self.now, target, self._frames

    def step(self) -> Gains:
        """The gains of the next frame."""
        if self._left:
            self._left -= 1
            done = 1.0 - self._left / self._frames
            pairs = zip(astuple(self._from), astuple(self.target))
            self.now = Gains(*(a + done * (b - a) for a, b in pairs)) if self._left else self.target
        return self.now


def _level_db(level: str | float) -> float:
    if isinstance(level, str):
        text = level.strip().lower()
        if text in LEVELS:
            return LEVELS[text]
        try:
            level_db = float(text.removesuffix("db"))
        except ValueError:
            raise OptionError.unknown("level", level, [*LEVELS, "+<number>dB"]) from None
    else:
        level_db = float(level)
    _check("level", level_db, LEVELS["max"], "dB")
    return level_db


def _check(name: str, value: float, top: float, unit: str) -> None:
    if not 0.0 <= value <= top:  # also false for NaN
        raise OptionError(f"{name} {value} is not possible: choose 0 to {top:g} {unit}".rstrip())
