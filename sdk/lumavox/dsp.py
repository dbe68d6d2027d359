"""The signal front-end of dialog enhancement: STFT, band features, mask expansion.

The one definition, used by training and by the runtime. It is plain numpy and knows nothing of networks,
engines or files. Bins are ``rate_hz / window`` apart, so a front-end at 16 kHz with window 480 and one at
48 kHz with window 1440 share their lower bins: a network trained at 16 kHz runs at 48 kHz unchanged.

    front_end = BandFrontEnd()                        # 48 kHz, window 1440, hop 720
    stft, level = front_end.stft(), front_end.level()
    spectrum = stft.analyze(hop_samples)              # one hop in
    features = front_end.features(spectrum, level)    # (bands,) for the network
    gains = front_end.expand(mask)                    # (bands,) -> (bins,)
    dialog = stft.synthesize(spectrum * gains)        # one hop out, ``window - hop`` samples later
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]


@dataclass(frozen=True)
class BandFrontEnd:
    """How sound becomes network features and how a band mask becomes bin gains.

    ``linear_bands`` bands of one bin each from the first bin above DC, the rest spaced geometrically up to
    ``top_hz``. Features are band magnitudes, divided by a running level, to the power ``power``
    (power-law compression, Braun & Tashev 2020, arXiv:2009.12286).
    """

    rate_hz: int = 48000
    window: int = 1440  # samples
    hop: int = 720  # samples
    bands: int = 96
    linear_bands: int = 48
    top_hz: float = 8000.0  # the network decides below; bins above follow its highest bands
    power: float = 0.3
    level_seconds: float = 3.0  # time constant of the running level
    feature_max: float = 8.0

    def __post_init__(self) -> None:
        if self.window != 2 * self.hop:
            raise OptionError(f"window must be twice the hop, got window {self.window} and hop {self.hop}")
        if not 0 < self.linear_bands < self.bands:
            raise OptionError(f"linear_bands must be in 1..{self.bands - 1}, got {self.linear_bands}")
        if self.top_hz > self.rate_hz / 2 or self.top_bin <= self.bands:
            raise OptionError(f"top_hz {self.top_hz} does not fit {self.bands} bands at {self.rate_hz} Hz")

    @property
    def bins(self) -> int:
        """Bins of one spectrum."""
        return self.window // 2 + 1

    @property
    def top_bin(self) -> int:
        """The highest bin that the network decides on."""
        return round(self.top_hz * self.window / self.rate_hz)

    @property
    def delay_samples(self) -> int:
        """Delay of analysis and synthesis when samples arrive one at a time."""
        return self.window

    def at_rate(self, rate_hz: int) -> BandFrontEnd:
        """The same front-end for another rate: equal bin spacing and bands.

        Raises OptionError if the window would not be a whole, even number of samples there.
        """
        window, rest = divmod(self.window * rate_hz, self.rate_hz)
        if rest or window % 2:
            raise OptionError(
                f"a window of {self.window} samples at {self.rate_hz} Hz is not whole at {rate_hz} Hz"
            )
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return BandFrontEnd(**(fields | {"rate_hz": rate_hz, "window": window, "hop": window // 2}))

    def stft(self, channels: int = 0) -> Stft:
        """A fresh streaming STFT, of one flat signal or of ``channels`` signals at once."""
        return Stft(self.window, channels)

    def level(self) -> RunningLevel:
        """A fresh running level."""
        return RunningLevel(np.exp(-self.hop / (self.level_seconds * self.rate_hz)))

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Centre of each band in bins: ``(bands,)``."""
        linear = np.arange(1, self.linear_bands + 1, dtype=np.float64)
        steps = self.bands - self.linear_bands
        # The first step of the geometric part is as near to one bin as the span allows.
        ratio = (self.top_bin / linear[-1]) ** (1.0 / steps)
        spaced = linear[-1] * ratio ** np.arange(1, steps + 1)
        for i in range(steps):  # no two centres closer than one bin
            spaced[i] = max(spaced[i], (spaced[i - 1] if i else linear[-1]) + 1.0)
        return np.concatenate([linear, np.minimum(spaced, self.top_bin)])

    @cached_property
    def expansion(self) -> Float:
        """Linear interpolation from bands to bins: ``(bins, bands)``, rows sum to 1."""
        matrix = np.zeros((self.bins, self.bands), np.float32)
        bins = np.arange(self.top_bin + 1)
        for band in range(self.bands):
            unit = np.zeros(self.bands)
            unit[band] = 1.0
            matrix[: self.top_bin + 1, band] = np.interp(bins, self.centres, unit)
        # Above the network's band, speech energy comes with energy at 4.5-8 kHz (fricatives).
        upper = self.centres > 0.56 * self.top_bin
        matrix[self.top_bin + 1 :, upper] = 1.0 / upper.sum()
        return matrix

    @cached_property
    def analysis(self) -> Float:
        """From bin powers to mean band powers: ``(top_bin + 1, bands)``, columns sum to 1."""
        matrix = self.expansion[: self.top_bin + 1].copy()
        matrix[0] = 0.0  # DC tells nothing about dialog
        return np.asarray(matrix / matrix.sum(0), np.float32)

    def features(self, spectrum: Complex, level: RunningLevel) -> Float:
        """Network features ``(bands,)`` of one spectrum ``(bins,)``; advances ``level``."""
        return self.features_of(spectrum[None], level)[0]

    def features_of(self, spectra: Complex, level: RunningLevel | None = None) -> Float:
        """Network features ``(frames, bands)`` of successive spectra ``(frames, bins)``.

        Advances ``level``; without one, the frames begin a new signal.
        """
        return self.features_of_powers(self.band_powers(spectra), level or self.level())

    def band_powers(self, spectra: Complex) -> Float:
        """Mean power of each band ``(..., bands)`` of spectra ``(..., bins)``."""
        lower = spectra[..., : self.top_bin + 1]
        return np.asarray((lower.real**2 + lower.imag**2) @ self.analysis, np.float32)

    def features_of_powers(self, powers: Float, level: RunningLevel) -> Float:
        """Network features of successive band powers, both ``(frames, bands)``; advances ``level``."""
        levels = np.array([level.update(float(p)) for p in powers.mean(1)], np.float32)
        scaled = (powers / levels[:, None]) ** np.float32(self.power / 2)
        return np.minimum(scaled, np.float32(self.feature_max))

    def expand(self, mask: Float) -> Float:
        """Bin gains ``(..., bins)`` of a band mask ``(..., bands)``."""
        out = np.empty((*mask.shape[:-1], self.bins), np.float32)
        out[..., : self.top_bin + 1] = mask @ self.expansion[: self.top_bin + 1].T
        out[..., self.top_bin + 1 :] = (mask @ self.expansion[-1])[..., None]  # all rows above are alike
        return out


