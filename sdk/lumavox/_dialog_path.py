"""Dialog enhancement at the network's rate, one hop at a time: from sound to what must be added to it.

All channels share one mask, estimated from the mid signal, so levels and phases between them do not move.
The front channels get the remix gains per bin; surrounds and LFE are taken to be background and get one
gain. What comes out is the *difference* to the dry sound, which the caller adds to its delayed copy: no
difference means bit-exact dry sound. Delays, other rates and sample formats are the caller's (`audio`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._dialog_network import DialogNetwork
from .dsp import BandFrontEnd
from .loudness import CHANNEL_WEIGHTS, k_weighting_power
from .remix import GainRamp, Gains, LoudnessHold

Float = NDArray[np.float32]

_LARGEST = np.float32(16.0)  # +24 dBFS; louder samples would overflow the powers
_SMALLEST = np.float32(1e-15)  # -300 dBFS; smaller samples would become denormal numbers


def front_channels(channels: int) -> int:
    """How many channels, from the first, may carry dialog: L R C where there is a centre, else L R."""
    return min(channels, 2 if channels in (2, 4) else 3)


@dataclass(frozen=True)
class FrameGains:
    """The broadband gains at one frame; between frames they follow the overlap of the windows."""

    make_up: float = 1.0
    bed: float = 1.0
    dry: bool = True  # nothing is done to the sound: all gains are exactly 1


class DialogPath:
    """Steps hops of ``(hop, channels)`` through STFT, network and remix."""

    def __init__(self, front_end: BandFrontEnd, network: DialogNetwork, channels: int) -> None:
        self._front_end = front_end
        self._network = network
        self._fronts = front_channels(channels)
        # Mid: (L + R) / 2, and a centre as loud as in an ITU-R BS.775 downmix.
        self._mid = np.array([0.5, 0.5, 0.7071][: self._fronts] if channels > 1 else [1.0], np.float32)
        self._bed_weights = np.array(CHANNEL_WEIGHTS[channels][self._fronts :])
        self._stfts = [front_end.stft() for _ in range(channels)]
        self._level = front_end.level()
        # Mean square of K-weighted sound from bin powers: one-sided spectrum, window of mean power 1/2.
        power = k_weighting_power(front_end.rate_hz, front_end.window) * 4 / front_end.window**2
        power[[0, -1]] /= 2
        self._k_power = power.astype(np.float32)
        self._hold = LoudnessHold(front_end.rate_hz / front_end.hop)
        self._wanted = Gains()
        self._ramp = GainRamp(self._wanted)
        self.reset()

    def reset(self) -> None:
        """Forget the past; gains are where they were going to."""
        for stft in self._stfts:
            stft.reset()
        self._level.reset()
        self._hold.reset()
        self._ramp.jump(self._wanted)
        self._network.reset()
        self._ringing = False  # the last frame's difference reaches into the next hop

    def start(self, gains: Gains) -> None:
        """Gains of a stream that has not begun."""
        self._wanted = gains
        self._ramp.jump(gains)

    def aim(self, gains: Gains) -> None:
        """Gains to move to; within 45 ms, windows included."""
        self._wanted = gains  # taken up by the next step: any thread may call this

    def step(self, sound: Float) -> tuple[Float, FrameGains, bool]:
        """The next hop ``(hop, channels)`` of finite samples.

        Returns what to add to the hop before it, ``(hop, front channels)``, the broadband gains at their
        border, and whether the network was used.
        """
        sound = np.clip(sound, -_LARGEST, _LARGEST)
        sound[np.abs(sound) < _SMALLEST] = 0.0
        spectra = [stft.analyze(np.ascontiguousarray(sound[:, c])) for c, stft in enumerate(self._stfts)]
        mid = sum((w * s for w, s in zip(self._mid[1:], spectra[1:])), self._mid[0] * spectra[0])
        features = self._front_end.features(mid, self._level)
        if self._wanted != self._ramp.target:
            self._ramp.aim(self._wanted)
            self._hold.change()
        gains = self._ramp.step()
        mask = None
        if gains.neutral:
            self._network.skip()
        else:
            mask = self._network.mask(features)
        if mask is None:
            make_up = self._hold.release()
            return self._synthesize(spectra, None), FrameGains(make_up, 1.0, make_up == 1.0), False
        bins = gains.of_mask(self._front_end.expand(mask))
        make_up = self._hold.update(*self._energies(spectra, bins, gains.bed))
        return self._synthesize(spectra, bins - 1), FrameGains(make_up, gains.bed, False), True

    def _energies(self, spectra: list[NDArray[np.complex64]], bins: Float, bed: float) -> tuple[float, float]:
        """K-weighted mean squares of dry and remixed sound, summed over channels as in BS.1770-4."""
        powers = [(s.real**2 + s.imag**2) * self._k_power for s in spectra]
        front = np.sum(powers[: self._fronts], axis=0)
        beds = float(sum(w * p.sum() for w, p in zip(self._bed_weights, powers[self._fronts :])))
        return float(front.sum()) + beds, float(front @ bins**2) + bed**2 * beds

    def _synthesize(self, spectra: list[NDArray[np.complex64]], change: Float | None) -> Float:
        out = np.zeros((self._front_end.hop, self._fronts), np.float32)
        if change is None and not self._ringing:
            return out
        for c in range(self._fronts):
            spectrum = np.zeros_like(spectra[c]) if change is None else spectra[c] * change
            out[:, c] = self._stfts[c].synthesize(spectrum)
        self._ringing = change is not None
        return out
