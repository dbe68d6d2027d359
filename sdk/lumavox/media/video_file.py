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
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lumavox.errors import AudioError, UnreadableMediaError
from lumavox.media.engines import Engines
from lumavox.media.facts import MediaFacts, compare, open_input, probe
from lumavox.media.kinds import import_av
from lumavox.media.picture_track import PictureTrack
from lumavox.media.pipeline import Channel, Pipeline, Stage
from lumavox.media.preview import Preview
from lumavox.media.progress import Progress
from lumavox.media.sound_reader import SoundReader
from lumavox.media.sound_track import SoundTrack
from lumavox.media.writer import Writer

_FRAMES = 4  # of pictures within a channel
_FRAME_BYTES = 128 << 20  # fewer, when they are so large that they would pass this
_BLOCKS = 64  # frames of sound, some 20 ms each
_PACKETS = 16
"""How much the channels hold. More only costs memory: the slowest stage sets the pace."""


@dataclasses.dataclass
class VideoJob:
    """One file on its way; ``run`` does it once. The fields below are what is known afterwards."""

    source: Path
    temporary: Path
    ending: str
    shown: Path
    engines: Engines
    quality: int | None
    warn: Callable[[str], None]
    preview: Preview | None
    progress: Callable[[Progress], None] | None
    picture: PictureTrack | None = None
    sound: SoundTrack | None = None
    codecs: dict[str, str] = dataclasses.field(default_factory=dict)
    pipeline: Pipeline = dataclasses.field(default_factory=Pipeline)
    damaged: int = 0
    decoded: int = 0

    def run(self) -> None:
        """Enhance ``source`` into ``temporary``. Raises errors of media, engines and options."""
        facts = probe(self.source)
        self._open_engines(facts)
        with open_input(self.source) as container:
            writer = Writer(self.temporary, self.ending, self.shown, self.warn)
            try:
                copies = self._set_up(container, writer, facts)
                self._run_stages(container, writer, facts, copies)
                writer.finish()
            except BaseException:
                writer.abandon()
                raise
        self._check(facts)

    def _open_engines(self, facts: MediaFacts) -> None:
        if facts.video is not None and self.engines.options.picture:
            upscaler = self.engines.upscaler()
            self.picture = PictureTrack(facts.video, upscaler, self.warn)
        if facts.audio is not None and self.engines.options.sound:
            try:
                enhancer = self.engines.enhancer(facts.audio.rate_hz, facts.audio.channels)
                self.sound = SoundTrack(enhancer, facts.audio.rate_hz, facts.audio.channels)
            except AudioError as error:
                self.warn(f"the sound was copied as it is: {error}")
        if self.preview is not None:
            self.preview.plan(facts.duration_s)

    def _set_up(self, container: Any, writer: Writer, facts: MediaFacts) -> set[int]:
        """The output's streams in the order of the input's; returns the indexes of those to copy."""
        writer.describe(container)
        copies = set()
        for stream in container.streams:
            if self.picture is not None and facts.video and stream.index == facts.video.index:
                codec = writer.add_picture(
                    stream, facts.video, self.picture.coded_size, self.picture.pixel_format, self.quality
                )
                self.codecs["picture"] = codec.name
            elif self.sound is not None and facts.audio and stream.index == facts.audio.index:
                self.codecs["sound"] = writer.add_sound(stream, facts.audio).name
            elif stream.type != "data" and writer.add_copy(stream):
                copies.add(stream.index)
        return copies

    def _run_stages(self, container: Any, writer: Writer, facts: MediaFacts, copies: set[int]) -> None:
        line = self.pipeline
        fit = _FRAME_BYTES // max(1, self.picture.frame_bytes) if self.picture else _FRAMES
        frames = line.channel("frames", max(1, min(_FRAMES, fit)))
        blocks = line.channel("sound", _BLOCKS)
        ready = line.channel("ready", max(1, min(_FRAMES, fit)) + _PACKETS)
        line.stage(
            "decode",
            lambda stage: self._decode(stage, container, facts, copies, frames, blocks, ready),
            gives=[frames, blocks, ready],
        )
        if self.picture is not None:
            line.stage("picture", lambda stage: self._enhance_picture(stage, frames, ready), gives=[ready])
        if self.sound is not None:
            reader = SoundReader(facts.audio, self.warn)  # type: ignore[arg-type]
            line.stage("sound", lambda stage: self._enhance_sound(stage, reader, blocks, ready), gives=[ready])
        line.stage("encode", lambda stage: _encode(stage, writer, ready))
        line.run(self._tick(facts))

    def _decode(self, stage: Stage, container: Any, facts: MediaFacts, copies: set[int], frames: Channel,
                blocks: Channel, ready: Channel) -> None:  # fmt: skip
        av = import_av()
        channels: dict[int, Channel] = {}
        if self.picture is not None and facts.video is not None:
            channels[facts.video.index] = frames
        if self.sound is not None and facts.audio is not None:
            channels[facts.audio.index] = blocks
        wanted = [s for s in container.streams if s.index in channels or s.index in copies]
        packets = container.demux(wanted)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.warn(f"the file is damaged or cut off: reading ended early ({error})")
                break
            if packet is None:
                break
            channel = channels.get(packet.stream.index)
            if channel is None:
                if packet.size:  # an empty one only says that the stream ends
                    stage.give(ready, packet)
                continue
            for frame in self._frames_of(packet):
                stage.give(channel, frame)

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
            if self.preview is not None:
                self.preview.see(enhanced.pts * float(enhanced.time_base), source, enhanced)
            stage.give(ready, enhanced)

    def _enhance_sound(self, stage: Stage, reader: SoundReader, blocks: Channel, ready: Channel) -> None:
        assert self.sound is not None
        sound, av = self.sound, import_av()
        position = reader.start_pts

        def give(samples: Any) -> None:
            nonlocal position
            if not len(samples):
                return
            flat = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(flat, "flt", reader.facts.layout)
            frame.sample_rate = sound.rate_hz
            frame.time_base = Fraction(1, sound.rate_hz)
            frame.pts = position
            position += len(samples)
            stage.give(ready, frame)

        def enhance(samples: Any) -> None:
            enhanced = sound.feed(samples)
            if self.preview is not None:
                self.preview.hear(sound.rate_hz, samples, enhanced)
            give(enhanced)

        for frame in stage.items(blocks):
            for samples in reader.read(frame):
                enhance(samples)
        for samples in reader.finish():
            enhance(samples)
        rest = sound.finish()
        if self.preview is not None:
            self.preview.hear(sound.rate_hz, None, rest)
        give(rest)

    def _tick(self, facts: MediaFacts) -> Callable[[], None] | None:
        if self.progress is None:
            return None
        began, show = time.monotonic(), self.progress
        if self.picture is not None and facts.video is not None:
            rate = float(facts.video.rate or 0)
            total = facts.video.frames or (facts.duration_s or 0) * rate
            return lambda: show(Progress(self.picture.frames, total, time.monotonic() - began, "frames"))  # type: ignore[union-attr]
        if self.sound is not None:
            total = facts.duration_s or 0
            return lambda: show(Progress(self.sound.seconds, total, time.monotonic() - began, "s"))  # type: ignore[union-attr]
        return None

    def _check(self, facts: MediaFacts) -> None:
        """Say what is missing from the output, and what was wrong with the input."""
        if (self.picture or self.sound) and self.decoded == 0:
            raise UnreadableMediaError(f"cannot read {self.source}: nothing in it can be decoded")
        if self.damaged:
            self.warn(f"the file is damaged: {self.damaged} packets could not be decoded and were left out")
        expected = facts.video.frames if facts.video is not None else 0
        if self.picture is not None and self.picture.frames < expected:
            self.warn(f"the file is damaged or cut off: {self.picture.frames} of {expected} frames decoded")
        for sentence in compare(facts, probe(self.temporary)):
            self.warn(sentence)


def _encode(stage: Stage, writer: Writer, ready: Channel) -> None:
    for item in stage.items(ready):
        writer.write(item)
