"""Dialog enhancement at the network's rate, one hop at a time: from sound to what must be added to it.

One mask for the channels that carry dialog (`_dialog_layout`), so levels and phases between them do not
move; the others are background and get one gain. What comes out is the *difference* to the dry sound, which
the caller adds to its delayed copy: no difference means bit-exact dry sound. Delays, other rates and sample
formats are the caller's (`audio`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._dialog_effect import Amount, Effect
from ._dialog_layout import DialogLayout
from ._dialog_network import DialogNetwork
from .dsp import BandFrontEnd
from .loudness import CHANNEL_WEIGHTS, k_weighting_power
from .loudness_hold import LoudnessHold
from .night import NightRange
from .remix import DialogControls, GainRamp, Gains, dialog_share
from .speech import PRESENT_SHARE, SpeechState, SpeechTracker

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]

_LARGEST = np.float32(16.0)  # +24 dBFS; louder samples would overflow the powers
_SMALLEST = np.float32(1e-15)  # -300 dBFS; smaller samples would become denormal numbers
_CURVE_FRAMES = 3  # a changed hearing profile is reached in as many


@dataclass(frozen=True)
class FrameGains:
    """The broadband gains at one frame; between frames they follow the overlap of the windows."""

    make_up: float = 1.0
    bed: float = 1.0
    dry: bool = True  # nothing is done to the sound: all gains are exactly 1


@dataclass(frozen=True, eq=False)
class Step:
    """What one hop gave: see `DialogPath.step`."""

    change: Float
    gains: FrameGains
    enhanced: bool
    dialog: Float | None


class DialogPath:
    """Steps hops of ``(hop, channels)`` through STFT, network and remix."""

    def __init__(self, front_end: BandFrontEnd, network: DialogNetwork, channels: int, stems: bool) -> None:
        rate = front_end.rate_hz / front_end.hop
        self._front_end = front_end
        self._network = network
        self.layout = DialogLayout(channels, rate)
        self._fronts = self.layout.fronts
        self._bed_weights = np.array(CHANNEL_WEIGHTS[channels][self._fronts :], np.float32)
        self._stft = front_end.stft(channels)
        self._change_stft = front_end.stft(self._fronts)
        self._dialog_stft = front_end.stft(self._fronts) if stems else None
        self._level = front_end.level()
        # Mean square of K-weighted sound from bin powers: one-sided spectrum, window of mean power 1/2.
        power = k_weighting_power(front_end.rate_hz, front_end.window) * 4 / front_end.window**2
        power[[0, -1]] /= 2
        self._k_power = power.astype(np.float32)
        self._bin_hz = np.arange(front_end.bins) * front_end.rate_hz / front_end.window
        self._speech = SpeechTracker(rate)
        self._effect = Effect(rate)
        self._hold = LoudnessHold(rate)
        self._night = NightRange(rate)
        self._wanted = self._controls = DialogControls(), Gains()
        self._ramp = GainRamp(Gains())
        self._goal = self._curve = np.ones(1, np.float32)  # gain of the hearing profile, of each bin
        self.reset()

    def reset(self) -> None:
        """Forget the past; gains are where they were going to."""
        for part in (self._stft, self._change_stft, self._level, self._hold, self._speech, self._effect):
            part.reset()
        if self._dialog_stft is not None:
            self._dialog_stft.reset()
        self.layout.reset()
        self._night.reset()
        self._network.reset()
        self._jump()
        self._ringing = False  # the last frame's difference reaches into the next hop

    @property
    def speech(self) -> SpeechState:
        """What was known of the dialog at the last frame."""
        return self._speech.state

    def start(self, controls: DialogControls, gains: Gains) -> None:
        """Controls of a stream that has not begun."""
        self.aim(controls, gains)
        self._jump()

    def aim(self, controls: DialogControls, gains: Gains) -> None:
        """Controls to move to, and their calibrated gains; within 45 ms, windows included."""
        self._wanted = controls, gains  # taken up by the next step: any thread may call this

    def step(self, sound: Float) -> Step:
        """The next hop ``(hop, channels)`` of finite samples.

        Gives what to add to the hop before it, ``(hop, front channels)``, the broadband gains at their
        border, whether the network was used, and the dialog of the hop before it, likewise, if asked for.
        """
        sound = np.clip(sound.T, -_LARGEST, _LARGEST)
        sound[np.abs(sound) < _SMALLEST] = 0.0
        spectra = self._stft.analyze(sound)
        fronts = spectra[: self._fronts]
        feed = self.layout.feed(fronts)
        powers = self._front_end.band_powers(feed if self._fronts != 2 else np.stack([*fronts, feed]))
        middle = powers[-1] if self._fronts == 2 else powers
        features = self._front_end.features_of_powers(middle[None], self._level)[0]
        gains = self._ramped()
        mask = None
        if self._idle(gains):
            self._network.skip()
            self._speech.reset()
        else:
            mask = self._network.mask(features)
        if mask is None:
            make_up = self._hold.release()
            stem = self._stem(fronts, None)
            return Step(self._change(fronts, None), FrameGains(make_up, 1.0, make_up == 1.0), False, stem)
        bins = self._front_end.expand(self.layout.bands(mask, powers[:2], middle))
        masks = self.layout.masks(bins)
        make_up, bed, change = self._remix(gains, spectra, bins, masks)
        dry = change is None and make_up == 1.0
        return Step(
            self._change(fronts, change), FrameGains(make_up, bed, dry), True, self._stem(fronts, masks)
        )

    def _remix(
        self, gains: Gains, spectra: Complex, bins: Float, masks: Float
    ) -> tuple[float, float, Float | None]:
        """Make-up gain, gain of the bed, and gain less 1 of the front channels' bins (None: all 0)."""
        controls = self._controls[0]
        powers = (spectra.real**2 + spectra.imag**2) * self._k_power
        front = powers[: self._fronts]
        shares = dialog_share(masks)
        total, weighted, squared = self._energies(front, powers[self._fronts :], masks)
        state = self._speech.update(total, weighted, squared)
        self.layout.follow(bins, front, state.active)
        amount = self._effect.update(state, controls.difference_db, controls.adaptive_lu)
        night = self._night.update(
            controls.night,
            max(0.0, total - 2 * weighted + squared),
            squared if state.active and state.share > PRESENT_SHARE else None,
        )
        dialog, background = gains.dialog**amount.remix, gains.background**amount.remix
        make_up = self._made_up(
            gains, dialog, background, self._energies(front, powers[self._fronts :], shares), amount, state
        )
        if amount.presence == 0.0 and night == 1.0:
            return make_up, 1.0, None
        below = background * night
        above = dialog if len(self._curve) == 1 else dialog * (1 + amount.trust * (self._curve - 1))
        change = shares * np.asarray(gains.strength * (above - below), np.float32)
        change += np.float32(gains.strength * (below - 1))
        return make_up, 1 + gains.strength * (below - 1), change

    def _energies(self, front: Float, beds: Float, masks: Float) -> tuple[float, float, float]:
        """K-weighted mean squares of all channels, as `SpeechTracker` needs them: sums of P, m P, m² P."""
        if len(masks) == 1:
            front = front.sum(0, keepdims=True)
        masked = front * masks
        bed = float(self._bed_weights @ beds.sum(1)) if len(beds) else 0.0
        return float(front.sum()) + bed, float(masked.sum()), float(np.vdot(masked, masks))

    def _made_up(
        self,
        gains: Gains,
        dialog: float,
        background: float,
        energies: tuple[float, float, float],
        amount: Amount,
        state: SpeechState,
    ) -> float:
        """Make-up gain for the remix alone: night mode and hearing profile are meant to be heard."""
        if gains.neutral:
            return self._hold.release()
        total, weighted, squared = energies
        dialog_only = self._controls[0].hold == "dialog"
        if amount.presence == 0.0:
            if not dialog_only:
                self._hold.pass_dry(total)
            return 1.0
        base = 1 + gains.strength * (background - 1)
        span = gains.strength * (dialog - background)
        remixed = base * base * total + 2 * base * span * weighted + span * span * squared
        counts = not dialog_only or state.share > PRESENT_SHARE
        return self._hold.update(total, remixed, amount.presence, counts=counts)

    def _change(self, fronts: Complex, change: Float | None) -> Float:
        """What to add to the hop before, ``(hop, fronts)``."""
        if change is None and not self._ringing:
            return np.zeros((self._front_end.hop, self._fronts), np.float32)
        self._ringing = change is not None
        spectra = np.zeros_like(fronts) if change is None else fronts * change
        return self._change_stft.synthesize(spectra).T

    def _stem(self, fronts: Complex, masks: Float | None) -> Float | None:
        if self._dialog_stft is None:
            return None
        return self._dialog_stft.synthesize(np.zeros_like(fronts) if masks is None else fronts * masks).T

    def _idle(self, gains: Gains) -> bool:
        """Whether the network's mask would have no effect."""
        at_rest = self._night.gain_db == 0.0 and len(self._curve) == 1
        return self._dialog_stft is None and self._controls[0].neutral and gains.neutral and at_rest

    def _ramped(self) -> Gains:
        """Take up new controls, and move one step towards them."""
        if self._wanted != self._controls:
            self._controls = self._wanted
            self._ramp.aim(self._controls[1])
            self._hold.change()
            self._goal = self._prescribed(self._controls[0])
            self._steps = _CURVE_FRAMES
        if self._steps:
            self._curve = self._curve + (self._goal - self._curve) / np.float32(self._steps)
            self._steps -= 1
            if not self._steps:
                self._curve = self._goal
        return self._ramp.step()

    def _jump(self) -> None:
        self._controls = self._wanted
        self._ramp.jump(self._controls[1])
        self._goal = self._curve = self._prescribed(self._controls[0])
        self._steps = 0

    def _prescribed(self, controls: DialogControls) -> Float:
        if controls.hearing.neutral:
            return np.ones(1, np.float32)
        return np.asarray(10 ** (controls.hearing.gain_db(self._bin_hz) / 20), np.float32)
