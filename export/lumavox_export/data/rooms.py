"""Room impulse responses: early reflections of a shoebox by image sources, then a diffuse tail.

Allen & Berkley, "Image method for efficiently simulating small-room acoustics" (JASA 65, 1979) for the first
reflections, rounded to samples; Polack's exponentially decaying noise for the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPEED_OF_SOUND = 343.0  # m/s
ORDER = 3  # reflections at each pair of walls


def room_response(rng: np.random.Generator, rate_hz: int) -> NDArray[np.float32]:
    """A random room, talker and microphone: direct sound first and of height 1; ``(samples,)``.

    From a booth to a small hall: 2.5 to 12 m wide, 0.12 to 0.9 s for 60 dB.
    """
    size = np.array([rng.uniform(2.5, 12), rng.uniform(2.5, 9), rng.uniform(2.2, 5)])
    decay = float(np.clip(rng.lognormal(np.log(0.3), 0.5), 0.12, 0.9))  # seconds for 60 dB
    microphone = size * rng.uniform(0.2, 0.8, 3)
    direction = rng.normal(size=3)
    source = microphone + direction / np.linalg.norm(direction) * rng.uniform(0.4, 3.0)
    source = np.clip(source, 0.2, size - 0.2)
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    absorbed = min(0.95, 0.161 * volume / (surface * decay))  # Sabine
    steps = np.arange(-ORDER, ORDER + 1)
    n = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    images = np.where(n % 2 == 0, n * size + source, (n + 1) * size - source)
    distance = np.linalg.norm(images - microphone, axis=1)
    gain = (1 - absorbed) ** (np.abs(n).sum(1) / 2) / np.maximum(distance, 0.3)
    direct = np.linalg.norm(source - microphone)
    at = np.rint((distance - direct) / SPEED_OF_SOUND * rate_hz).astype(int)
    length = max(1, int(decay * rate_hz))
    response = np.zeros(length)
    inside = (at >= 0) & (at < length)
    np.add.at(response, at[inside], gain[inside])
    response /= response[0]
    # Where the counted reflections thin out, the diffuse tail takes over at their level.
    begin = min(length - 1, int(2 * ORDER * size.min() / SPEED_OF_SOUND * rate_hz / 2))
    energy = np.mean(response[max(1, begin // 2) : begin + 1] ** 2) if begin > 2 else 1e-4
    time = np.arange(length - begin)
    tail = rng.standard_normal(length - begin) * np.sqrt(energy) * 10 ** (-3 * time / length)
    response[begin:] = tail
    return response.astype(np.float32)