class RunningLevel:
    """Causal mean power of the recent past; holds through silence, so a pause does not raise the gain."""

    FLOOR = 1e-7  # mean bin power of digital near-silence (about -100 dBFS)

    def __init__(self, decay: float) -> None:
        self.decay = float(decay)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._sum = 0.0
        self._weight = 0.0

    def update(self, power: float) -> float:
        """Take in one frame's mean power and return the level, never below ``FLOOR``."""
        if power > self.FLOOR:
            self._sum = self.decay * self._sum + power
            self._weight = self.decay * self._weight + 1.0
        return max(self._sum / self._weight, self.FLOOR) if self._weight else self.FLOOR


class Stft:
    """Streaming short-time Fourier transform, periodic square-root Hann, 50 % overlap.

    Analysis and synthesis windows multiply to a Hann window, whose shifted copies sum to 1, so that
    ``synthesize(analyze(x))`` is ``x`` delayed by one hop. With ``channels``, samples are ``(channels, n)``
    and spectra ``(channels, bins)``; without, both are flat.
    """

    def __init__(self, window: int, channels: int = 0) -> None:
        self.window = window
        self.hop = window // 2
        self._state = (channels, self.hop) if channels else (self.hop,)
        n = np.arange(window)
        self.shape = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * n / window)).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._past = np.zeros(self._state, np.float32)
        self._tail = np.zeros(self._state, np.float32)

    def analyze(self, samples: Float) -> Complex:
        """Spectrum ``(window // 2 + 1,)`` of the last window, after ``hop`` new samples."""
        frame = np.concatenate([self._past, samples], axis=-1)
        self._past = np.array(samples, np.float32)
        return np.fft.rfft(frame * self.shape).astype(np.complex64, copy=False)

    def synthesize(self, spectrum: Complex) -> Float:
        """The next ``hop`` samples, one hop behind the newest analysed ones."""
        frame = np.fft.irfft(spectrum, self.window).astype(np.float32, copy=False) * self.shape
        out = self._tail + frame[..., : self.hop]
        self._tail = frame[..., self.hop :]
        return np.asarray(out)

    def analyze_all(self, samples: Float) -> Complex:
        """Spectra ``(frames, window // 2 + 1)`` of a whole signal, equal to hop-by-hop analysis.

        The signal is cut to a whole number of hops.
        """
        count = len(samples) // self.hop
        padded = np.concatenate([np.zeros(self.hop, np.float32), samples[: count * self.hop]])
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        return np.fft.rfft(frames * self.shape, axis=-1).astype(np.complex64)

    def synthesize_all(self, spectra: Complex) -> Float:
        """Samples of whole-signal spectra, aligned with the input of ``analyze_all`` (no delay).

        Returns ``(frames - 1) * hop`` samples: the last hop has only half of its overlap.
        """
        frames = np.fft.irfft(spectra, self.window, axis=-1).astype(np.float32) * self.shape
        return np.asarray(frames[:-1, self.hop :] + frames[1:, : self.hop]).reshape(-1)
