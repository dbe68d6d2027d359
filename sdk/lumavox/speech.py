"""What the dialog is doing: `SpeechState`, and `SpeechTracker`, which reads it off the network's masks.

Pure numbers, one frame at a time; no sound is touched.

A mask is read as a Wiener gain: with mask ``m`` and power ``P`` in a bin, ``m²P`` is the dialog's estimated
power, ``(1 - m)²P`` the background's, and ``m(1 - m)P`` the variance of the estimate, that is the expected
power of its error (Ephraim & Malah 1984, posterior of Gaussian speech in Gaussian noise). Powers are
K-weighted and summed as in BS.1770-4. The ratio of dialog to error is the signal-to-distortion ratio that the
dialog stem is expected to have, whatever the network: `SpeechState.confidence` is that ratio on a scale of
0 to 1.

    tracker = SpeechTracker(frames_per_second)
    state = tracker.update(total, weighted, squared)  # sums of P, m P and m² P
    state.active, state.confidence, state.difference_lu
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .loudness import lufs, power_of

PRESENT_SHARE = 0.2  # of all power: dialog has begun
ABSENT_SHARE = 0.08  # below it for HOLD_S: dialog has ended
BEGIN_S = 0.09
HOLD_S = 0.6  # pauses between words and breaths are part of the dialog
BEGIN_LAG_S, END_LAG_S = BEGIN_S + 0.03, HOLD_S + 0.25  # from what is heard to what ``active`` says
MIN_DIALOG_LUFS = -60.0  # quieter speech is nobody's dialog
DOUBTFUL_DB, SURE_DB = -2.0, 4.0  # expected SDR of the stem at confidence 0 and 1
_SHARE_S = 0.12  # a syllable
_CONFIDENCE_S = 1.0
_SHORT_TERM_S = 3.0  # as short-term loudness, EBU Tech 3341
_TINY = 1e-20


@dataclass(frozen=True)
class SpeechState:
    """The dialog at one moment.

    ``active``: dialog is heard (with hysteresis; pauses of up to 0.6 s belong to it), as captions need it.
    ``share``: of all K-weighted power over a syllable, 0..1. ``confidence``: 0 (a guess) to 1.
    ``dialog_lufs``, ``background_lufs``: short-term loudness of the stems while dialog was active;
    None before there was any, and after a reset.
    """

    active: bool = False
    share: float = 0.0
    confidence: float = 0.0
    dialog_lufs: float | None = None
    background_lufs: float | None = None

    @property
    def difference_lu(self) -> float | None:
        """Short-term speech-to-background loudness difference; ``inf`` over silence."""
        if self.dialog_lufs is None or self.background_lufs is None:
            return None
        return self.dialog_lufs - self.background_lufs


SILENT = SpeechState()


class SpeechTracker:
    """Follows a stream of masked frames; ``update`` for each."""

    def __init__(self, frames_per_second: float) -> None:
        self._share_step = 1.0 / (_SHARE_S * frames_per_second)
        self._confidence_keep = 1.0 - 1.0 / (_CONFIDENCE_S * frames_per_second)
        self._begin = max(1, round(BEGIN_S * frames_per_second))
        self._hold = max(1, round(HOLD_S * frames_per_second))
        self._window = np.zeros((round(_SHORT_TERM_S * frames_per_second), 2))
        self._quietest = power_of(MIN_DIALOG_LUFS)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self.state = SILENT
        self._dialog = self._total = 0.0  # over a syllable
        self._sure = self._doubt = 0.0  # dialog and its error over the last second of dialog
        self._count = 0  # frames in favour of a change of ``active``
        self._window[:] = 0.0
        self._frames = 0  # that went into the window

    def update(self, total: float, weighted: float, squared: float) -> SpeechState:
        """The state after a frame with these K-weighted mean squares: sums of ``P``, ``m P``, ``m² P``."""
        doubt = max(0.0, weighted - squared)
        background = max(0.0, total - 2 * weighted + squared)
        self._dialog += (squared - self._dialog) * self._share_step
        self._total += (total - self._total) * self._share_step
        share = min(1.0, self._dialog / (self._total + _TINY))
        active = self._decide(share, max(self._dialog, squared) < self._quietest)
        if active:
            self._sure = self._sure * self._confidence_keep + squared
            self._doubt = self._doubt * self._confidence_keep + doubt
            self._window[self._frames % len(self._window)] = squared, background
            self._frames += 1
        levels: tuple[float | None, float | None] = (None, None)
        if self._frames:
            means = self._window.sum(0) / min(self._frames, len(self._window))
            levels = lufs(float(means[0])), lufs(float(means[1]))
        self.state = SpeechState(active, share, self._confidence(), *levels)
        return self.state

    def _decide(self, share: float, quiet: bool) -> bool:
        active = self.state.active
        if active:
            against, needed = share < ABSENT_SHARE or quiet, self._hold
        else:
            against, needed = share > PRESENT_SHARE and not quiet, self._begin
        self._count = self._count + 1 if against else 0
        if self._count >= needed:
            self._count = 0
            return not active
        return active

    def _confidence(self) -> float:
        ratio_db = 10 * math.log10((self._sure + _TINY) / (self._doubt + _TINY))
        return min(1.0, max(0.0, (ratio_db - DOUBTFUL_DB) / (SURE_DB - DOUBTFUL_DB)))
