"""Film-like mixes of dialog, music, singing and effects, made on the fly; deterministic per seed and step.

Everything done to the dialog (speed, equalization, reverberation) is done to the background as well, else the
network learns the treatment as the mark of speech. Singing counts as background.

    mixer = Mixer(MixSettings(), speech, music, effects, singing)
    mixes, dialogs = mixer.items(seed=1, step=42, count=8)   # float32 (8, samples); background = mix - dialog
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .sound_bank import SoundBank

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class MixSettings:
    """Recipe section ``[contents.data.mix]``: shares are probabilities per item."""

    seconds: float = 5.0
    snr_db: tuple[float, float] = (-9.0, 16.0)  # dialog to background while dialog is active
    no_dialog: float = 0.08
    no_background: float = 0.05
    second_talker: float = 0.15
    background_music: float = 0.40  # music alone; then effects alone; the rest both
    background_effects: float = 0.25
    singing: float = 0.10  # sung voice added to music
    second_music: float = 0.25
    reverberation: float = 0.30
    low_pass: float = 0.12  # the whole mix, 3-7 kHz
    speed: tuple[float, float] = (0.88, 1.14)
    background_speed: tuple[float, float] = (0.75, 1.35)
    equalizer_db: float = 6.0
    level_db: tuple[float, float] = (-42.0, -14.0)  # RMS of the mix, dB of full scale


class Mixer:
    """Draws mixes from sound banks of one rate."""

    def __init__(
        self,
        settings: MixSettings,
        speech: SoundBank,
        music: SoundBank,
        effects: SoundBank,
        singing: SoundBank,
    ) -> None:
        self.settings = settings
        self.rate_hz = speech.rate_hz
        self.samples = round(settings.seconds * self.rate_hz)
        self._speech, self._music, self._effects, self._singing = speech, music, effects, singing

    def items(self, seed: int, step: int, count: int) -> tuple[Sound, Sound]:
        """Mixes and dialogs of one training step: float32 ``(count, samples)`` each.

        Every dialog meets two backgrounds at different levels, since making them costs most of the time.
        """
        rng = np.random.default_rng([seed, step])
        half = -(-count // 2)
        dialogs = [self._dialog_or_none(rng) for _ in range(half)]
        backgrounds = [self._background_or_none(rng) for _ in range(half)]
        mixed = [self.mix(dialogs[i % half], backgrounds[(i + i // half) % half], rng) for i in range(count)]
        mixes, parts = zip(*mixed, strict=True)
        return np.stack(mixes), np.stack(parts)

    def parts(self, rng: np.random.Generator) -> tuple[Sound, Sound]:
        """A dialog and a background, neither scaled to the other."""
        return self._dialog(rng), self._background(rng)

    def mix(self, dialog: Sound, background: Sound, rng: np.random.Generator) -> tuple[Sound, Sound]:
        """One mix and its dialog at a random level difference and overall level."""
        s = self.settings
        active = _active_rms(dialog, self.rate_hz)
        noise = float(np.sqrt(np.mean(background**2))) + 1e-9
        if active > 0:
            background = background * np.float32(active / noise * 10 ** (-rng.uniform(*s.snr_db) / 20))
        mix = dialog + background
        gain = 10 ** (rng.uniform(*s.level_db) / 20) / (float(np.sqrt(np.mean(mix**2))) + 1e-9)
        gain = min(gain, 0.98 / (float(np.abs(mix).max()) + 1e-9))
        mix, dialog = mix * np.float32(gain), dialog * np.float32(gain)
        if rng.random() < s.low_pass:
            curve = _low_pass(self.samples, self.rate_hz, rng.uniform(3000, 7000))
            mix, dialog = _filter(mix, curve), _filter(dialog, curve)
        return mix, dialog

    def _dialog_or_none(self, rng: np.random.Generator) -> Sound:
        absent = rng.random() < self.settings.no_dialog
        return np.zeros(self.samples, np.float32) if absent else self._dialog(rng)

    def _background_or_none(self, rng: np.random.Generator) -> Sound:
        absent = rng.random() < self.settings.no_background
        return np.zeros(self.samples, np.float32) if absent else self._background(rng)

    def _dialog(self, rng: np.random.Generator) -> Sound:
        """Utterances of one voice, sometimes two, with pauses."""
        s = self.settings
        voices = [self._speech.group(rng)]
        if rng.random() < s.second_talker:
            voices.append(self._speech.group(rng))
        treatments = [self._treatment(rng, s.speed) for _ in voices]
        out = np.zeros(self.samples, np.float32)
        position = int(rng.uniform(-0.5, 0.6) * self.rate_hz)
        while position < self.samples:
            turn = int(rng.integers(len(voices)))
            speed, curve = treatments[turn]
            raw = self._speech.draw(
                rng, int(rng.uniform(1.5, self.settings.seconds) * self.rate_hz), voices[turn]
            )
            piece = _shaped(_resped(raw, speed), curve)
            piece /= _active_rms(piece, self.rate_hz) + 1e-6
            piece *= 10 ** (rng.normal(0, 2) / 20) * 0.1
            start, skip = max(position, 0), max(-position, 0)
            length = min(len(piece) - skip, self.samples - start)
            if length > 0:
                out[start : start + length] += piece[skip : skip + length]
            position += len(piece) + int(rng.uniform(0.05, 1.2) * self.rate_hz)
        return self._room(out, rng)

    def _background(self, rng: np.random.Generator) -> Sound:
        s = self.settings
        kind = rng.random()
        out = np.zeros(self.samples, np.float32)
        if kind < s.background_music or kind >= s.background_music + s.background_effects:
            for number in range(2 if rng.random() < s.second_music else 1):
                out += self._piece(self._music, rng) * (1.0 if number == 0 else rng.uniform(0.2, 1.0))
            if rng.random() < s.singing:
                out += self._piece(self._singing, rng) * rng.uniform(0.4, 1.5)
        if kind >= s.background_music:
            effects = np.zeros(self.samples, np.float32)
            for _ in range(int(rng.integers(1, 4))):
                effects += self._piece(self._effects, rng) * 10 ** (rng.normal(0, 4) / 20)
            out += effects * 10 ** (rng.normal(0, 4) / 20)
        return out

    def _piece(self, bank: SoundBank, rng: np.random.Generator) -> Sound:
        """One treated excerpt at unit level, with a slow gain curve as a mixer's hand makes it."""
        speed, curve = self._treatment(rng, self.settings.background_speed)
        raw = bank.draw(rng, int(self.samples * speed) + 2, loop=True)
        out = self._room(_shaped(_resped(raw, speed)[: self.samples], curve), rng)
        out = np.resize(out, self.samples)
        points = 10 ** (rng.normal(0, 3, 5) / 20)
        ridden = out * np.interp(np.arange(self.samples), np.linspace(0, self.samples, 5), points)
        return np.asarray(ridden / (np.sqrt(np.mean(ridden**2)) + 1e-6), np.float32)

    def _treatment(self, rng: np.random.Generator, speed: tuple[float, float]) -> tuple[float, Sound]:
        """A playing speed and an equalizer curve (gains at 8 log-spaced frequencies)."""
        curve = 10 ** (rng.normal(0, self.settings.equalizer_db / 2, 8) / 20)
        return float(np.exp(rng.uniform(*np.log(speed)))), np.asarray(curve, np.float32)

    def _room(self, x: Sound, rng: np.random.Generator) -> Sound:
        """A simulated room: direct sound and an exponentially decaying noise tail (Polack's model)."""
        if rng.random() >= self.settings.reverberation:
            return x
        decay = rng.uniform(0.1, 0.6)  # seconds for 60 dB
        length = int(decay * self.rate_hz)
        tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
        tail *= 10 ** (-rng.uniform(3, 15) / 20) / np.sqrt(np.sum(tail**2))
        tail[0] = 1.0
        size = _fast_size(len(x) + length)
        spectrum = np.fft.rfft(x, size) * np.fft.rfft(tail.astype(np.float32), size)
        wet = np.fft.irfft(spectrum, size)[: len(x)]
        return wet.astype(np.float32)


