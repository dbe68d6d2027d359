"""Milliseconds of every method on one thread for one 1920x1080 picture, measured in turn.

Round after round each method runs once, so all see the same clocks and neighbours. Medians are for this
machine and this hour; the ratio to our own method (median of the rounds' ratios) says more. On a busy machine
the wall time grows and the processor time hardly does: ratios are of the latter.

    times(methods, low=(540, 960), base="streamed int8")["bicubic"].ratio
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..progress import progress
from .sr_material import Size
from .sr_methods import Method


@dataclass(frozen=True)
class Time:
    """``ms`` is the median of the wall time, ``cpu_ms`` that of the processor time; ``ratio`` is the median
    of the rounds' ratios of processor time to the base method's."""

    ms: float
    cpu_ms: float
    ratio: float


def times(methods: Sequence[Method], low: Size, base: str, rounds: int = 9) -> dict[str, Time]:
    """Time the bare engine call (or filter) of every method on a picture of ``low``; one round warms up.

    A peer that cannot run at this size is left out.
    """
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        calls: dict[str, Callable[[], object]] = {}
        for method in methods:
            try:
                calls[method.name] = method.prepare(low)
            except Exception:
                if method.role != "peer":
                    raise
        wall: dict[str, list[float]] = {name: [] for name in calls}
        spent: dict[str, list[float]] = {name: [] for name in calls}
        for _ in progress(range(rounds + 1), "timing"):
            for name, call in calls.items():
                started, used = time.perf_counter(), time.process_time()
                call()
                spent[name].append((time.process_time() - used) * 1e3)
                wall[name].append((time.perf_counter() - started) * 1e3)
    finally:
        cv2.setNumThreads(threads)
    return {
        name: Time(
            statistics.median(wall[name][1:]),
            statistics.median(spent[name][1:]),
            statistics.median(a / b for a, b in zip(spent[name][1:], spent[base][1:])),
        )
        for name in calls
    }
