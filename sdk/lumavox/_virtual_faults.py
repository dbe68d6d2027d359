"""What can be wrong with a chipset, as data: the ``faults`` of a script of the virtual engine.

    {"op": "nearest", "delay_ms": 2.0, "faults": {"jitter": 0.1, "thermal_from": 500, "stale_at": [40]}}

Call numbers are those of `backends.virtual`: call 0 is the golden vector, call n the n-th frame. The same
faults and calls give the same results in every run: random numbers depend on ``seed`` and the call only.
"""

from __future__ import annotations

import os
import random
import signal
from collections import deque
from dataclasses import dataclass

import numpy as np

from .errors import EngineError, OptionError

__all__ = ["Disturbance", "Faults"]

_OFF_BY_ONE_STRIDE = 97  # about 1 % of the outputs


@dataclass(frozen=True)
class Faults:
    """None by default.

    Time: ``jitter`` is the sigma of a log-normal factor on ``delay_ms``; a tail of ``tail_ms`` comes every
    ``tail_every`` calls; from call ``thermal_from`` on the delay rises over ``thermal_calls`` calls to
    ``thermal_factor`` times. Numbers: see each member. Calls are lists of call numbers.
    """

    seed: int = 0
    open_ms: float = 0.0  # to load the model
    open_error: str = ""  # the engine refuses the model with these words
    jitter: float = 0.0
    tail_every: int = 0
    tail_ms: float = 0.0
    thermal_from: int | None = None
    thermal_calls: int = 1
    thermal_factor: float = 1.0
    off_by_one_from: int | None = None  # one step too high in about 1 % of the outputs
    wrap_from: int | None = None  # steps of `wrap_offset` are added and wrap around, as without a clamp
    wrap_offset: int = 64
    noise_from: int | None = None  # up to `noise_steps` steps too high or too low, the same in every call
    noise_steps: int = 12
    seam_from: int | None = None  # the right half is `seam_steps` steps higher
    seam_steps: int = 12
    stale_at: tuple[int, ...] = ()  # give what the call before gave
    stale_from: int | None = None
    older_at: tuple[int, ...] = ()  # give what the call two before gave
    crash_at: tuple[int, ...] = ()  # the process is ended by `crash_signal`
    crash_signal: int = 11  # SIGSEGV; 4 is SIGILL: an instruction that the CPU does not have
    exit_at: tuple[int, ...] = ()  # the process ends itself, as abort() in a driver does
    out_of_memory_at: tuple[int, ...] = ()  # a call cannot get memory
    leak_kib: int = 0  # kept by each call
    hog_mib: int = 0  # held from opening on
    nodes_total: int | None = None  # what the engine says about the placement of operators
    nodes_on_ep: int | None = None

    def __post_init__(self) -> None:
        if self.jitter < 0 or self.thermal_calls < 1 or self.thermal_factor <= 0:
            raise OptionError("faults: jitter is at least 0, thermal_calls 1, thermal_factor above 0")
        if (self.nodes_total or 0) < (self.nodes_on_ep or 0):
            raise OptionError("faults: nodes_on_ep cannot be more than nodes_total")


class Disturbance:
    """The faults of one opened engine: what lasts from call to call."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._kept: list[np.ndarray] = []
        self._past: dict[str, deque[np.ndarray]] = {}
        if faults.hog_mib:
            self._kept.append(np.ones(faults.hog_mib << 20, np.uint8))

    @property
    def placement(self) -> tuple[int, int] | None:
        """(operators on the accelerator, all operators), None if the engine does not say."""
        total = self._faults.nodes_total
        return None if total is None else (self._faults.nodes_on_ep or 0, total)

    def delay_ms(self, call: int, usual_ms: float) -> float:
        """How long a call takes that usually takes ``usual_ms``."""
        faults = self._faults
        delay = usual_ms
        if faults.jitter:
            delay *= random.Random(f"{faults.seed} {call}").lognormvariate(0.0, faults.jitter)
        if faults.thermal_from is not None and call >= faults.thermal_from:
            share = min(1.0, (call - faults.thermal_from + 1) / faults.thermal_calls)
            delay *= 1 + (faults.thermal_factor - 1) * share
        if faults.tail_every and call and call % faults.tail_every == 0:
            delay += faults.tail_ms
        return delay

    def before(self, call: int) -> None:
        """What happens when a call begins: a crash, an error, a leak."""
        faults = self._faults
        if call in faults.crash_at:
            signal.raise_signal(faults.crash_signal)  # in this thread, as a real one
        if call in faults.exit_at:
            os._exit(134)
        if call in faults.out_of_memory_at:
            raise EngineError("virtual failed while running the model: out of device memory")
        if faults.leak_kib:
            self._kept.append(np.ones(faults.leak_kib << 10, np.uint8))

    def after(self, call: int, name: str, out: np.ndarray, layout: str) -> None:
        """Spoil the output ``name`` of a call in place."""
        faults = self._faults
        self._age(call, name, out)
        if _since(faults.off_by_one_from, call):
            flat = out.reshape(-1)[::_OFF_BY_ONE_STRIDE]
            flat[...] = _raised(flat, 1)
        if _since(faults.noise_from, call):
            pattern = np.random.default_rng(faults.seed).uniform(-1.0, 1.0, out.shape)
            out[...] = _raised(out, np.rint(faults.noise_steps * pattern).astype(np.int32))
        if _since(faults.wrap_from, call) and out.dtype.kind in "iu":
            np.add(out, np.array(faults.wrap_offset).astype(out.dtype), out=out)  # wraps around
        if _since(faults.seam_from, call) and out.ndim == 4:
            half = out.shape[2 if layout == "NHWC" else 3] // 2
            right = out[:, :, half:] if layout == "NHWC" else out[..., half:]
            right[...] = _raised(right, faults.seam_steps)

    def _age(self, call: int, name: str, out: np.ndarray) -> None:
        faults = self._faults
        if not (faults.stale_at or faults.older_at or faults.stale_from is not None):
            return
        past = self._past.setdefault(name, deque(maxlen=2))
        fresh = out.copy()
        back = 2 if call in faults.older_at else 1
        stale = call in faults.stale_at or call in faults.older_at or _since(faults.stale_from, call)
        if stale and len(past) >= back and past[-back].shape == out.shape:
            out[...] = past[-back]
        past.append(fresh)


def _since(start: int | None, call: int) -> bool:
    return start is not None and call >= start


def _raised(values: np.ndarray, steps: int | np.ndarray) -> np.ndarray:
    """The values some steps higher, without wrapping; floats count steps of 1/255."""
    if values.dtype.kind == "f":
        return np.asarray(values + np.float32(1 / 255) * np.float32(steps), values.dtype)
    limits = np.iinfo(values.dtype)
    return np.clip(values.astype(np.int32) + steps, limits.min, limits.max).astype(values.dtype)
