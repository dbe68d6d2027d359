"""The output container: `Writer`.

Sets up one output stream for each input stream, in the same order: the main picture and sound are encoded,
all others are copied packet by packet. What the container cannot carry is left out and warned about.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from lumavox.errors import OutputError, UnsupportedMediaError
from lumavox.media.codecs import CONTAINERS, Codec, picture_codec, sound_codec
from lumavox.media.facts import AudioFacts, VideoFacts, codec_name
from lumavox.media.kinds import import_av
from lumavox.media.priority import keep_priority

# Written anew by every muxer; a copy would be wrong.
_STALE_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
_STALE_KEYS |= {"number_of_frames", "number_of_bytes", "bps"}


class Writer:
    """Encodes and multiplexes into ``temporary``; ``shown`` is the name for messages.

    Build it, ``add_picture`` / ``add_sound`` / ``add_copy`` in the order of the input's streams, then
    ``write`` frames and packets in any order, then ``close``. Raises `OutputError` when it cannot write,
    `UnsupportedMediaError` when no encoder takes what it is given.
    """

    def __init__(self, temporary: Path, ending: str, shown: Path, warn: Callable[[str], None]) -> None:
        self._av = import_av()
        self._shown = shown
        self._ending = ending
        self._warn = warn
        options = {"movflags": "+faststart"} if ending in ("mp4", "mov") else {}
        self._container = self._av.open(str(temporary), "w", format=CONTAINERS[ending], options=options)
        self._picture: Any = None
        self._begun = False  # to encode pictures
        self._sound: Any = None
        self._copies: dict[int, Any] = {}  # output streams by index of the input stream

    def describe(self, source: Any) -> None:
        """Take over tags and chapters of the input container."""
        self._container.metadata.update(_fresh(source.metadata))
        with contextlib.suppress(ValueError, NotImplementedError):
            self._container.set_chapters(source.chapters())

    def add_picture(self, source: Any, facts: VideoFacts, size: tuple[int, int], pixel_format: str,
                    quality: int | None) -> Codec:  # fmt: skip
        """An encoded picture of ``size``, with the timing, shape, rotation and colours of ``facts``."""
        codec = picture_codec(self._ending, facts.bit_depth, quality, size)
        if codec.name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # its only way to be silent
        rate = facts.rate if facts.rate and facts.rate > 0 else Fraction(25)
        stream = self._add(codec, rate=rate.limit_denominator(1_000_000))
        context = stream.codec_context
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        context.time_base = facts.time_base
        context.sample_aspect_ratio = facts.sample_aspect
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = facts.colour
        context.flags |= int(self._av.codec.context.Flags.frame_duration)
        stream.set_display_matrix(facts.display_matrix)
        self._like(stream, source)
        self._picture = stream
        return codec

    def add_sound(self, source: Any, facts: AudioFacts) -> Codec:
        """An encoded sound with the rate and channels of ``facts``."""
        codec = sound_codec(self._ending, facts)
        rate_hz = 48000 if codec.name == "libopus" else facts.rate_hz
        if rate_hz != facts.rate_hz:
            self._warn(f"the sound is written at {rate_hz} Hz, was {facts.rate_hz} Hz: Opus has no other")
        stream = self._add(codec, rate=rate_hz)
        stream.layout = facts.layout
        stream.codec_context.time_base = Fraction(1, rate_hz)
        if codec.sample_format is not None:
            stream.format = codec.sample_format
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        self._like(stream, source)
        self._sound = stream
        return codec

    def add_copy(self, source: Any) -> bool:
        """A stream whose packets are copied; False, with a warning, when the container cannot hold it."""
        try:
            stream = self._container.add_stream_from_template(source, opaque=True)
        except (ValueError, self._av.FFmpegError):
            self._warn(f"{source.type} stream {source.index} ({codec_name(source)}) was left out: "
                       f".{self._ending} files cannot hold it; .mkv files can hold most")  # fmt: skip
            return False
        if codec_name(source) == "hevc" and self._ending in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"
        self._like(stream, source)
        self._copies[source.index] = stream
        return True

    def write(self, item: Any) -> None:
        """A picture (``av.VideoFrame``), sound (``av.AudioFrame``), or a packet of a copied stream."""
        with self._errors():
            if isinstance(item, self._av.VideoFrame):
                with contextlib.nullcontext() if self._begun else keep_priority():
                    self._container.mux(self._picture.encode(item))  # the first one opens the encoder
                self._begun = True
            elif isinstance(item, self._av.AudioFrame):
                self._container.mux(self._sound.encode(item))
            else:
                item.stream = self._copies[item.stream.index]
                self._container.mux(item)

    def finish(self) -> None:
        """Write what the encoders still hold, and the file's index."""
        with self._errors():
            for stream in (self._picture, self._sound):
                if stream is not None:
                    self._container.mux(stream.encode(None))
            self._container.close()

    def abandon(self) -> None:
        """Close the file as it is, after a failure."""
        with contextlib.suppress(Exception):
            self._container.close()

    def _add(self, codec: Codec, rate: Any) -> Any:
        try:
            stream = self._container.add_stream(codec.name, rate=rate, options=codec.options)
        except (ValueError, self._av.FFmpegError) as error:
            raise UnsupportedMediaError(
                f"cannot write {self._shown}: this build of PyAV has no encoder {codec.name} ({error}); "
                "choose another file ending, or install PyAV from its wheels"
            ) from error
        if codec.tag is not None:
            stream.codec_context.codec_tag = codec.tag
        return stream

    def _like(self, stream: Any, source: Any) -> None:
        stream.metadata.update(_fresh(source.metadata))
        stream.disposition = source.disposition

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except OSError as error:  # PyAV's errors of the system are OSErrors too
            if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):
                raise OutputError(
                    f"cannot write {self._shown}: {os.strerror(error.errno)}; nothing was left behind; "
                    "free some space or choose another place"
                ) from error
            raise OutputError(f"cannot write {self._shown}: {error}") from error
        except (self._av.FFmpegError, ValueError) as error:
            raise UnsupportedMediaError(
                f"cannot write {self._shown}: an encoder or the container refused ({error}); "
                "try another file ending, such as .mkv"
            ) from error


def _fresh(metadata: dict[str, str]) -> dict[str, str]:
    return {
        k: v
        for k, v in metadata.items()
        if k.lower() not in _STALE_KEYS and not k.lower().startswith("_statistics")
    }
