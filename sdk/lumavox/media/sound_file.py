"""Plain sound files (wav, flac, ogg, mp3, opus): `enhance_sound`.

Read and written block by block through soundfile. Rate, channels and tags are kept; so is the sample
format, if the kind of file stays the same. Sound within mp4, mkv, webm or mov is the work of `video_file`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lumavox.errors import AudioError, OutputError, UnreadableMediaError, UnsupportedMediaError
from lumavox.media.engines import Engines
from lumavox.media.kinds import import_soundfile
from lumavox.media.preview import Preview
from lumavox.media.progress import Progress
from lumavox.media.sound_track import SoundTrack

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


def enhance_sound(
    source: Path,
    temporary: Path,
    ending: str,
    shown: Path,
    engines: Engines,
    warn: Callable[[str], None],
    preview: Preview | None,
    progress: Callable[[Progress], None] | None,
) -> tuple[SoundTrack, str]:
    """Enhance ``source`` into ``temporary``; returns the track and the name of the format written.

    Raises `UnreadableMediaError`, `UnsupportedMediaError` (9 channels, say) and `OutputError`.
    """
    sf = import_soundfile()
    with _opened(sf, source) as reader:
        try:
            enhancer = engines.enhancer(reader.samplerate, reader.channels)
        except AudioError as error:
            raise UnsupportedMediaError(f"cannot enhance the sound of {source}: {error}") from error
        track = SoundTrack(enhancer, reader.samplerate, reader.channels)
        if preview is not None:
            preview.plan(reader.frames / reader.samplerate)
        format, subtype = _format(sf, reader, ending, source)
        try:
            writer = sf.SoundFile(
                str(temporary), "w", reader.samplerate, reader.channels, subtype, format=format
            )
        except (sf.SoundFileError, ValueError) as error:
            raise UnsupportedMediaError(
                f"cannot write {shown}: .{ending} files cannot hold {reader.channels} channels at "
                f"{reader.samplerate} Hz ({error}); .wav and .flac files can"
            ) from error
        with writer:
            _copy_tags(reader, writer, warn)
            _run(sf, reader, writer, track, shown, warn, preview, progress)
    _check(sf, temporary, track, shown)
    return track, f"{format} {subtype}"


def _run(
    sf: Any,
    reader: Any,
    writer: Any,
    track: SoundTrack,
    shown: Path,
    warn: Callable[[str], None],
    preview: Preview | None,
    progress: Callable[[Progress], None] | None,
) -> None:
    began = time.monotonic()
    total_s = reader.frames / reader.samplerate
    while True:
        try:
            block = reader.read(round(_BLOCK_S * reader.samplerate), dtype="float32", always_2d=True)
        except sf.SoundFileError as error:
            warn(f"the file is damaged or cut off: reading ended early ({error})")
            block = []
        enhanced = track.feed(block) if len(block) else track.finish()
        if preview is not None:
            preview.hear(reader.samplerate, block if len(block) else None, enhanced)
        if len(enhanced):
            _write(sf, writer, enhanced, shown)
        if progress is not None:
            progress(Progress(track.seconds, total_s, time.monotonic() - began, "s"))
        if not len(block):
            break
    if track.samples < reader.frames:
        warn(f"the file is damaged or cut off: {track.samples} of {reader.frames} samples decoded")


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


def _format(sf: Any, reader: Any, ending: str, source: Path) -> tuple[str, str]:
    format, subtype = _FORMATS[ending]
    kept = reader.subtype if sf.check_format(format, reader.subtype) else subtype
    if format == "OGG":
        kept = reader.subtype if reader.format == "OGG" and reader.subtype in ("VORBIS", "OPUS") else subtype
    if kept == "OPUS" and reader.samplerate not in _OPUS_RATES_HZ:
        raise UnsupportedMediaError(
            f"{source} has {reader.samplerate} Hz, which Opus cannot hold; write a .wav, .flac or .ogg file"
        )
    return format, kept


def _copy_tags(reader: Any, writer: Any, warn: Callable[[str], None]) -> None:
    for name, value in reader.copy_metadata().items():
        if not value:
            continue
        try:
            setattr(writer, name, value)
        except (RuntimeError, ValueError):
            warn(f"the tag {name!r} cannot be kept in this kind of file")


def _write(sf: Any, writer: Any, samples: Any, shown: Path) -> None:
    try:
        writer.write(samples)
    except (sf.SoundFileError, AssertionError, OSError) as error:  # soundfile asserts on short writes
        raise OutputError(
            f"cannot write {shown}: {str(error) or 'the disk is full'}; nothing was left behind; "
            "free some space or choose another place"
        ) from error


def _check(sf: Any, temporary: Path, track: SoundTrack, shown: Path) -> None:
    """libsndfile's compressing writers are silent about a full disk, so count what arrived."""
    with contextlib.suppress(sf.SoundFileError), sf.SoundFile(str(temporary)) as written:
        if written.frames >= track.samples:
            return
    raise OutputError(
        f"cannot write {shown}: the file came out incomplete (is the disk full?); nothing was left behind"
    )
