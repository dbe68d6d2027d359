"""What a media file holds: `MediaFacts`, found by `probe`.

Used twice by the pipeline: on the input, to set up the output; and on the finished output, for `kept` to
compare. The first frames are decoded, as the stream headers alone are often wrong or silent about format,
colour and rotation.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lumavox.errors import UnreadableMediaError
from lumavox.media.kinds import import_av

_PACKETS_TO_TRY = 500  # until the first frame of a damaged stream is given up
# Written by muxers about themselves, not by people about the work.
_MUXER_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "handler_name"}
_MUXER_KEYS |= {"vendor_id", "creation_time", "number_of_frames", "number_of_bytes", "bps"}


@dataclasses.dataclass(frozen=True)
class VideoFacts:
    """The main video stream: index, first decoded frame's format and tags, timing."""

    index: int
    codec: str
    width: int
    height: int
    pixel_format: str
    bit_depth: int
    rate: Fraction | None
    time_base: Fraction
    frames: int  # 0: not known
    start_s: float
    duration_s: float | None
    sample_aspect: Fraction
    colour: tuple[int, int, int, int]  # range, primaries, transfer, matrix as in ITU-T H.273
    display_matrix: tuple[int, ...] | None  # 9 numbers, row by row, as in ISO/IEC 14496-12
    interlaced: bool
    hdr_metadata: bool


@dataclasses.dataclass(frozen=True)
class AudioFacts:
    """The main audio stream."""

    index: int
    codec: str
    rate_hz: int
    channels: int
    layout: str
    sample_format: str
    bit_rate: int | None
    time_base: Fraction
    start_s: float
    duration_s: float | None


@dataclasses.dataclass(frozen=True)
class MediaFacts:
    """One file. ``streams`` are all streams but data, in order: ``(type, codec, disposition, metadata)``."""

    path: Path
    duration_s: float | None
    video: VideoFacts | None
    audio: AudioFacts | None
    streams: tuple[tuple[str, str, int, dict[str, str]], ...]
    metadata: dict[str, str]
    chapters: tuple[tuple[float, float, str], ...]  # begin and end in seconds, title


def open_input(path: Path) -> Any:
    """An open PyAV container. Raises `UnreadableMediaError` when it is not media, or too damaged."""
    av = import_av()
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableMediaError(
            f"cannot read {path}: it is not a media file, or it is damaged or cut off ({error})"
        ) from error
    for stream in container.streams:
        if stream.type in ("video", "audio") and stream.codec_context is not None:
            stream.thread_type = "AUTO"
    return container


def probe(path: Path) -> MediaFacts:
    """The facts of ``path``. Raises `UnreadableMediaError` when no picture and no sound can be decoded."""
    with open_input(path) as container:
        main_video, main_audio = main_streams(container)
        first = _first_frames(container, [s for s in (main_video, main_audio) if s is not None])
        video = first.get(main_video.index) if main_video is not None else None
        audio = first.get(main_audio.index) if main_audio is not None else None
        if video is None and audio is None:
            raise UnreadableMediaError(f"cannot read {path}: no picture and no sound in it can be decoded")
        duration = container.duration
        return MediaFacts(
            path=path,
            duration_s=None if duration is None else duration / 1e6,
            video=None if video is None else _video_facts(main_video, video),
            audio=None if audio is None else _audio_facts(main_audio, audio),
            # Data streams are the muxer's own affair: it writes chapters and timecode as such.
            streams=tuple(
                (s.type, codec_name(s), int(s.disposition), said_by_people(s.metadata))
                for s in container.streams
                if s.type != "data"
            ),
            metadata=said_by_people(container.metadata),
            chapters=tuple(_chapters(container)),
        )


def main_streams(container: Any) -> tuple[Any | None, Any | None]:
    """The video and audio streams to enhance: the default ones, else the first. Cover art is no video."""
    av = import_av()
    picture = int(av.stream.Disposition.attached_pic)

    def main(streams: list[Any]) -> Any | None:
        return next((s for s in streams if int(s.disposition) & 1), streams[0] if streams else None)

    known = [s for s in container.streams if s.codec_context is not None]
    videos = [s for s in known if s.type == "video" and not int(s.disposition) & picture]
    return main(videos), main([s for s in known if s.type == "audio"])


