"""How dialog and background are mixed anew: the controls, the gain law, its ramps, and the loudness hold.

Pure numbers: no sound is touched and no network is known here.

    controls = DialogControls.of_level("medium")      # or DialogControls(dialog_gain_db=2, strength=0.5)
    gains = controls.gains(calibration)               # linear factors
    gains.of_mask(mask)                               # gain of each bin

With the dialog estimated as ``mask * dry``, the law

    y = dry + strength * ((g_dialog - 1) * dialog + (g_background - 1) * (dry - dialog))

is one gain per bin, and controls that do nothing give gains of exactly 1. A level of ``d`` dB changes the
difference between dialog and background by ``d``: half by raising dialog, but never by more than 3 dB, the
rest by lowering the background, so that peaks and the loudness hold have little to correct.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError

LEVELS: dict[str, float] = {"off": 0.0, "low": 3.0, "medium": 6.0, "high": 9.0, "max": 12.0}  # dB
MAX_DIALOG_GAIN_DB = 12.0
MAX_BACKGROUND_ATTEN_DB = 18.0
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
        """Gain of each bin whose share of dialog is ``mask`` (0..1)."""
        span = np.float32(self.strength * (self.dialog - self.background))
        return np.asarray(mask * span + np.float32(self.bed), np.float32)


@dataclass(frozen=True)
class DialogControls:
    """What the listener asks for.

    ``dialog_gain_db`` 0..12, ``background_atten_db`` 0..18 (positive lowers the background), ``strength``
    0..1 blends the whole effect with the dry sound. Raises OptionError for values out of range.
    """

    dialog_gain_db: float = 0.0
    background_atten_db: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check("dialog_gain_db", self.dialog_gain_db, MAX_DIALOG_GAIN_DB, "dB")
        _check("background_atten_db", self.background_atten_db, MAX_BACKGROUND_ATTEN_DB, "dB")
        _check("strength", self.strength, 1.0, "")

    @classmethod
    def of_level(cls, level: str | float, strength: float = 1.0) -> DialogControls:
        """Controls of a level by name (``LEVELS``), or in dB: ``7.5`` or ``"+7.5dB"``, 0..12."""
        level_db = _level_db(level)
        gain_db = min(level_db / 2, _MAX_LEVEL_GAIN_DB)
        return cls(gain_db, level_db - gain_db, strength)

    @property
    def difference_db(self) -> float:
        """The requested change of the difference between dialog and background at full strength."""
        return self.dialog_gain_db + self.background_atten_db

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


class LoudnessHold:
    """A slow make-up gain that keeps the loudness of the programme where it was.

    It follows the ratio of the mean energies (K-weighted, as in BS.1770-4) of dry and remixed sound over
    the last ``SECONDS``; quiet frames below the absolute gate of -70 LUFS do not count. Pauses between
    words hardly move it. Where dialog comes back after long music, a second measure over 0.3 s caps the
    gain, so that no onset comes out more than ``HEADROOM_DB`` louder than it went in. The gain stays
    within ``LIMIT_DB``, and moves by at most ``RISE_DB_PER_S`` up and ``FALL_DB_PER_S`` down.
    """

    SECONDS = 6.0
    FAST_SECONDS = 0.3
    HEADROOM_DB = 1.5
    LIMIT_DB = 12.0
    RISE_DB_PER_S = 6.0
    FALL_DB_PER_S = 60.0
    _GATE = 10 ** ((-70 + 0.691) / 10)
    _FRESH_S = 0.5  # after a change of controls the past counts no more than this

    def __init__(self, frames_per_second: float) -> None:
        self._rate = frames_per_second
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self.gain_db = 0.0
        self._weight = 0.0
        self._slow = np.zeros(2)
        self._fast = np.zeros(2)

    def change(self) -> None:
        """The controls have changed: what was measured says little about what comes."""
        keep = min(1.0, self._FRESH_S * self._rate / self._weight) if self._weight else 1.0
        self._weight *= keep
        self._slow *= keep

    def update(self, dry: float, remixed: float) -> float:
        """Linear gain of this frame, from the K-weighted mean squares of its dry and remixed sound."""
        if dry > self._GATE:
            pair = np.array([dry, remixed])
            decay = 1.0 - 1.0 / (self.SECONDS * self._rate)
            self._weight = self._weight * decay + 1.0
            self._slow = self._slow * decay + pair
            self._fast += (pair - self._fast) / (self.FAST_SECONDS * self._rate)
        return self._move(min(_ratio_db(self._slow), _ratio_db(self._fast) + self.HEADROOM_DB))

    def release(self) -> float:
        """Linear gain of a frame that stays dry: to exactly 1 within three frames."""
        self.gain_db = 0.0 if abs(self.gain_db) < 2.0 else self.gain_db / 4
        return 10 ** (self.gain_db / 20)

    def _move(self, target_db: float) -> float:
        target_db = min(max(target_db, -self.LIMIT_DB), self.LIMIT_DB)
        rise, fall = self.RISE_DB_PER_S / self._rate, self.FALL_DB_PER_S / self._rate
        self.gain_db += min(max(target_db - self.gain_db, -fall), rise)
        return 10 ** (self.gain_db / 20)


def _ratio_db(pair: NDArray[np.float64]) -> float:
    dry, remixed = float(pair[0]), float(pair[1])
    return 10 * math.log10(dry / remixed) if dry > 0 and remixed > 0 else 0.0


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
