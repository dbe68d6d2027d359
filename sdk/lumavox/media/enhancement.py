"""`enhance`: one file in, one enhanced file out. Tells the kind of file and hands it to the module for it.

    report = enhance("in.mp4", "out.mp4", EnhanceOptions(dialog="high"))
    print(report.summary())
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

from lumavox.errors import OptionError
from lumavox.media.engines import Engines, describe
from lumavox.media.kinds import Kind, kind_of, output_format
from lumavox.media.options import EnhanceOptions
from lumavox.media.output import OutputFile
from lumavox.media.picture_file import enhance_picture
from lumavox.media.preview import Preview
from lumavox.media.progress import Progress
from lumavox.media.report import EnhanceReport, PictureReport, SoundReport
from lumavox.media.sound_file import enhance_sound
from lumavox.media.sound_track import SoundTrack
from lumavox.media.video_file import VideoJob
from lumavox.telemetry import TelemetryRecord
from lumavox.video import Upscaler


def enhance(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: EnhanceOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> EnhanceReport:
    """Enhance the file ``source`` into ``output``, whose ending says what it is written as.

    Video (mp4, mkv, webm, mov) keeps its frames, timestamps, colour tags, rotation, shape, further tracks,
    subtitles, chapters and tags; what the container cannot carry is in the report's ``warnings``. Pictures
    are png, jpg, webp; sound is wav, flac, ogg, mp3, opus. ``progress`` is called now and then in the
    calling thread.

    ``output`` (and ``options.report``, ``options.preview``) appear only when complete; on any error or
    Ctrl-C nothing is left behind. Raises `UnreadableMediaError`, `UnsupportedMediaError`, `OutputError`,
    `MissingExtraError`, `OptionError`, and what opening a model raises.
    """
    began = time.monotonic()
    job = _Job(Path(source), Path(output), options or EnhanceOptions(), progress)
    kind = kind_of(job.source)
    ending = output_format(job.source, kind, job.output)
    work = {Kind.VIDEO: job.video, Kind.PICTURE: job.picture, Kind.SOUND: job.sound}[kind]
    job.check_side_outputs()
    with Engines(job.options) as engines:
        with OutputFile(job.output, overwrite=job.options.overwrite, source=job.source) as temporary:
            work(engines, temporary, ending)
        report = EnhanceReport(
            input=job.source,
            output=job.output,
            kind=kind.name.lower(),
            wall_s=time.monotonic() - began,
            picture=job.picture_report,
            sound=job.sound_report,
            stages_s=job.stages_s,
            queues=job.queues,
            warnings=tuple(job.warnings),
            telemetry=engines.telemetry(),
        )
    if job.options.report is not None:
        report.write(job.options.report)
    if job.preview is not None and job.options.preview is not None:
        job.preview.render(job.options.preview)
    return report


@dataclasses.dataclass
class _Job:
    """One call of `enhance`, while it runs."""

    source: Path
    output: Path
    options: EnhanceOptions
    progress: Callable[[Progress], None] | None
    warnings: list[str] = dataclasses.field(default_factory=list)
    picture_report: PictureReport | None = None
    sound_report: SoundReport | None = None
    stages_s: dict[str, float] = dataclasses.field(default_factory=dict)
    queues: dict[str, int] = dataclasses.field(default_factory=dict)
    preview: Preview | None = None

    def __post_init__(self) -> None:
        self.preview = Preview() if self.options.preview is not None else None

    def warn(self, sentence: str) -> None:
        """Keep ``sentence`` for the report, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def check_side_outputs(self) -> None:
        """Refuse places for report and preview that cannot be written to, before any work."""
        for path in (self.options.report, self.options.preview):
            if path is not None:
                OutputFile(path, source=self.source).check()

    def video(self, engines: Engines, temporary: Path, ending: str) -> None:
        video = VideoJob(self.source, temporary, ending, self.output, engines, self.options.quality,
                         self.warn, self.preview, self.progress)  # fmt: skip
        began = time.monotonic()
        video.run()
        wall_s = time.monotonic() - began
        self.stages_s = video.pipeline.busy_s()
        self.queues = {channel.name: channel.peak for channel in video.pipeline.channels}
        if video.picture is not None:
            track, facts = video.picture, video.picture.facts
            self._picture(
                track.upscaler,
                before=(facts.width, facts.height),
                after=track.enhanced_size,
                frames=track.frames,
                fps=track.frames / wall_s,
                codec=video.codecs["picture"],
            )
        if video.sound is not None:
            self._sound(video.sound, video.codecs["sound"])

    def picture(self, engines: Engines, temporary: Path, ending: str) -> None:
        if not self.options.picture:
            raise OptionError(f"{self.source} is a picture, and the picture part is off: nothing to do")
        began = time.monotonic()
        upscaler, before, after = enhance_picture(
            self.source, temporary, ending, engines, self.options.quality, self.warn, self.preview
        )
        fps = 1 / (time.monotonic() - began)
        self._picture(upscaler, before=before, after=after, frames=1, fps=fps, codec=ending)

    def sound(self, engines: Engines, temporary: Path, ending: str) -> None:
        if not self.options.sound:
            raise OptionError(f"{self.source} is a sound file, and the sound part is off: nothing to do")
        track, format = enhance_sound(
            self.source, temporary, ending, self.output, engines, self.warn, self.preview, self.progress
        )
        self._sound(track, format)

    def _picture(
        self,
        upscaler: Upscaler,
        before: tuple[int, int],
        after: tuple[int, int],
        frames: int,
        fps: float,
        codec: str,
    ) -> None:
        record = upscaler.record()
        self._say_bypassed(record, "frames came out by the conventional filter")
        self.picture_report = PictureReport(
            engine=describe(upscaler),
            scale=upscaler.scale,
            content=upscaler.content,
            source_size=before,
            size=after,
            frames=frames,
            fps=fps,
            p50_ms=record.latency_us.p50 / 1e3 if record.latency_us else None,
            p99_ms=record.latency_us.p99 / 1e3 if record.latency_us else None,
            codec=codec,
        )

    def _sound(self, track: SoundTrack, codec: str) -> None:
        self._say_bypassed(track.enhancer.record(), "blocks of sound came out as they were")
        before, after = track.loudness()
        self.sound_report = SoundReport(
            engine=describe(track.enhancer),
            dialog_gain_db=self.options.dialog_gain_db,
            rate_hz=track.rate_hz,
            channels=track.channels,
            seconds=track.seconds,
            realtime_factor=track.realtime_factor,
            delay_samples=track.enhancer.delay_samples,
            before=before,
            after=after,
            codec=codec,
        )

    def _say_bypassed(self, record: TelemetryRecord, what: str) -> None:
        if record.frames_bypassed:
            reason = record.state_reason or ", ".join(record.errors) or record.state
            self.warn(f"{record.frames_bypassed} of {record.frames_in} {what}: {reason}")
