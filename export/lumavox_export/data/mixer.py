"""Film-like mixes of dialog, music, singing and effects; deterministic per seed and step.

Everything done to the dialog (speed, equalization, rooms, codecs) is done to the background as well, else the
network learns the treatment as the mark of speech. Singing counts as background. With ``parts`` set, dialogs
and backgrounds are made once, kept in the cache and only mixed for each step.

    mixer = Mixer(MixSettings(), speech, music, effects, singing)
    mixes, dialogs = mixer.items(seed=1, step=42, count=8)   # float32 (8, samples); background = mix - dialog
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .parts import Parts
from .rooms import room_response
from .sound_bank import SoundBank
from .sound_codec import ENCODERS, encode_decode
from .tones import tones

Sound = NDArray[np.float32]
PARTS_VERSION = 1  # of what is done to the parts, beside the settings


@dataclass(frozen=True)
class MixSettings:
    """Recipe section ``[contents.data.mix]``: shares are probabilities per item."""

    seconds: float = 5.0
    parts: int = 0  # dialogs, and as many backgrounds, to make once; 0 makes them anew for every step
    part_seconds: float = 10.0  # of which a mix shows an excerpt
    snr_db: tuple[float, float] = (-8.0, 10.0)  # dialog to background while dialog is active
    clear: float = 0.35  # share of mixes as most programmes are: dialog well above the background
    clear_snr_db: tuple[float, float] = (5.0, 20.0)
    no_dialog: float = 0.08
    no_background: float = 0.05
    second_talker: float = 0.15
    background_music: float = 0.40  # music alone; then effects alone; the rest both
    background_effects: float = 0.25
    singing: float = 0.10  # sung voice added to music
    second_music: float = 0.25
    synthetic: float = 0.15  # of the pieces of music
    reverberation: float = 0.30
    codec: float = 0.06  # of dialogs and of backgrounds
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
        cache: Path | None = None,
    ) -> None:
        """``cache`` is where parts are kept; needed when ``settings.parts`` is set."""
        self.settings = settings
        self.rate_hz = speech.rate_hz
        self.samples = round(settings.seconds * self.rate_hz)
        self._speech, self._music, self._effects, self._singing = speech, music, effects, singing
        self._dialogs: Parts | None = None
        if settings.parts and cache is not None:
            long = round(max(settings.part_seconds, settings.seconds) * self.rate_hz)
            mixing = ("snr_db", "clear", "clear_snr_db", "no_dialog", "no_background", "low_pass", "level_db")
            apart = (*mixing, "seconds", "parts")
            treated = {k: v for k, v in asdict(settings).items() if k not in apart}
            banks = [bank.key for bank in (speech, music, effects, singing)]
            key = json.dumps([PARTS_VERSION, treated, banks])
            self._dialogs = Parts(
                "dialogs", lambda rng: self._dialog(rng, long), settings.parts, long, key, cache
            )
            self._backgrounds = Parts(
                "backgrounds", lambda rng: self._background(rng, long), settings.parts, long, key, cache
            )

    def items(self, seed: int, step: int, count: int) -> tuple[Sound, Sound]:
        """Mixes and dialogs of one training step: float32 ``(count, samples)`` each.

        Parts that are made anew meet twice each, since making them costs most of the time.
        """
        rng = np.random.default_rng([seed, step])
        made = count if self._dialogs is not None else -(-count // 2)
        silence, s = np.zeros(self.samples, np.float32), self.settings
        pairs = [self.parts(rng) for _ in range(made)]
        dialogs = [silence if rng.random() < s.no_dialog else dialog for dialog, _ in pairs]
        backgrounds = [silence if rng.random() < s.no_background else background for _, background in pairs]
        mixed = [self.mix(dialogs[i % made], backgrounds[(i + i // made) % made], rng) for i in range(count)]
        mixes, parts = zip(*mixed, strict=True)
        return np.stack(mixes), np.stack(parts)

    def parts(self, rng: np.random.Generator) -> tuple[Sound, Sound]:
        """A dialog and a background, neither scaled to the other."""
        if self._dialogs is not None:
            return self._dialogs.draw(rng, self.samples), self._backgrounds.draw(rng, self.samples)
        return self._dialog(rng, self.samples), self._background(rng, self.samples)

    def mix(self, dialog: Sound, background: Sound, rng: np.random.Generator) -> tuple[Sound, Sound]:
        """One mix and its dialog at a random level difference and overall level."""
        s = self.settings
        active = _active_rms(dialog, self.rate_hz)
        noise = float(np.sqrt(np.mean(background**2))) + 1e-9
        if active > 0:
            snr_db = rng.uniform(*(s.clear_snr_db if rng.random() < s.clear else s.snr_db))
            background = background * np.float32(active / noise * 10 ** (-snr_db / 20))
        mix = dialog + background
        gain = 10 ** (rng.uniform(*s.level_db) / 20) / (float(np.sqrt(np.mean(mix**2))) + 1e-9)
        gain = min(gain, 0.98 / (float(np.abs(mix).max()) + 1e-9))
        mix, dialog = mix * np.float32(gain), dialog * np.float32(gain)
        if rng.random() < s.low_pass:
            curve = _low_pass(self.samples, self.rate_hz, rng.uniform(3000, 7000))
            mix, dialog = _filter(mix, curve), _filter(dialog, curve)
        return mix, dialog

    def _dialog(self, rng: np.random.Generator, samples: int) -> Sound:
        """Utterances of one voice, sometimes two, with pauses."""
        s = self.settings
        voices = [self._speech.group(rng)]
        if rng.random() < s.second_talker:
            voices.append(self._speech.group(rng))
        treatments = [self._treatment(rng, s.speed) for _ in voices]
        out = np.zeros(samples, np.float32)
        position = int(rng.uniform(-0.5, 0.6) * self.rate_hz)
        while position < samples:
            turn = int(rng.integers(len(voices)))
            speed, curve = treatments[turn]
            raw = self._speech.draw(rng, int(rng.uniform(1.5, 6.0) * self.rate_hz), voices[turn])
            piece = _shaped(_resped(raw, speed), curve)
            piece /= _active_rms(piece, self.rate_hz) + 1e-6
            piece *= 10 ** (rng.normal(0, 2) / 20) * 0.1
            start, skip = max(position, 0), max(-position, 0)
            length = min(len(piece) - skip, samples - start)
            if length > 0:
                out[start : start + length] += piece[skip : skip + length]
            position += len(piece) + int(rng.uniform(0.05, 1.2) * self.rate_hz)
        return self._coded(self._room(out, rng), rng)

    def _background(self, rng: np.random.Generator, samples: int) -> Sound:
        s = self.settings
        kind = rng.random()
        out = np.zeros(samples, np.float32)
        if kind < s.background_music or kind >= s.background_music + s.background_effects:
            for number in range(2 if rng.random() < s.second_music else 1):
                synthetic = rng.random() < s.synthetic
                piece = self._piece(None if synthetic else self._music, rng, samples)
                out += piece * (1.0 if number == 0 else rng.uniform(0.2, 1.0))
            if rng.random() < s.singing:
                out += self._piece(self._singing, rng, samples) * rng.uniform(0.4, 1.5)
        if kind >= s.background_music:
            effects = np.zeros(samples, np.float32)
            for _ in range(int(rng.integers(1, 4))):
                effects += self._piece(self._effects, rng, samples) * 10 ** (rng.normal(0, 4) / 20)
            out += effects * 10 ** (rng.normal(0, 4) / 20)
        return self._coded(out, rng)

    def _piece(self, bank: SoundBank | None, rng: np.random.Generator, samples: int) -> Sound:
        """One treated excerpt (of synthetic music without a bank) at unit level, ridden by a mixer's hand."""
        speed, curve = self._treatment(rng, self.settings.background_speed)
        if bank is None:
            raw = tones(rng, int(samples * speed) + 2, self.rate_hz)
        else:
            raw = bank.draw(rng, int(samples * speed) + 2, loop=True)
        out = self._room(_shaped(_resped(raw, speed)[:samples], curve), rng)
        out = np.resize(out, samples)
        points = 10 ** (rng.normal(0, 3, 5) / 20)
        ridden = out * np.interp(np.arange(samples), np.linspace(0, samples, 5), points)
        return np.asarray(ridden / (np.sqrt(np.mean(ridden**2)) + 1e-6), np.float32)

    def _coded(self, x: Sound, rng: np.random.Generator) -> Sound:
        """Sometimes as an encoder at a broadcast or streaming rate leaves it."""
        if rng.random() >= self.settings.codec:
            return x
        encoder = list(ENCODERS)[int(rng.integers(len(ENCODERS)))]
        bit_rates = ENCODERS[encoder][1]
        return encode_decode(x, self.rate_hz, encoder, bit_rates[int(rng.integers(len(bit_rates)))])

    def _treatment(self, rng: np.random.Generator, speed: tuple[float, float]) -> tuple[float, Sound]:
        """A playing speed and an equalizer curve (gains at 8 log-spaced frequencies)."""
        curve = 10 ** (rng.normal(0, self.settings.equalizer_db / 2, 8) / 20)
        return float(np.exp(rng.uniform(*np.log(speed)))), np.asarray(curve, np.float32)

    def _room(self, x: Sound, rng: np.random.Generator) -> Sound:
        """Sometimes in a simulated room."""
        if rng.random() >= self.settings.reverberation:
            return x
        response = room_response(rng, self.rate_hz)
        size = _fast_size(len(x) + len(response))
        wet = np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(response, size), size)[: len(x)]
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
