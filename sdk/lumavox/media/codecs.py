"""Which codec writes what into which container: `picture_codec`, `sound_codec`.

Pictures: constant quality, and a preset that keeps encoding well below the cost of enhancement. No
B-frames: so each decoding time equals its presentation time, and every timestamp, of whatever frame rate,
stays exactly what it was in every container and player.
Sound: lossless stays lossless; Opus stays Opus where that is usual; all else becomes AAC.
"""

from __future__ import annotations

import dataclasses

from lumavox.media.facts import AudioFacts

CONTAINERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}  # ending: libavformat's name


@dataclasses.dataclass(frozen=True)
class Codec:
    """An encoder of libavcodec by its name, with its private options and, if needed, its tag."""

    name: str
    options: dict[str, str]
    tag: str | None = None
    sample_format: str | None = None
    bit_rate: int | None = None


HEVC_MIN_SIDE = 64  # pixels, the largest coding tree unit of x265


def picture_codec(ending: str, bit_depth: int, quality: int | None, size: tuple[int, int]) -> Codec:
    """The video encoder for a container (``"mp4"``, ``"webm"``, ...); ``quality`` is its CRF.

    ``size`` is width and height: x265 overwrites memory for pictures smaller than its coding tree unit.
    """
    if ending == "webm" and bit_depth > 8:
        return Codec("libsvtav1", {"crf": str(quality or 26), "preset": "10"})
    if ending == "webm":
        speed = {"deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
        return Codec("libvpx-vp9", {"crf": str(quality or 24), "b": "0", **speed})
    if bit_depth > 8 and min(size) >= HEVC_MIN_SIDE:  # HEVC: few devices decode 10-bit H.264
        params = "log-level=error:bframes=0"
        tag = "hvc1" if ending in ("mp4", "mov") else None  # what players of Apple ask for
        options = {"crf": str(quality or 19), "preset": "superfast", "x265-params": params}
        return Codec("libx265", options, tag)
    return Codec("libx264", {"crf": str(quality or 18), "preset": "veryfast", "bf": "0"})


def sound_codec(ending: str, source: AudioFacts) -> Codec:
    """The audio encoder for a container, given the source's sound."""
    bit_rate = max(source.bit_rate or 0, 96_000 * source.channels)
    lossless = source.codec in ("flac", "alac") or source.codec.startswith("pcm_")
    if ending == "webm" or (ending == "mkv" and source.codec in ("opus", "vorbis")):
        return Codec("libopus", {}, bit_rate=min(bit_rate, 256_000 * source.channels))
    if lossless and ending in ("mkv", "mov"):
        if source.codec.startswith("pcm_"):
            return Codec(_pcm(source.codec), {})
        name = "alac" if ending == "mov" else source.codec
        return Codec(name, {}, sample_format=_width(source.sample_format, planar=name == "alac"))
    if lossless and ending == "mp4":
        name = "alac" if source.codec == "alac" else "flac"
        return Codec(name, {}, sample_format=_width(source.sample_format, planar=name == "alac"))
    return Codec("aac", {}, bit_rate=min(bit_rate, 256_000 * source.channels))


def _pcm(codec: str) -> str:
    """The little-endian form of a PCM codec that all containers with PCM carry."""
    if "24" in codec:
        return "pcm_s24le"
    if "f32" in codec or "f64" in codec:
        return "pcm_f32le"
    return "pcm_s32le" if "32" in codec else "pcm_s16le"


def _width(sample_format: str, *, planar: bool) -> str:
    width = "s16" if sample_format.startswith("s16") else "s32"
    return width + "p" if planar else width
