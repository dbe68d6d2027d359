"""Files with streams (mp4, mkv, webm, mov): `enhance_video`.

Four threads: demultiplex and decode, picture, sound, encode and multiplex. All other streams go from the
first to the last as packets. See `lumavox.media.pipeline` for how they are joined.

    decode ──frames──> picture ──┐
       ├────blocks───> sound ────┼──> encode
       └────packets──────────────┘

The last channel is one for all three, so that no stage ever waits for one stream while another is full.
"""

from __future__ import annotations

import dataclasses
import time
from fractions import Fraction
from typing import Any

import numpy as np

from lumavox.errors import AudioError, UnreadableMediaError
from lumavox.media.coding import decide
from lumavox.media.facts import AudioFacts, MediaFacts, VideoFacts, open_input, probe
from lumavox.media.kept import compare
from lumavox.media.kinds import import_av
from lumavox.media.picture_track import PictureTrack
from lumavox.media.pipeline import Channel, Pipeline, Stage
from lumavox.media.progress import Progress
from lumavox.media.report import Done, PictureReport, SoundReport, bypassed
from lumavox.media.sound_reader import SoundReader
from lumavox.media.sound_track import SoundTrack
from lumavox.media.task import Task
from lumavox.media.writer import Writer

# How much the channels hold. More would only cost memory: the slowest stage sets the pace.
_FRAMES = 4  # pictures
_FRAME_BYTES = 128 << 20  # fewer of them, when they are so large that they would pass this
_BLOCKS = 64  # decoded frames of sound, some 20 ms each
_PACKETS = 16  # sound and copied packets on the way to the encoder


def enhance_video(task: Task) -> Done:
    """Enhance a file with streams. Raises `UnreadableMediaError`, `UnsupportedMediaError`, `OutputError`."""
    began = time.perf_counter()
    job = _Job(task, probe(task.source))
    with open_input(task.source) as container:
        writer = Writer(task.temporary, task.ending, task.output, task.warn)
        try:
            job.run(container, writer)
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
    job.check()
    return job.done(time.perf_counter() - began)


