"""A `DialogEnhancer` whose network says what a test wants, and sound for it. Not a test itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import bundles
from lumavox.audio import DialogEnhancer
from lumavox.bundle import Bundle

RATE = 48000
HOP = 720

Opener = Callable[..., DialogEnhancer]

LOW_BANDS = (np.arange(96) < 60).astype(np.float32)
"""An ideal mask where dialog lies below, background above the 60th band (2.5 kHz)."""


def opener(folders: pytest.TempPathFactory) -> Opener:
    """Gives a function that opens a bundle whose network says ``value`` in every band, and may fail."""
    known: dict[str, Bundle] = {}

    def open_(value: float = 1.0, *, calibration: object = (), **options) -> DialogEnhancer:
        script = {"op": "mask", "value": value} | options.pop("script", {})
        key = repr((script, calibration))
        if key not in known:
            folder = folders.mktemp("de")
            path = bundles.de_bundle(folder, mask=value, model=script, calibration=calibration)
            known[key] = Bundle.open(path, trusted_keys=bundles.trusted())
        return DialogEnhancer.open(known[key], **options)

    return open_


def give_mask(
    enhancer: DialogEnhancer, mask: np.ndarray | Callable[[int], np.ndarray] = LOW_BANDS
) -> DialogEnhancer:
    """Let the network say ``mask`` (of the frame's number); its engine runs, and fails as its script says."""
    network = enhancer._network._network
    step, number = network.step, iter(range(1 << 30))

    def masked(features: np.ndarray) -> np.ndarray:
        n = next(number)
        return step(features) * 0 + (mask(n) if callable(mask) else mask)

    network.step = masked
    return enhancer


def noise(seconds: float = 0.5, channels: int = 2, level: float = 0.1, rate: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(8)
    return (rng.standard_normal((round(seconds * rate), channels)) * level).astype(np.float32)


def tone(hz: float, seconds: float, level: float = 0.1, rate: int = RATE) -> np.ndarray:
    """``(n,)`` float32."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def amplitude(sound: np.ndarray, hz: float, rate: int = RATE) -> float:
    """Of the tone of ``hz`` in ``(n,)``."""
    return 2 * abs(np.vdot(sound, np.exp(2j * np.pi * hz * np.arange(len(sound)) / rate))) / len(sound)


def through(enhancer: DialogEnhancer, sound: np.ndarray, block: int = 4096) -> np.ndarray:
    """The whole stream with its tail, delay removed."""
    parts = [enhancer.process(sound[i : i + block]) for i in range(0, len(sound), block)]
    return np.concatenate([*parts, enhancer.flush()])[enhancer.delay_samples :]


def energy_db(sound: np.ndarray) -> float:
    return 10 * math.log10(float(np.mean(sound.astype(np.float64) ** 2)))
