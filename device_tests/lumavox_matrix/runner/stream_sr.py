"""The stream phase of task "sr": frames with marks through `Upscaler`, as a player would send them."""

from __future__ import annotations

from dataclasses import dataclass

from lumavox.bundle import Bundle
from lumavox.picture import ColourTags, Frame, PixelFormat
from lumavox.video import Upscaler

from .faulty import Faulty
from .job import Job
from .looks import fault_of
from .picture_marks import Picture, read
from .recorder import Recorder
from .sequence import judge
from .stream import Watch, observe_telemetry, shown, synchronization
from .tap import Tap

__all__ = ["stream_sr"]

LOOK_PIXELS = 400_000
"""Pictures of up to so many output pixels are all looked at (where latencies are claimed and in larger ones
every eighth is)."""


def stream_sr(job: Job, bundle: Bundle, recorder: Recorder) -> None:
    """Stream ``job.frames`` frames and observe what the output proves."""
    preset = job.preset
    interval_s = preset.interval_ms / 1e3
    picture = Picture(preset.width, preset.height)
    faulty = Faulty(job.faults, interval_s)
    watch = Watch(job, recorder, faulty, interval_s, job.frames)
    seen = _Seen([], {}, [])
    with Tap(job.cell.engine, marks=not job.paced) as tap, _upscaler(job, bundle) as upscaler:
        out: Frame | None = None
        for n in range(job.frames):
            frame = _frame(picture, faulty.number(n))
            watch.wait(n)
            out = upscaler.process(frame, out)
            faulty.work(n)
            watch.done(n)
            faulty.spoil(out.planes[0])
            small = not job.paced and out.width * out.height <= LOOK_PIXELS
            seen.add(n, frame, out, look=small or n % 8 == 0)
            if watch.over:
                break
        telemetry, delay = upscaler.record(), upscaler.delay_frames
    recorder.set(telemetry=telemetry, engine_us=tap.histogram.buckets(), engine_max_us=tap.histogram.max_us)
    seen.observe(job, recorder, delay)
    observe_telemetry(job, recorder, telemetry)
    if not job.paced:
        recorder.observe(
            "engine_frames_match", "stream", not tap.mismatches, len(tap.mismatches), 0, "frames", tap.calls,
            shown(tap.mismatches),
        )  # fmt: skip
    late_s = watch.lateness_s or [0.0] * len(seen.numbers)
    offsets_ms = [
        (n - delay - number) * preset.interval_ms + late * 1e3
        for n, (number, late) in enumerate(zip(seen.numbers, late_s))
        if number is not None
    ]
    synchronization(offsets_ms, recorder, job, preset.rate)
    watch.finish()


def _upscaler(job: Job, bundle: Bundle) -> Upscaler:
    content = bundle.variants[0].content
    return Upscaler.open(
        bundle,
        backend=job.cell.engine,
        threads=job.threads,
        deadline_ms=job.deadline_ms,
        content="auto" if content == "any" else content,
    )


def _frame(picture: Picture, number: int) -> Frame:
    planes = (picture.luma(number), picture.chroma(number))
    return Frame.wrap(PixelFormat.NV12, picture.width, picture.height, planes, colour=ColourTags("limited"))


@dataclass
class _Seen:
    """What was read from the outputs: numbers, implausible looks by kind, torn pictures."""

    numbers: list[int | None]
    looks: dict[str, list[int]]
    torn: list[int]

    def add(self, n: int, frame: Frame, out: Frame, *, look: bool) -> None:
        """The ``n``-th output."""
        marks = read(out.planes[0])
        self.numbers.append(marks.number)
        if marks.torn:
            self.torn.append(n)
        fault = fault_of(frame.planes[0], out.planes[0]) if look else None
        if fault:
            self.looks.setdefault(fault, []).append(n)

    def observe(self, job: Job, recorder: Recorder, delay: int) -> None:
        """Presence, order and looks."""
        gates, frames = job.gates, len(self.numbers)
        seen = judge(self.numbers, frames - delay, delay)
        recorder.set(frames_strip=seen.strip)
        limits = {"start": gates.missing_start, "middle": gates.missing_middle, "end": gates.missing_end}
        counts = {part: seen.missing_in(part) for part in limits}
        recorder.observe(
            "every_sample_rendered", "stream", all(counts[part] <= limits[part] for part in limits),
            len(seen.missing), gates.missing_middle, "frames", frames,
            ", ".join(f"{part} {count}" for part, count in counts.items()) + f": {shown(seen.missing)}",
        )  # fmt: skip
        for name, positions, most in (
            ("samples_in_order", seen.reordered, 0),
            ("no_duplicate_sample", seen.duplicates, gates.missing_middle),
            ("no_unreadable_sample", seen.unreadable, 0),
            ("unexpected_sample_not_rendered", seen.unexpected, 0),
            ("no_torn_picture", self.torn, 0),
        ):
            recorder.observe(
                name,
                "stream",
                len(positions) <= most,
                len(positions),
                most,
                "frames",
                frames,
                shown(positions),
            )
        wrong = sum(map(len, self.looks.values()))
        recorder.observe(
            "picture_plausible", "stream", not wrong, wrong, 0, "frames", frames,
            "; ".join(f"{kind}: {shown(at)}" for kind, at in self.looks.items()) or None,
        )  # fmt: skip
