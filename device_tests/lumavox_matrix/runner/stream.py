"""What picture and sound have in common while they are streamed: pace, memory, clocks, minutes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np

from lumavox.telemetry import Histogram, TelemetryRecord

from .faulty import Faulty
from .job import Job
from .record import Memory
from .recorder import Recorder

__all__ = ["Watch", "observe_telemetry", "rss_kib", "shown", "synchronization"]

LEAST_GROWTH_KIB = 4096
"""Memory that a process may always take: allocators keep that much for later."""

LEAST_UNITS = 32
_MEMORY_STEPS = 64  # how often memory is looked at in a run


class Watch:
    """Of one stream of ``frames`` units."""

    def __init__(self, job: Job, recorder: Recorder, faulty: Faulty, interval_s: float, frames: int) -> None:
        self._job, self._recorder, self._faulty = job, recorder, faulty
        self._interval_s, self._frames = interval_s, frames
        self.lateness_s: list[float] = []
        self._count = 0
        self._loop = Histogram()
        self._minute = Histogram()
        self._minutes: list[float] = []
        self._memory: list[tuple[int, int]] = []
        self._wall, self._mono = time.time(), time.monotonic()
        self._started = time.perf_counter()

    def wait(self, n: int) -> None:
        """Until unit ``n`` is due; at once if the run is not paced."""
        if n == 0:
            self._wall, self._mono = time.time(), time.monotonic()
            self._started = time.perf_counter()
        if self._job.paced:
            left_s = self._started + n * self._interval_s - time.perf_counter()
            if left_s > 0:
                time.sleep(left_s)
        self._began = time.perf_counter()

    def done(self, n: int) -> None:
        """Unit ``n`` came out."""
        now = time.perf_counter()
        self._count = n + 1
        self._minute.add((now - self._began) * 1e6)
        self._loop.add((now - self._began) * 1e6)
        if self._job.paced:
            due = self._started + n * self._interval_s
            self.lateness_s.append(max(0.0, now - due - self._interval_s))
            if (n + 1) % max(1, round(60 / self._interval_s)) == 0:
                self._minutes.append(round(self._minute.percentile(99), 1))
                self._minute = Histogram()
        if n % max(1, self._frames // _MEMORY_STEPS) == 0:
            kib = rss_kib()
            if kib is not None:
                self._memory.append((n, kib))

    @property
    def over(self) -> bool:
        """Whether the time is over (only where the job has a budget, and after ``LEAST_UNITS``)."""
        budget_s = self._job.budget_s
        return (
            budget_s is not None
            and self._count >= LEAST_UNITS
            and time.perf_counter() - self._started > budget_s
        )

    def finish(self) -> None:
        """Observe memory, clocks and lateness."""
        recorder, gates, job = self._recorder, self._job.gates, self._job
        recorder.set(loop_us=self._loop.buckets(), loop_max_us=self._loop.max_us, units=self._count)
        wall_s = time.time() + self._faulty.wall_s(self._frames, self._frames) - self._wall
        jump_ms = abs(wall_s - (time.monotonic() - self._mono)) * 1e3
        recorder.observe(
            "clock_steady", "stream", jump_ms <= gates.clock_ms, round(jump_ms, 1), gates.clock_ms, "ms"
        )
        self._observe_memory()
        if job.paced:
            late = sum(s > 0 for s in self.lateness_s)
            recorder.observe(
                "rendering_delay_within_threshold", "stream", None, late, None, "frames", len(self.lateness_s)
            )
            recorder.set(minutes_p99_us=tuple(self._minutes))

    def _observe_memory(self) -> None:
        if len(self._memory) < 8:
            return
        quarter = [kib for n, kib in self._memory if n >= self._count // 4]
        growth = quarter[-1] - quarter[0]
        seconds = 0.75 * self._count * self._interval_s
        rate = growth / seconds
        passed = growth < LEAST_GROWTH_KIB or rate <= self._job.gates.growth_kib_per_s
        self._recorder.observe(
            "memory_steady", "stream", passed, round(rate, 1), self._job.gates.growth_kib_per_s, "KiB/s",
            len(quarter), f"{growth} KiB in {seconds:.1f} s of content",
        )  # fmt: skip
        before = self._recorder.record.memory
        self._recorder.set(memory=Memory(before.start_kib, before.opened_kib, quarter[0], quarter[-1]))


def observe_telemetry(job: Job, recorder: Recorder, telemetry: TelemetryRecord) -> None:
    """Observe what lumavox itself says: units that it did not enhance, and the delay until the first."""
    bypassed = telemetry.frames_bypassed or 0
    recorder.observe(
        "every_frame_enhanced", "stream", bypassed == 0, bypassed, 0, "frames", telemetry.frames_in,
        ", ".join(telemetry.errors) or None,
    )  # fmt: skip
    if telemetry.first_frame_ms is not None:
        ms, limit = round(telemetry.first_frame_ms, 1), job.gates.start_up_ms
        recorder.observe("start_up_delay", "stream", ms <= limit, ms, limit, "ms")


def shown(places: Sequence[int]) -> str:
    """The first of them, for a detail."""
    return " ".join(map(str, places[:12])) + (" ..." if len(places) > 12 else "")


def synchronization(offsets_ms: Sequence[float], recorder: Recorder, job: Job, per_second: float) -> None:
    """Observe the A/V offset: positive, the sound is before the picture. One second at both ends is left
    out where there is enough in between, as in CTA WAVE."""
    gates = job.gates
    edge = int(per_second) if len(offsets_ms) > 4 * per_second else 0
    values = np.array(offsets_ms[edge : len(offsets_ms) - edge])
    if not len(values):
        recorder.observe("audio_video_synchronization", "stream", False, 0.0, gates.av_share, "share", 0)
        return
    inside = float(np.mean((values <= gates.av_early_ms + 0.5) & (values >= -gates.av_late_ms - 0.5)))
    low, middle, high = np.percentile(values, (5, 50, 95))
    recorder.observe(
        "audio_video_synchronization", "stream", inside >= gates.av_share, round(inside, 4), gates.av_share,
        "share", len(values), f"offset p5 {low:.1f}, p50 {middle:.1f}, p95 {high:.1f} ms",
    )  # fmt: skip
    recorder.observe("av_offset_p50", "stream", None, round(float(middle), 2), None, "ms", len(values))
    if len(values) >= 32:
        slope = float(np.polyfit(np.arange(len(values)) / per_second, values, 1)[0])
        limit = (gates.av_early_ms + gates.av_late_ms) / max(60.0, job.frames / per_second)
        recorder.observe(
            "av_drift", "stream", abs(slope) <= limit, round(slope, 3), round(limit, 3), "ms/s", len(values)
        )


def rss_kib() -> int | None:
    """Resident memory of this process, None where /proc does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except (OSError, ValueError, IndexError):
        return None
