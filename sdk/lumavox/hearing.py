"""``HearingProfile``: an audiogram, and the gain that is prescribed for it.

Linear gain by the NAL-R rule (D. Byrne and H. Dillon, "The National Acoustic Laboratories' new procedure for
selecting the gain and frequency response of a hearing aid", Ear and Hearing 7, 1986), given to the dialog
alone. It is not a medical device and knows no ear: loudspeakers reach both, so give the better ear's
audiogram, or the mean of both.

    profile = HearingProfile.parse("250:35 500:35 1000:40 2000:50 4000:60 6000:65")   # Hz:dB HL
    profile = HearingProfile.parse("N3")              # a standard moderate loss
    profile.gain_db(np.array([1000.0, 4000.0]))       # 9.65, 22.85
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import OptionError

MAX_GAIN_DB = 24.0  # more belongs into a hearing aid, and would meet the limiter all the time
_LOWEST_HZ, _HIGHEST_HZ = 125.0, 8000.0
_LOWEST_DB, _HIGHEST_DB = -10.0, 120.0  # what audiometers measure

# Byrne & Dillon 1986: gain = 0.05 (H500 + H1000 + H2000) + 0.31 H(f) + k(f).
_CONSTANTS_DB = {
    250: -17, 500: -8, 750: -3, 1000: 1, 1500: 1, 2000: -1, 3000: -2, 4000: -2, 6000: -2,
}  # fmt: skip

# Standard audiograms of flat and moderately sloping losses (IEC 60118-15; Bisgaard et al., Trends in
# Amplification 14, 2010), dB HL at these frequencies.
_STANDARD_HZ = (250, 375, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000)
STANDARD_DB: dict[str, tuple[float, ...]] = {
    "N1": (10, 10, 10, 10, 10, 10, 15, 20, 30, 40),
    "N2": (20, 20, 20, 22.5, 25, 30, 35, 40, 45, 50),
    "N3": (35, 35, 35, 35, 40, 45, 50, 55, 60, 65),
    "N4": (55, 55, 55, 55, 55, 60, 65, 70, 75, 80),
}


@dataclass(frozen=True)
class HearingProfile:
    """Hearing thresholds as (Hz, dB HL) pairs, sorted by frequency; without any: normal hearing, no gain.

    Frequencies are 125..8000 Hz, at least three of them; thresholds -10..120 dB HL. Raises OptionError.
    """

    thresholds: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        pairs = tuple(sorted((float(hz), float(db)) for hz, db in self.thresholds))
        object.__setattr__(self, "thresholds", pairs)
        if not pairs:
            return
        hz = [pair[0] for pair in pairs]
        if len(set(hz)) < len(hz) or len(hz) < 3:
            raise OptionError(f"audiogram: 3 or more different frequencies are needed, got {hz} Hz")
        for frequency, loss in pairs:
            if not _LOWEST_HZ <= frequency <= _HIGHEST_HZ or not _LOWEST_DB <= loss <= _HIGHEST_DB:
                raise OptionError(
                    f"audiogram: {frequency:g} Hz with {loss:g} dB HL is not possible: frequencies are "
                    f"{_LOWEST_HZ:g} to {_HIGHEST_HZ:g} Hz, thresholds "
                    f"{_LOWEST_DB:g} to {_HIGHEST_DB:g} dB HL"
                )

    @classmethod
    def parse(cls, text: str) -> HearingProfile:
        """A profile from ``"500:35 1000:40 2000:50"`` (also with commas), or a standard one by name.

        Raises OptionError that names the known ones.
        """
        name = text.strip().upper()
        if name in STANDARD_DB:
            return cls(tuple(zip(_STANDARD_HZ, STANDARD_DB[name])))
        pairs = []
        for word in text.replace(",", " ").split():
            hz, _, db = word.partition(":")
            try:
                pairs.append((float(hz), float(db)))
            except ValueError:
                raise OptionError.unknown(
                    "audiogram", text, [*STANDARD_DB, "<Hz>:<dB HL> <Hz>:<dB HL> ..."]
                ) from None
        if not pairs:
            raise OptionError(
                f"audiogram {text!r} is empty: give <Hz>:<dB HL> pairs, or {', '.join(STANDARD_DB)}"
            )
        return cls(tuple(pairs))

    @property
    def neutral(self) -> bool:
        """Whether no gain is prescribed at any frequency."""
        return not self.thresholds or not self.gain_db(list(_CONSTANTS_DB)).any()

    def loss_db(self, hz: ArrayLike) -> NDArray[np.float64]:
        """Thresholds in dB HL at any frequencies in Hz: linear over log frequency, flat beyond the ends."""
        if not self.thresholds:
            return np.zeros(np.shape(hz))
        known_hz, known_db = zip(*self.thresholds)
        return np.asarray(np.interp(_log2(hz), _log2(known_hz), known_db))

    def gain_db(self, hz: ArrayLike) -> NDArray[np.float64]:
        """The prescribed gain in dB, 0..``MAX_GAIN_DB``, at any frequencies in Hz."""
        if not self.thresholds or max(db for _, db in self.thresholds) <= 0:
            return np.zeros(np.shape(hz))
        mean = 0.05 * float(self.loss_db([500.0, 1000.0, 2000.0]).sum())
        at = np.array(list(_CONSTANTS_DB), np.float64)
        prescribed = mean + 0.31 * self.loss_db(at) + np.array(list(_CONSTANTS_DB.values()))
        gain = np.interp(_log2(hz), _log2(at), np.clip(prescribed, 0.0, MAX_GAIN_DB))
        return np.asarray(gain)


def _log2(hz: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(np.log2(np.maximum(np.asarray(hz, np.float64), math.ldexp(1.0, -10))))