class _Job:
    """One file on its way."""

    def __init__(self, task: Task, facts: MediaFacts) -> None:
        self.task, self.facts = task, facts
        self.picture: PictureTrack | None = None
        self.sound: SoundTrack | None = None
        self.reader: SoundReader | None = None
        self.codecs: dict[str, str] = {}
        self.pipeline = Pipeline()
        self.damaged = self.decoded = 0
        self._began = time.perf_counter()
        self._open_engines()

    def run(self, container: Any, writer: Writer) -> None:
        """Set up the output's streams, then run the four stages to their end."""
        copies = self._set_up(container, writer)
        line, fit = self.pipeline, _FRAMES
        if self.picture is not None:
            fit = max(1, min(_FRAMES, _FRAME_BYTES // self.picture.frame_bytes))
        frames = line.channel("frames", fit)
        blocks = line.channel("sound", _BLOCKS)
        ready = line.channel("ready", fit + _PACKETS)
        channels = {}
        if self.picture is not None:
            channels[self.picture.facts.index] = frames
            line.stage("picture", lambda stage: self._enhance_picture(stage, frames, ready), [ready])
        if self.reader is not None:
            channels[self.reader.facts.index] = blocks
            line.stage("sound", lambda stage: self._enhance_sound(stage, blocks, ready), [ready])
        sources = [s for s in container.streams if s.index in channels or s.index in copies]
        packets = container.demux(sources)
        gives = [frames, blocks, ready]
        line.stage("decode", lambda stage: self._decode(stage, packets, channels, ready), gives)
        line.stage("encode", lambda stage: _encode(stage, writer, ready))
        line.run(self._tick)

    def _sound_facts(self) -> AudioFacts:
        """Of the sound that is written."""
        assert self.sound is not None
        assert self.reader is not None
        facts = self.reader.facts
        if self.sound.out_channels == facts.channels:
            return facts
        return dataclasses.replace(facts, channels=2, layout="stereo", bit_rate=None)

    def _open_engines(self) -> None:
        task, video, audio = self.task, self.facts.video, self.facts.audio
        if video is not None and task.options.picture:
            self._open_picture(video)
        if audio is not None and task.options.sound:
            try:
                self.sound = task.engines.sound_track(audio.rate_hz, audio.channels)
                self.reader = SoundReader(audio, task.warn)
            except AudioError as error:
                task.warn(f"the sound was copied as it is: {error}")
        if task.preview is not None:
            task.preview.plan(self.facts.duration_s)

    def _open_picture(self, video: VideoFacts) -> None:
        task = self.task
        size = (video.width, video.height)
        upscaler = task.engines.upscaler(size, lambda: decide(task.source, video))
        if upscaler is not None:
            self.picture = PictureTrack(video, upscaler, task.warn)
            return
        target = task.options.target
        why = "fills {}x{} already".format(*target) if target else "would be enlarged beyond the 4K class"
        task.warn(
            f"the picture was copied as it is: its {size[0]}x{size[1]} {why}; "
            "name a scale to enlarge it all the same"
        )

    def _set_up(self, container: Any, writer: Writer) -> set[int]:
        """The output's streams in the order of the input's; returns the indexes of those to copy."""
        writer.describe(container)
        copies = set()
        for stream in container.streams:
            if self.picture is not None and stream.index == self.picture.facts.index:
                track, quality = self.picture, self.task.options.quality
                codec = writer.add_picture(stream, track.facts, track.coded_size, track.pixel_format, quality)
                self.codecs["picture"] = codec.name
            elif self.reader is not None and stream.index == self.reader.facts.index:
                self.codecs["sound"] = writer.add_sound(stream, self._sound_facts()).name
            elif stream.type != "data" and writer.add_copy(stream):
                copies.add(stream.index)
        return copies

    def _decode(self, stage: Stage, packets: Any, channels: dict[int, Channel], ready: Channel) -> None:
        av = import_av()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.task.warn(f"the file is damaged or cut off: reading ended early ({error})")
                return
            if packet is None:
                return
            channel = channels.get(packet.stream.index)
            if channel is not None:
                for frame in self._frames_of(packet):
                    stage.give(channel, frame)
            elif packet.size:  # an empty one only says that the stream ends
                stage.give(ready, packet)

    def _frames_of(self, packet: Any) -> list[Any]:
        av = import_av()
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError, ValueError):
            self.damaged += 1
            return []
        self.decoded += len(frames)
        return list(frames)

    def _enhance_picture(self, stage: Stage, frames: Channel, ready: Channel) -> None:
        assert self.picture is not None
        for frame in stage.items(frames):
            source, enhanced = self.picture.enhance(frame)
            if self.task.preview is not None:
                self.task.preview.see(enhanced.pts * float(enhanced.time_base), source, enhanced)
            stage.give(ready, enhanced)

    def _enhance_sound(self, stage: Stage, blocks: Channel, ready: Channel) -> None:
        assert self.sound is not None
        assert self.reader is not None
        sound, reader, preview, av = self.sound, self.reader, self.task.preview, import_av()
        position, layout = reader.start_pts, self._sound_facts().layout

        def give(samples: Any) -> None:
            nonlocal position
            if not len(samples):
                return
            flat = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(flat, "flt", layout)
            frame.sample_rate = sound.rate_hz
            frame.time_base = Fraction(1, sound.rate_hz)
            frame.pts = position
            position += len(samples)
            stage.give(ready, frame)

        def enhance(samples: Any) -> None:
            enhanced = sound.feed(samples)
            if preview is not None:
                preview.hear(sound.rate_hz, samples, enhanced)
            give(enhanced)

        for frame in stage.items(blocks):
            for samples in reader.read(frame):
                enhance(samples)
        for samples in reader.finish():
            enhance(samples)
        rest = sound.finish()
        if preview is not None:
            preview.hear(sound.rate_hz, None, rest)
        give(rest)

    def _tick(self) -> None:
        if self.task.progress is None:
            return
        elapsed_s, length_s = time.perf_counter() - self._began, self.facts.duration_s or 0.0
        if self.picture is not None:
            video = self.picture.facts
            total = video.frames or length_s * float(video.rate or 0)
            self.task.progress(Progress(self.picture.frames, total, elapsed_s, "frames"))
        elif self.sound is not None:
            self.task.progress(Progress(self.sound.seconds, length_s, elapsed_s, "s"))

    def check(self) -> None:
        """Say what was wrong with the input, and what is missing from the output."""
        task, video = self.task, self.facts.video
        if (self.picture or self.sound) and not self.decoded:
            raise UnreadableMediaError(f"cannot read {task.source}: nothing in it can be decoded")
        if self.damaged:
            task.warn(f"the file is damaged: {self.damaged} packets could not be decoded and were left out")
        if self.picture is not None and video is not None and self.picture.frames < video.frames:
            share = f"{self.picture.frames} of {video.frames}"
            task.warn(f"the file is damaged or cut off: {share} frames could be decoded")
        for sentence in compare(self.facts, probe(task.temporary)):
            task.warn(sentence)

    def done(self, seconds: float) -> Done:
        """The reports on both parts."""
        picture = sound = None
        if (track := self.picture) is not None:
            picture = PictureReport.of(
                track.upscaler,
                source_size=(track.facts.width, track.facts.height),
                size=track.enhanced_size,
                frames=track.frames,
                seconds=seconds,
                codec=self.codecs["picture"],
            )
            self._say_bypassed(track.upscaler, "frames")
        if self.sound is not None:
            gain_db = self.task.options.dialog_gain_db
            sound = SoundReport.of(self.sound, dialog_gain_db=gain_db, codec=self.codecs["sound"])
            self._say_bypassed(self.sound.enhancer, "blocks of sound")
        peaks = {channel.name: channel.peak for channel in self.pipeline.channels}
        return Done(picture, sound, self.pipeline.busy_s(), peaks)

    def _say_bypassed(self, opened: Any, what: str) -> None:
        if sentence := bypassed(opened, what):
            self.task.warn(sentence)


def _encode(stage: Stage, writer: Writer, ready: Channel) -> None:
    for item in stage.items(ready):
        writer.write(item)
