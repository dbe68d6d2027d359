"""A look-ahead true-peak limiter.

Not a loudness processor: sound that stays below the ceiling comes out bit for bit as it went in, only
later. All channels share one gain, so the stereo image does not move.

    limiter = TruePeakLimiter(rate_hz=48000, channels=2)      # -1 dBTP, look-ahead 2 ms
    out, touched = limiter.process(block)                     # as many samples, delay_samples later

True peaks are found by the four-fold interpolation of BS.1770-4 Annex 2. Each peak asks for an attenuation
in dB; the largest within the look-ahead is held, let go at a constant rate, and averaged over the
look-ahead, so that the gain arrives at a peak in time and never jumps. Attenuations are whole numbers of
1/1024 dB: nothing drifts, and zero is exactly zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .loudness import TRUE_PEAK_BOUND, TRUE_PEAK_TAPS, check_format, interpolated_peaks

Float = NDArray[np.float32]
Flags = NDArray[np.bool_]

LOOK_AHEAD_S = 0.002
RELEASE_DB_PER_S = 80.0
IDLE_RELEASE_DB_PER_S = 400.0  # where limiting is not wanted: 12 dB are gone after 30 ms

_UNITS = 1024  # of attenuation per dB
_REACH = TRUE_PEAK_TAPS // 2  # samples after a sample that its true peak depends on


class TruePeakLimiter:
    """Keeps the true peak of a stream at or below ``ceiling_dbtp``.

    ``rate_hz`` and ``channels`` as in ``loudness.check_format`` (AudioError); ``ceiling_dbtp`` is -20..0
    (OptionError). ``delay_samples`` is the look-ahead: 96 at 48 kHz.
    """

    def __init__(self, rate_hz: int = 48000, channels: int = 2, ceiling_dbtp: float = -1.0) -> None:
        check_format(rate_hz, channels)
        if not -20.0 <= ceiling_dbtp <= 0.0:
            raise OptionError(f"ceiling_dbtp {ceiling_dbtp} is not possible: choose -20 to 0 dBTP")
        self.channels = channels
        self.ceiling_dbtp = ceiling_dbtp
        self.delay_samples = int(LOOK_AHEAD_S * rate_hz)
        self._ceiling = np.float32(10 ** (ceiling_dbtp / 20))
        self._attack = self.delay_samples - _REACH
        self._release = max(1, round(RELEASE_DB_PER_S * _UNITS / rate_hz))
        self._idle_release = max(1, round(IDLE_RELEASE_DB_PER_S * _UNITS / rate_hz))
        self.reset()

    def reset(self) -> None:
        """Forget the past, as after a seek."""
        self._signal = np.zeros((self.delay_samples, self.channels), np.float32)
        self._active = np.zeros(self.delay_samples, bool)
        self._wanted = np.zeros(self._attack + 1, np.int64)  # by the latest peaks
        self._held = np.zeros(self._attack, np.int64)  # the latest attenuations before averaging

    def process(self, block: Float, active: Flags | bool = True) -> tuple[Float, Flags]:
        """Limit ``block`` ``(n, channels)``; only peaks at ``active`` samples ``(n,)`` ask for attenuation.

        Returns the ``n`` samples that went in ``delay_samples`` ago, and for each whether it was active or
        attenuated; where not, the samples are the very ones that went in.
        """
        n = len(block)
        signal = np.concatenate([self._signal, block])
        flags = np.concatenate([self._active, np.broadcast_to(np.asarray(active, bool), n)])
        attenuation = self._attenuation(signal, flags, n)
        self._signal, self._active = signal[n:], flags[n:]
        out, touched = signal[:n], flags[:n]
        if attenuation is None:
            return out, touched
        gain = np.power(10.0, attenuation * (-1.0 / (20 * _UNITS * (self._attack + 1)))).astype(np.float32)
        return out * gain[:, None], touched | (attenuation > 0)

    def _attenuation(self, signal: Float, flags: Flags, n: int) -> NDArray[np.int64] | None:
        """Attenuation of the ``n`` oldest samples, times ``attack + 1``; None if there is none."""
        if not n:
            return None
        # Spans start at the sample that the newest interpolation point reaches back to.
        recent = signal[-(n + TRUE_PEAK_TAPS - 1) :]
        at = flags[-(n + _REACH) : -_REACH]
        fresh = np.zeros(n, np.int64)
        loudest = max(float(recent.max()), -float(recent.min()))
        if loudest * TRUE_PEAK_BOUND > self._ceiling and at.any():
            over = np.maximum(interpolated_peaks(recent) / self._ceiling, 1.0)
            fresh = np.where(at, np.ceil(20 * _UNITS * np.log10(over.astype(np.float64))), 0).astype(np.int64)
        elif not self._held.any() and not self._wanted.any():
            return None
        wanted = np.concatenate([self._wanted, fresh])
        held = _sliding_max(wanted, self._attack + 2)
        # held[i] = max(held[i], held[i - 1] - fall[i]), as a running maximum.
        fall = np.cumsum(np.where(at, self._release, self._idle_release))
        held = np.maximum.accumulate(np.concatenate([self._held[-1:], held + fall]))[1:] - fall
        window = np.concatenate([self._held, held])
        self._wanted, self._held = wanted[n:], window[n:]
        total = np.cumsum(np.concatenate([[0], window]))
        return np.asarray(total[self._attack + 1 :] - total[:n])


def _sliding_max(values: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Maximum of each ``width`` neighbours, by doubling."""
    have = 1
    while have < width:
        step = min(have, width - have)
        values = np.maximum(values[:-step], values[step:])
        have += step
    return values
