"""What kind of file this is, told by its first bytes: `kind_of`.

Not by its name: a PNG called ``clip.mp4`` is a picture. Whether the rest can be decoded is found out by
the module that reads that kind.
"""

from __future__ import annotations

import enum
from pathlib import Path
from types import ModuleType

from lumavox.errors import (
    MissingExtraError,
    OptionError,
    UnreadableMediaError,
    UnsupportedMediaError,
)


class Kind(enum.Enum):
    """The three kinds of file, each with the endings that it can be written as."""

    VIDEO = ("mp4", "mkv", "webm", "mov")
    PICTURE = ("png", "jpg", "jpeg", "webp")
    SOUND = ("wav", "flac", "ogg", "mp3", "opus")


def kind_of(path: Path) -> Kind:
    """The kind of ``path``. Raises `UnreadableMediaError` when it is missing, empty or not a file."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UnreadableMediaError(f"cannot read {path}: {error.strerror}") from error
    if not head:
        raise UnreadableMediaError(f"cannot read {path}: the file is empty (0 bytes)")
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or _riff(head, b"WEBP"):
        return Kind.PICTURE
    if head.startswith((b"fLaC", b"ID3")) or _riff(head, b"WAVE") or _mpeg_audio(head):
        return Kind.SOUND
    if head.startswith(b"OggS"):  # the codec's name stands at the begin of its first packet
        return Kind.VIDEO if b"theora" in head else Kind.SOUND
    return Kind.VIDEO


def output_format(source: Path, kind: Kind, path: Path) -> str:
    """The ending of ``path``, lower case. Raises `UnsupportedMediaError` when ``kind`` has no such."""
    ending = path.suffix.lower().lstrip(".")
    if ending in kind.value:
        return ending
    what = f"{source} is a {kind.name.lower()} file, which"
    possible = ", ".join("." + e for e in kind.value)
    if any(ending in other.value for other in Kind):
        raise UnsupportedMediaError(f"{what} cannot be written as {path.name}; possible: {possible}")
    known = [e for k in Kind for e in k.value]
    nearest = OptionError.unknown("file ending", ending, known, str(path))
    raise UnsupportedMediaError(f"{nearest}; {what} can be written as {possible}")


def import_av() -> ModuleType:
    """PyAV, silenced. Raises `MissingExtraError` when it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "media", "reading and writing video files") from error
    return av


def import_soundfile() -> ModuleType:
    """soundfile. Raises `MissingExtraError` when it is not installed."""
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("soundfile", "media", "reading and writing sound files") from error
    return soundfile


def _riff(head: bytes, form: bytes) -> bool:
    return head[:4] in (b"RIFF", b"RF64") and head[8:12] == form


def _mpeg_audio(head: bytes) -> bool:
    """Whether it begins with the header of an MPEG audio frame, layer III (not AAC in ADTS: layer 0)."""
    return len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 != 0xF0
