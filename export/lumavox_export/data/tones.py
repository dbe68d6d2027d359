"""Synthetic music of random instruments: more timbres than any small collection of recordings has.

Additive synthesis of chords and lines on a random scale: pulse waves of game consoles, strings, organs,
plucked strings, bells, and sung-like pads whose partials pass a vowel's formants while the pitch is held. It
is no music to listen to; it keeps a network from taking every steady or gliding harmonic sound for a voice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 4, 7, 9),
    (0, 3, 5, 7, 10),
    (0, 1, 4, 5, 7, 8, 11),
)


def tones(rng: np.random.Generator, samples: int, rate_hz: int) -> NDArray[np.float32]:
    """One to three parts together with sometimes a drum of noise; RMS about 1; ``(samples,)``."""
    scale, root = SCALES[int(rng.integers(len(SCALES)))], rng.uniform(36, 48)
    beat = 60 / rng.uniform(60, 170)
    out = np.zeros(samples)
    for _ in range(int(rng.integers(1, 4))):
        part = _part(rng, samples, rate_hz, scale, root, beat)
        out += part / (np.sqrt(np.mean(part**2)) + 1e-6) * rng.uniform(0.3, 1.0)
    if rng.random() < 0.3:
        period = int(beat * rate_hz / rng.choice([1, 2, 4]))
        time = np.arange(samples) % max(1, period)
        drum = rng.standard_normal(samples) * np.exp(-time / (rate_hz * rng.uniform(0.01, 0.08)))
        out += drum / (np.sqrt(np.mean(drum**2)) + 1e-6) * rng.uniform(0.1, 0.6)
    return np.asarray(out / (np.sqrt(np.mean(out**2)) + 1e-6), np.float32)


def _part(
    rng: np.random.Generator,
    samples: int,
    rate_hz: int,
    scale: tuple[int, ...],
    root: float,
    beat: float,
) -> NDArray[np.float64]:
    """One instrument playing notes or chords of random lengths."""
    out = np.zeros(samples)
    voices = int(rng.choice([1, 1, 2, 3, 4]))
    register = 12 * int(rng.integers(0, 4))
    length = beat * float(rng.choice([0.25, 0.5, 1, 2, 4, 8]))
    rolloff, even = rng.uniform(0.3, 2.0), rng.choice([1.0, 1.0, 0.0, 0.3])
    stretch = 1.0 if rng.random() < 0.8 else rng.uniform(1.0005, 1.03)  # of the partials: bells
    attack = np.exp(rng.uniform(np.log(0.002), np.log(0.4)))  # seconds, as the next
    decay = np.exp(rng.uniform(np.log(0.05), np.log(8)))
    depth, speed = rng.choice([0, 0, 1]) * rng.uniform(0.1, 0.7), rng.uniform(4, 7)  # semitones, Hz
    glide = rng.choice([0, 0, 0, 1]) * rng.uniform(-3, 3)  # semitones over a note
    formants = np.sort(rng.uniform((250, 800, 2200), (900, 2400, 3500))) if rng.random() < 0.35 else None
    position = 0.0
    while position < samples:
        note = float(length * rng.choice([1, 1, 1, 0.5, 2]))
        if rng.random() < 0.88:
            count = min(int((note + min(decay, 1.0)) * rate_hz), samples - int(position))
            if count > 16:
                time = np.arange(count) / rate_hz
                envelope = np.minimum(time / attack, 1) * np.exp(-time / decay)
                envelope *= np.clip((note + min(decay, 1.0) * 0.5 - time) / 0.05, 0, 1)
                start = int(rng.integers(len(scale)))
                for voice in range(voices):
                    degree = start + 2 * voice
                    pitch = root + register + scale[degree % len(scale)] + 12 * (degree // len(scale))
                    bend = depth * np.sin(2 * np.pi * speed * time + rng.uniform(0, 6)) + glide * time / note
                    hz = 440 * 2 ** ((pitch - 69 + rng.normal(0, 0.05) + bend) / 12)
                    phase = 2 * np.pi * np.cumsum(hz) / rate_hz
                    turn = np.exp(1j * (phase % (2 * np.pi))).astype(np.complex64)
                    detuned = np.exp(1j * (stretch - 1) * phase).astype(np.complex64) if stretch > 1 else None
                    base = float(hz.mean())
                    partial = np.full(count, np.exp(1j * rng.uniform(0, 6)), np.complex64)
                    tone = np.zeros(count, np.float32)
                    for k in range(1, 1 + min(20, int(0.45 * rate_hz / (base * stretch)))):
                        partial *= turn
                        if detuned is not None and k > 1:
                            partial *= detuned
                        gain = k**-rolloff * (1.0 if k % 2 else even)
                        if formants is not None:
                            gain *= sum(np.exp(-(((base * k - f) / 180) ** 2)) for f in formants) + 0.02
                        if gain > 0.005:
                            tone += np.float32(gain) * partial.imag
                    out[int(position) : int(position) + count] += tone * envelope
        position += note * rate_hz
    return out
