"""What `Upscaler.process` adds to the bare engine call, measured on this machine.

Both are called in turn within one run, so that both see the same caches, clocks and neighbours. Times on
a busy machine are noisy: look at the ratio, and at those of one run only.

    overhead().ratio                                   # 1.02: the wrapper adds 2 %
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lumavox._sr_network import front_end_of
from lumavox._sr_plan import up_to
from lumavox.bundle import Bundle
from lumavox.catalog import DEFAULT_SR
from lumavox.errors import OptionError
from lumavox.picture import Frame, PixelFormat
from lumavox.scaling import plan_scale
from lumavox.session import Session
from lumavox.video import Upscaler

if TYPE_CHECKING:
    from lumavox.signing import TrustedKeys

__all__ = ["Overhead", "overhead"]


@dataclass(frozen=True)
class Overhead:
    """``engine_ms`` and ``process_ms`` are medians over ``rounds``; ``ratio`` is the median of the rounds'
    ratios; ``engine`` describes the library that ran. ``enhanced`` counts the frames that went through the
    network: the figures mean nothing if it is less than ``rounds``."""

    model: str
    backend: str
    engine: str
    format: str
    width: int
    height: int
    scale: float
    threads: int
    rounds: int
    enhanced: int
    engine_ms: float
    process_ms: float
    ratio: float


def overhead(
    model: str | Path | Bundle = DEFAULT_SR,
    *,
    size: tuple[int, int] = (960, 540),
    format: PixelFormat = PixelFormat.NV12,
    rounds: int = 20,
    backend: str = "auto",
    threads: int = 1,
    trusted_keys: TrustedKeys | None = None,
    allow_unsigned: bool = False,
) -> Overhead:
    """Time a bare engine call on ``size`` (width, height) against `Upscaler.process` of such a frame.

    Raises what `Upscaler.open` raises, and `OptionError` for a variant of fixed size.
    """
    model = plan_scale(model, trusted_keys=trusted_keys, allow_unsigned=allow_unsigned).bundle
    width, height = size
    frame = _noise(format, width, height)
    preferred = model.variants[0].content
    content = "streamed" if preferred == "any" else preferred
    with (
        Upscaler.open(model, backend=backend, content=content, threads=threads) as upscaler,
        Session.open(model, backend=backend, content=content, threads=threads) as session,
    ):
        spec, engine = session.variant.inputs[0], session.engine
        if not session.variant.dynamic:
            raise OptionError(f"variant {session.variant.name!r} has a fixed size; measure a dynamic one")
        multiple = front_end_of(model).multiple
        rows, columns = up_to(height, multiple), up_to(width, multiple)
        engine.resize(spec.name, (1, rows, columns, 1) if spec.layout == "NHWC" else (1, 1, rows, columns))
        engine.input(spec.name)[...] = 0
        out = upscaler.process(frame)
        engine_ms, process_ms = [], []
        for _ in range(rounds + 1):  # the first round warms up
            engine_ms.append(_milliseconds(engine.run))
            process_ms.append(_milliseconds(lambda: upscaler.process(frame, out)))
        del engine_ms[0], process_ms[0]
        return Overhead(
            model=model.id,
            backend=upscaler.backend,
            engine=engine.description,
            format=format.name,
            width=width,
            height=height,
            scale=upscaler.scale,
            threads=threads,
            rounds=rounds,
            enhanced=(upscaler.record().frames_enhanced or 0) - 2,
            engine_ms=statistics.median(engine_ms),
            process_ms=statistics.median(process_ms),
            ratio=statistics.median(p / e for p, e in zip(process_ms, engine_ms)),
        )


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def _noise(format: PixelFormat, width: int, height: int) -> Frame:
    """A frame of random 8- or 10-bit samples."""
    frame = Frame.empty(format, width, height)
    random = np.random.default_rng(0)
    shift = 6 if format is PixelFormat.P010 else 0
    for plane in frame.planes:
        plane[...] = random.integers(0, 1 << format.bit_depth, plane.shape) << shift
    return frame
