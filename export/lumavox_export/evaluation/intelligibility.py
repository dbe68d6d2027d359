"""How well an impaired ear understands dialog: HASPI version 2, by pyclarity (``lumavox[hearing]``).

HASPI (Kates & Arehart 2021) models the auditory periphery with and without the loss of an audiogram, and
compares envelope modulations of clean and processed speech: 0 (nothing understood) to 1 (everything).

    haspi(dialog, remix, 48000, HearingProfile.parse("N3"))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import MissingExtraError
from lumavox.hearing import HearingProfile

Sound = NDArray[np.float32]

FREQUENCIES_HZ = (250, 500, 1000, 2000, 4000, 6000)  # of the model's audiogram
LEVEL_DB_SPL = 65.0  # of the clean dialog, as conversation
_MODEL_HZ = 24000


def haspi(dialog: Sound, heard: Sound, rate_hz: int, profile: HearingProfile) -> float:
    """Intelligibility of ``heard`` ``(n,)`` with ``dialog`` ``(n,)`` as the clean reference.

    Both are played back at the volume that gives the clean dialog 65 dB SPL, so a gain counts as what it
    is. Raises MissingExtraError.
    """
    try:
        import soxr
        from clarity.evaluator.haspi import haspi_v2
        from clarity.utils.audiogram import Audiogram
    except ImportError as error:
        raise MissingExtraError(
            "pyclarity", "hearing", "HASPI, the intelligibility for a hearing loss,"
        ) from error
    volume = 1.0 / (float(np.sqrt(np.mean(np.square(dialog, dtype=np.float64)))) + 1e-12)
    clean, processed = (
        soxr.resample(x.astype(np.float64) * volume, rate_hz, _MODEL_HZ) for x in (dialog, heard)
    )
    hz = np.array(FREQUENCIES_HZ)
    audiogram = Audiogram(profile.loss_db(hz), hz)
    index, _ = haspi_v2(clean, _MODEL_HZ, processed, _MODEL_HZ, audiogram, level1=LEVEL_DB_SPL)
    return float(index)
