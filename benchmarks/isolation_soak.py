"""``soak``: memory, descriptors and threads over a long stream through a worker. For `bench_isolation`."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumavox import Frame, PixelFormat, Upscaler
from lumavox.isolation import Isolation, WorkerStatus


@dataclass(frozen=True)
class Soak:
    """What grew over a soak, from after the warm-up to the end."""

    seconds: float
    frames: int
    enhanced: int
    restarts: int
    player_kib: int
    worker_kib: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s, {self.frames} frames, "
            f"{self.enhanced} enhanced, {self.restarts} restarts; "
            f"grown by: player {self.player_kib} KiB, worker {self.worker_kib} KiB, "
            f"{self.descriptors} descriptors, {self.threads} threads"
        )


def soak(
    model: str,
    backend: str,
    size: tuple[int, int],
    seconds: float,
    fps: float,
    warm_up_s: float | None = None,
    **open_options: Any,
) -> Soak:
    """Frames at ``fps`` for ``seconds``; what memory, descriptors and threads did after the warm-up."""
    warm_up_s = min(60.0, seconds / 5) if warm_up_s is None else warm_up_s
    frame = noise(*size)
    with (
        tempfile.TemporaryDirectory() as state,
        Upscaler.open(
            model, backend=backend, deadline_ms=1e3 / fps,
            isolation=Isolation(state=Path(state)), **open_options,
        ) as upscaler,
    ):  # fmt: skip
        out: Frame | None = None
        began = due = time.perf_counter()
        frames, first, peak = 0, None, None
        while (now := time.perf_counter()) - began < seconds:
            out = upscaler.process(frame, out)
            frames += 1
            if now - began >= warm_up_s and frames % 64 == 0:
                measured = _measure(upscaler.worker)
                first = first or measured
                peak = measured
            due = max(due + 1 / fps, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
        record, status = upscaler.record(), upscaler.worker
    assert first is not None
    assert peak is not None
    grown = [b - a for a, b in zip(first, peak)]
    return Soak(seconds, frames, record.frames_enhanced or 0, status.restarts if status else 0, *grown)


def _measure(worker: WorkerStatus | None) -> tuple[int, int, int, int]:
    """KiB of this process and of the worker, descriptors and threads of this one."""
    pid = worker.pid if worker is not None else None
    return (
        _kib("self"),
        _kib(str(pid)) if pid else 0,
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
    )


def _kib(process: str) -> int:
    """Memory of its own, without what it shares with others."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1])
    return 0


def noise(width: int, height: int) -> Frame:
    frame = Frame.empty(PixelFormat.NV12, width, height)
    random = np.random.default_rng(0)
    for plane in frame.planes:
        plane[...] = random.integers(0, 256, plane.shape)
    return frame
