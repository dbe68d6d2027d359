"""Small media files for tests, and what is in them. Not a test itself.

    make_clip(path, Clip(pts=(0, 1, 3), time_base=Fraction(1, 25), audio="aac"))
    picture(path)      # [(time in s, mean luma)] of each frame
    sound(path)        # samples (n, channels), begin in s, rate

A flash (one white frame) and a beep (50 ms of 1 kHz) begin together at each of ``FLASHES_S``.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE_HZ = 48000
FLASHES_S = (0.4, 0.8)
CONTAINERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}


@dataclasses.dataclass(frozen=True)
class Clip:
    """What `make_clip` makes. ``pts`` counts ``time_base``; colour is range, primaries, transfer, matrix."""

    video: str | None = "libx264"
    audio: str | None = "aac"
    size: tuple[int, int] = (48, 32)
    pts: tuple[int, ...] = tuple(range(28))
    time_base: Fraction = Fraction(1, 25)
    pixel_format: str = "yuv420p"
    colour: tuple[int, int, int, int] = (1, 1, 1, 1)
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    chapters: tuple[tuple[int, int, str], ...] = ()  # ms, ms, title
    more_audio: int = 0
    subtitle: str | None = None
    seconds: float = 1.12
    rate_hz: int = RATE_HZ
    layout: str = "stereo"


def make_clip(path: Path, clip: Clip = Clip()) -> Path:
    """Write ``clip`` to ``path``, whose ending says which container."""
    with av.open(str(path), "w", format=CONTAINERS[path.suffix[1:]]) as output:
        output.metadata.update(clip.tags)
        output.set_chapters(
            [
                {"id": n, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for n, (a, b, title) in enumerate(clip.chapters, 1)
            ]
        )
        video = _video(output, clip) if clip.video else None
        sounds = [_audio(output, clip, n) for n in range(1 + clip.more_audio)] if clip.audio else []
        subtitle = output.add_stream(clip.subtitle) if clip.subtitle else None
        if subtitle is not None:
            subtitle.metadata["language"] = "eng"
            subtitle.codec_context.subtitle_header = _ASS_HEADER
        packets: list[Any] = []
        if video is not None:
            packets += [p for f in pictures(clip) for p in video.encode(f)] + video.encode(None)
        for stream in sounds:
            packets += [p for f in _blocks(clip, beeps(clip)) for p in stream.encode(f)] + stream.encode(None)
        for packet in packets:
            output.mux(packet)
    return path


def pictures(clip: Clip) -> list[av.VideoFrame]:
    """The frames of ``clip``: a ramp that moves, all white at a flash."""
    frames = []
    width, height = clip.size
    flashes = {min(clip.pts, key=lambda p: (p * clip.time_base < t - 1e-6, p)) for t in FLASHES_S}
    for number, pts in enumerate(clip.pts):
        deep = "10" in clip.pixel_format
        frame = av.VideoFrame(width, height, clip.pixel_format)
        ramp = (np.add.outer(np.arange(height), np.arange(width)) + 4 * number) % 64 + 32
        luma = np.full_like(ramp, 235) if pts in flashes else ramp
        for plane, values in zip(frame.planes, (luma, 128, 128)):
            samples = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(plane.height, -1)
            wanted = np.broadcast_to(values, (plane.height, plane.width))
            samples[:, : plane.width] = wanted * (4 if deep else 1)
        frame.pts, frame.time_base = pts, clip.time_base
        after = clip.pts[number + 1] if number + 1 < len(clip.pts) else pts + 1
        frame.duration = after - pts
        frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace = clip.colour
        frames.append(frame)
    return frames


def beeps(clip: Clip) -> np.ndarray:
    """The sound of ``clip``: ``(n, channels)`` float32, faint noise and the beeps."""
    count = round(clip.seconds * clip.rate_hz)
    mono = np.random.default_rng(0).standard_normal(count).astype(np.float32) * 1e-3
    for start_s in FLASHES_S:
        begin = round(start_s * clip.rate_hz)
        length = min(round(0.05 * clip.rate_hz), max(0, count - begin))
        mono[begin : begin + length] += 0.4 * np.sin(2 * np.pi * 1000 * np.arange(length) / clip.rate_hz)
    return np.repeat(mono[:, None], av.AudioLayout(clip.layout).nb_channels, axis=1)


def frames_of(path: Path) -> list[Any]:
    """All decoded pictures."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def picture(path: Path) -> list[tuple[float, float]]:
    """Time in seconds and mean luma of each frame."""
    return [(f.time, float(f.to_ndarray(format="gray").mean())) for f in frames_of(path)]


def sound(path: Path, track: int = 0) -> tuple[np.ndarray, float, int]:
    """Samples ``(n, channels)`` as float32, the time of the first in seconds, and the rate."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=track))
    resampler = av.AudioResampler("flt", frames[0].layout.name, frames[0].sample_rate)
    blocks = [r.to_ndarray() for f in frames for r in resampler.resample(f)]
    channels = frames[0].layout.nb_channels
    return np.concatenate(blocks, axis=1).reshape(-1, channels), frames[0].time, frames[0].sample_rate


def flash_times(path: Path) -> list[float]:
    """When the white frames are shown, s."""
    return [time for time, luma in picture(path) if luma > 180]


def beep_times(path: Path) -> list[float]:
    """When the beeps begin, s: where each first passes half its own peak."""
    samples, begin_s, rate_hz = sound(path)
    level = np.abs(samples[:, 0])
    times = []
    for expected_s in FLASHES_S:
        low = max(0, round((expected_s - begin_s - 0.1) * rate_hz))
        near = level[low : low + round(0.2 * rate_hz)]
        times.append(begin_s + (low + int(np.argmax(near > near.max() / 2))) / rate_hz)
    return times


def _video(output: Any, clip: Clip) -> Any:
    stream = output.add_stream(clip.video, rate=25)
    stream.width, stream.height = clip.size
    stream.pix_fmt = clip.pixel_format
    context = stream.codec_context
    context.time_base = clip.time_base
    context.sample_aspect_ratio = clip.aspect
    context.color_range, context.color_primaries, context.color_trc, context.colorspace = clip.colour
    context.flags |= int(av.codec.context.Flags.frame_duration)
    context.options = {
        "libx264": {"preset": "ultrafast", "bf": "0"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=error:bframes=0"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    }.get(str(clip.video), {})
    if clip.rotation:
        stream.set_display_rotation(clip.rotation)
    return stream


def _audio(output: Any, clip: Clip, number: int) -> Any:
    stream = output.add_stream(clip.audio, rate=clip.rate_hz)
    stream.layout = clip.layout
    stream.codec_context.time_base = Fraction(1, clip.rate_hz)
    stream.metadata["language"] = ("eng", "deu", "fra")[number]
    return stream


def _blocks(clip: Clip, samples: np.ndarray) -> list[Any]:
    blocks = []
    for at in range(0, len(samples), 4800):
        part = np.ascontiguousarray(samples[at : at + 4800], np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, "flt", clip.layout)
        frame.sample_rate, frame.pts, frame.time_base = clip.rate_hz, at, Fraction(1, clip.rate_hz)
        blocks.append(frame)
    return blocks


_ASS_HEADER = b"[Script Info]\r\nScriptType: v4.00+\r\n"
