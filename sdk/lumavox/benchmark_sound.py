"""What dialog enhancement costs on this machine, and which part of it takes how much.

    cost = sound_cost(bundle)
    cost.real_time_factor                             # processor time over playing time, whole path
    cost.p99_hop_ms, cost.hop_ms                      # of 15 ms that a hop lasts
    cost.shares                                       # {"network": 0.45, "remix": 0.4, ...}

The sound is noise, and the network's answer is replaced by a fixed mask after it has run: so dialog is always
active, and every part of the path works. Times on a busy machine are noisy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lumavox.audio import DialogEnhancer
from lumavox.bundle import Bundle

__all__ = ["SoundCost", "sound_cost"]

RATE_HZ, CHANNELS, BLOCK_SAMPLES, ROUND_S = 48000, 2, 480, 1.0


@dataclass(frozen=True)
class SoundCost:
    """``real_time_factor``: processor time over playing time, median of the rounds; below 1 keeps up.

    ``p99_hop_ms``: wall time of a hop, of which one lasts ``hop_ms``. ``shares`` of the time: "network"
    (engine and its tensors), "remix" (STFT, features, mask, gains), "limiter", "buffers" (all the rest).
    """

    model: str
    backend: str
    rate_hz: int
    channels: int
    block_samples: int
    seconds: float
    rounds: int
    delay_ms: float
    hop_ms: float
    real_time_factor: float
    p99_hop_ms: float
    shares: dict[str, float]


def sound_cost(
    bundle: Bundle,
    *,
    rounds: int = 20,
    backend: str = "auto",
    rate_hz: int = RATE_HZ,
    channels: int = CHANNELS,
    level: str = "medium",
) -> SoundCost:
    """Time ``rounds`` seconds of sound through a `DialogEnhancer`. Raises what opening one raises."""
    noise = np.random.default_rng(0).standard_normal((round(ROUND_S * rate_hz), channels)) * 0.1
    blocks = np.array_split(noise.astype(np.float32), -(-len(noise) // BLOCK_SAMPLES))
    with DialogEnhancer.open(
        bundle, rate_hz=rate_hz, channels=channels, level=level, backend=backend
    ) as enhancer:
        watch = _Watch()
        path, stream = enhancer._path, enhancer._stream
        mask = np.full(enhancer.front_end.bands, 0.9, np.float32)
        watch.around(enhancer._network, "mask", "network", lambda found: None if found is None else mask)
        watch.around(path, "step", "path")
        watch.around(stream._limiter, "process", "limiter")
        hops_ms: list[float] = []
        watch.around(stream, "_advance", "hop", hops_ms=hops_ms)
        factors: list[float] = []
        for number in range(rounds + 1):
            if number == 1:  # the first round warms up
                watch.spent.clear()
                hops_ms.clear()
            began = time.process_time()
            for block in blocks:
                enhancer.process(block)
            factors.append((time.process_time() - began) / ROUND_S)
        total = sum(factors[1:]) * ROUND_S
        spent = watch.spent
        parts = {
            "network": spent["network"],
            "remix": spent["path"] - spent["network"],
            "limiter": spent["limiter"],
            "buffers": total - spent["path"] - spent["limiter"],
        }
        return SoundCost(
            model=bundle.id,
            backend=enhancer.backend,
            rate_hz=rate_hz,
            channels=channels,
            block_samples=BLOCK_SAMPLES,
            seconds=ROUND_S,
            rounds=rounds,
            delay_ms=enhancer.delay_samples / rate_hz * 1e3,
            hop_ms=1e3 * enhancer.front_end.hop / enhancer.front_end.rate_hz,
            real_time_factor=statistics.median(factors[1:]),
            p99_hop_ms=float(np.percentile(hops_ms, 99)),
            shares={name: round(max(0.0, s) / total, 3) for name, s in parts.items()},
        )


class _Watch:
    """Adds up the processor time of methods, replaced in their objects."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def around(
        self,
        owner: Any,
        name: str,
        part: str,
        instead: Callable[[Any], Any] | None = None,
        hops_ms: list[float] | None = None,
    ) -> None:
        """Time ``owner.name`` as ``part``; ``instead`` replaces its result."""
        method = getattr(owner, name)

        def timed(*args: Any) -> Any:
            began, wall = time.process_time(), time.perf_counter()
            result = method(*args)
            self.spent[part] = self.spent.get(part, 0.0) + time.process_time() - began
            if hops_ms is not None:
                hops_ms.append((time.perf_counter() - wall) * 1e3)
            return result if instead is None else instead(result)

        setattr(owner, name, timed)