def said_by_people(metadata: dict[str, str]) -> dict[str, str]:
    """``metadata`` with lower-case keys, without what muxers write about themselves."""
    lower = {k.lower(): v for k, v in metadata.items()}
    return {k: v for k, v in lower.items() if k not in _MUXER_KEYS and not k.startswith("_statistics")}


def codec_name(stream: Any) -> str:
    """The codec of a stream, such as ``"h264"``; its type for streams without one (attachments)."""
    context = stream.codec_context
    return str(stream.type if context is None else context.codec.canonical_name)


def _first_frames(container: Any, streams: list[Any]) -> dict[int, Any]:
    """The first decodable frame of each of ``streams``, by stream index."""
    found: dict[int, Any] = {}
    for packet in itertools.islice(_packets(container, streams), _PACKETS_TO_TRY * len(streams)):
        if packet.stream.index not in found:
            for frame in decode(packet)[:1]:
                found[packet.stream.index] = frame
        if len(found) == len(streams):
            break
    return found


def _packets(container: Any, streams: list[Any]) -> Iterator[Any]:
    av = import_av()
    try:
        yield from container.demux(streams)
    except (av.FFmpegError, OSError):  # a damaged rest: what came before it counts
        return


def decode(packet: Any) -> list[Any]:
    """The frames of ``packet``; none when it is damaged."""
    av = import_av()
    try:
        return list(packet.decode())
    except (av.FFmpegError, OSError, ValueError):
        return []


def _video_facts(stream: Any, frame: Any) -> VideoFacts:
    context = stream.codec_context
    matrix = frame.side_data.get("DISPLAYMATRIX")
    sides = {side.type.name for side in frame.side_data}
    return VideoFacts(
        index=stream.index,
        codec=codec_name(stream),
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        bit_depth=max(c.bits for c in frame.format.components),
        rate=stream.average_rate or stream.guessed_rate,
        time_base=stream.time_base,
        frames=stream.frames,
        start_s=float((frame.pts or 0) * stream.time_base),
        duration_s=_duration_s(stream),
        sample_aspect=stream.sample_aspect_ratio or Fraction(1),
        colour=(
            int(frame.color_range) or int(context.color_range),
            _said(frame.color_primaries, context.color_primaries),
            _said(frame.color_trc, context.color_trc),
            _said(frame.colorspace, context.colorspace),
        ),
        display_matrix=None if matrix is None else tuple(np.frombuffer(matrix, "=i4").tolist()),
        interlaced=bool(frame.interlaced_frame),
        hdr_metadata=bool(sides & {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}),
    )


def _said(on_frame: int, on_stream: int) -> int:
    """A code point of ITU-T H.273: what the frame says, or, if that is 2 (unspecified), the stream."""
    return int(on_frame) if int(on_frame) != 2 else int(on_stream)


def _audio_facts(stream: Any, frame: Any) -> AudioFacts:
    return AudioFacts(
        index=stream.index,
        codec=codec_name(stream),
        rate_hz=frame.sample_rate,
        channels=frame.layout.nb_channels,
        layout=frame.layout.name,
        sample_format=frame.format.name,
        bit_rate=stream.codec_context.bit_rate,
        time_base=stream.time_base,
        start_s=float((frame.pts or 0) * (frame.time_base or stream.time_base)),
        duration_s=_duration_s(stream),
    )


def _duration_s(stream: Any) -> float | None:
    return None if stream.duration is None else float(stream.duration * stream.time_base)


def _chapters(container: Any) -> Iterator[tuple[float, float, str]]:
    for chapter in container.chapters():
        base = float(chapter["time_base"] or 1)
        yield chapter["start"] * base, chapter["end"] * base, chapter["metadata"].get("title", "")
