"""Plain sound files (wav, flac, ogg, mp3, opus): `enhance_sound`.

Read and written block by block through soundfile. Rate, channels and tags are kept; so is the sample
format, if the kind of file stays the same. Sound within mp4, mkv, webm or mov is the work of `video_file`.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from lumavox.errors import (
    AudioError,
    OptionError,
    OutputError,
    UnreadableMediaError,
    UnsupportedMediaError,
)
from lumavox.media.kinds import import_soundfile
from lumavox.media.progress import Progress
from lumavox.media.report import Done, SoundReport, bypassed
from lumavox.media.sound_track import SoundTrack
from lumavox.media.task import Task

# Ending: libsndfile's format, and the subtype when the source's own cannot be kept.
_FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
_BLOCK_S = 0.25
_OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)


def enhance_sound(task: Task) -> Done:
    """Enhance a sound file.

    Raises `UnreadableMediaError`, `UnsupportedMediaError` (9 channels, say), `OptionError` when sound is
    not to be enhanced, and `OutputError`.
    """
    if not task.options.sound:
        raise OptionError(f"{task.source} is a sound file, and enhancing sound is off: nothing to do")
    sf = import_soundfile()
    with _opened(sf, task.source) as reader:
        try:
            track = task.engines.sound_track(reader.samplerate, reader.channels)
        except AudioError as error:
            raise UnsupportedMediaError(f"cannot enhance the sound of {task.source}: {error}") from error
        if task.preview is not None:
            task.preview.plan(reader.frames / reader.samplerate)
        format, subtype = _format(sf, reader, task)
        with _created(sf, reader, track.out_channels, format, subtype, task) as writer:
            _copy_tags(reader, writer, task)
            _run(sf, reader, writer, track, task)
    _check(sf, track, task)
    if sentence := bypassed(track.enhancer, "blocks of sound"):
        task.warn(sentence)
    gain_db = task.options.dialog_gain_db
    return Done(sound=SoundReport.of(track, dialog_gain_db=gain_db, codec=f"{format} {subtype}"))


def _run(sf: Any, reader: Any, writer: Any, track: SoundTrack, task: Task) -> None:
    began = time.monotonic()
    more = True
    while more:
        try:
            block = reader.read(round(_BLOCK_S * reader.samplerate), dtype="float32", always_2d=True)
        except sf.SoundFileError as error:
            task.warn(f"the file is damaged or cut off: reading ended early ({error})")
            block = ()
        more = len(block) > 0
        enhanced = track.feed(block) if more else track.finish()
        if task.preview is not None:
            task.preview.hear(reader.samplerate, block if more else None, enhanced)
        if len(enhanced):
            _write(sf, writer, enhanced, task)
        if task.progress is not None:
            total_s = reader.frames / reader.samplerate
            task.progress(Progress(track.seconds, total_s, time.monotonic() - began, "s"))
    if track.samples < reader.frames:
        task.warn(f"the file is damaged or cut off: {track.samples} of {reader.frames} samples decoded")


def _opened(sf: Any, source: Path) -> Any:
    try:
        reader = sf.SoundFile(str(source))
    except (sf.SoundFileError, ValueError, TypeError) as error:
        raise UnreadableMediaError(
            f"cannot read {source}: it is not a sound file, or it is damaged or cut off ({error})"
        ) from error
    if not reader.frames:
        reader.close()
        raise UnreadableMediaError(f"cannot read {source}: there are no samples in it")
    return reader


def _created(sf: Any, reader: Any, channels: int, format: str, subtype: str, task: Task) -> Any:
    try:
        return sf.SoundFile(str(task.temporary), "w", reader.samplerate, channels, subtype, format=format)
    except (sf.SoundFileError, ValueError) as error:
        raise UnsupportedMediaError(
            f"cannot write {task.output}: .{task.ending} files cannot hold {channels} channels at "
            f"{reader.samplerate} Hz ({error}); .wav and .flac files can"
        ) from error


def _format(sf: Any, reader: Any, task: Task) -> tuple[str, str]:
    format, subtype = _FORMATS[task.ending]
    kept = reader.subtype if sf.check_format(format, reader.subtype) else subtype
    if format == "OGG":
        kept = reader.subtype if reader.format == "OGG" and reader.subtype in ("VORBIS", "OPUS") else subtype
    if kept == "OPUS" and reader.samplerate not in _OPUS_RATES_HZ:
        raise UnsupportedMediaError(
            f"{task.source} has {reader.samplerate} Hz, which Opus cannot hold; write .wav, .flac or .ogg"
        )
    return format, kept


def _copy_tags(reader: Any, writer: Any, task: Task) -> None:
    for name, value in reader.copy_metadata().items():
        if not value:
            continue
        try:
            setattr(writer, name, value)
        except (RuntimeError, ValueError):
            task.warn(f"the tag {name!r} cannot be kept in .{task.ending} files")


def _write(sf: Any, writer: Any, samples: Any, task: Task) -> None:
    try:
        writer.write(samples)
    except (sf.SoundFileError, AssertionError, OSError) as error:  # soundfile asserts on short writes
        raise OutputError(
            f"cannot write {task.output}: {str(error) or 'the disk is full'}; nothing was left behind; "
            "free some space or choose another place"
        ) from error


def _check(sf: Any, track: SoundTrack, task: Task) -> None:
    """libsndfile's compressing writers are silent about a full disk, so count what arrived."""
    with contextlib.suppress(sf.SoundFileError), sf.SoundFile(str(task.temporary)) as written:
        if written.frames >= track.samples:
            return
    raise OutputError(
        f"cannot write {task.output}: it came out incomplete; nothing was left behind; is the disk full?"
    )