def _active_rms(x: Sound, rate_hz: int) -> float:
    """RMS over the 20 ms frames within 30 dB of the loudest; 0 for silence."""
    frame = rate_hz // 50
    power = (
        np.mean(x[: len(x) // frame * frame].reshape(-1, frame) ** 2, 1) if len(x) >= frame else np.zeros(1)
    )
    loud = power[power > 1e-3 * power.max()] if power.max() > 1e-10 else np.zeros(1)
    return float(np.sqrt(loud.mean()))


def _resped(x: Sound, speed: float) -> Sound:
    """Played ``speed`` times as fast, pitch changed with it; linear interpolation."""
    count = max(1, int(len(x) / speed) - 1)
    return np.interp(np.arange(count) * speed, np.arange(len(x)), x).astype(np.float32)


def _shaped(x: Sound, curve: Sound) -> Sound:
    if len(x) < 2:
        return x
    at = np.concatenate([[0.0], np.geomspace(0.01, 1.0, len(curve) - 1)])
    return _filter(x, np.interp(np.linspace(0, 1, _fast_size(len(x)) // 2 + 1), at, curve))


def _low_pass(samples: int, rate_hz: int, corner_hz: float) -> NDArray[np.float64]:
    f = np.fft.rfftfreq(_fast_size(samples), 1 / rate_hz)
    return 1 / (1 + (f / corner_hz) ** 16)


def _fast_size(samples: int) -> int:
    """A transform length with small factors; a prime length is many times slower."""
    return -(-samples // 2048) * 2048


def _filter(x: Sound, gains: NDArray[np.floating]) -> Sound:
    """Multiply the spectrum by ``gains``, one for each bin of the fast length."""
    size = _fast_size(len(x))
    return np.fft.irfft(np.fft.rfft(x, size) * gains.astype(np.float32), size)[: len(x)].astype(np.float32)
