"""What drivers and engines do in the field, done on demand in a worker: the kinds of `fault_injection`."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping

import numpy as np

SLOW_S = 0.08


def before(kind: str) -> None:
    """What happens in place of, or before, the engine's run."""
    if kind == "kill":
        signal.raise_signal(signal.SIGKILL)
    elif kind == "segv":
        ctypes.string_at(8)
    elif kind == "hang":
        while True:
            time.sleep(3600)
    elif kind == "slow":
        time.sleep(SLOW_S)
    elif kind == "exception":
        raise RuntimeError("a fault on demand")
    elif kind == "memory":
        _exhaust()
    elif kind == "never_starts":
        os._exit(1)


def after(kind: str, outputs: Mapping[str, np.ndarray]) -> None:
    """What happens to the outputs."""
    for out in outputs.values():
        integer = out.dtype.kind in "iu"
        if kind == "nan":
            out[...] = np.iinfo(out.dtype).max if integer else np.nan
        elif kind == "black":
            out[...] = np.iinfo(out.dtype).min if integer else 0


def _exhaust() -> None:
    """Map memory, without touching it, until the limit is met; without one, say that it was."""
    held = []
    for _ in range(1 << 10):
        held.append(np.empty(64 << 20, np.uint8))  # MemoryError at RLIMIT_AS
    raise MemoryError(f"{len(held) * 64} MiB were asked for, and no limit was met")
