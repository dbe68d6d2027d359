"""What the whole enhancer does to dialog and background apart: `remixed_parts`.

A mask alone does not tell what a listener gets: the gate where nobody speaks, confidence, modes and make-up
gain come after it. At each frame all of that is one gain per bin, decided on the mix; the same gains are
applied to the parts here, so that their loudness and error can be measured one by one. They add up to the
enhancer's output, but for its limiter.

    out, (dialog, background) = remixed_parts(enhancer, [dialog, background])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox.audio import DialogEnhancer
from lumavox.errors import AudioError

Sound = NDArray[np.float32]


def remixed_parts(enhancer: DialogEnhancer, parts: Sequence[Sound]) -> tuple[Sound, list[Sound]]:
    """The output for the sum of ``parts`` ``(n,)``, and each part as it is in there; delay removed.

    ``enhancer`` is mono, at the network's rate, at the beginning of a stream. The parts come out a hop and
    less shorter than they went in. Raises AudioError for another format.
    """
    path: Any = enhancer._path
    front_end = path._front_end
    if enhancer.channels != 1 or enhancer.rate_hz != front_end.rate_hz:
        raise AudioError(f"remixed_parts takes a mono enhancer at {front_end.rate_hz} Hz")
    changes: list[Sound] = []
    gains: list[Sound] = []
    plain_change, plain_step = path._change, path.step

    def change(fronts: Any, made: Sound | None) -> Any:
        changes.append(np.zeros(front_end.bins, np.float32) if made is None else made[0].copy())
        return plain_change(fronts, made)

    def step(sound: Sound) -> Any:
        made = plain_step(sound)
        gains.append((1 + changes[-1]) * np.float32(made.gains.make_up))
        return made

    path._change, path.step = change, step
    try:
        mix = np.asarray(np.sum(parts, axis=0), np.float32)
        out = np.concatenate([enhancer.process(mix), enhancer.flush()])[enhancer.delay_samples :]
    finally:
        del path._change, path.step
    remixed = []
    for part in parts:
        spectra = front_end.stft().analyze_all(part)
        remixed.append(front_end.stft().synthesize_all(spectra * np.stack(gains[: len(spectra)])))
    return out, remixed
