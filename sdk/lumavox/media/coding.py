"""What the container says of the picture: `decide` tells clean from streamed material by how it was coded.

- Lossless and mezzanine codecs hold what a camera or an editor gave: clean.
- Codecs of streams, at fewer bits per pixel than `STREAMED_BELOW`, have lost detail that a network can give
  back: streamed. Bits are counted over the first packets, since headers are often silent or wrong.
- Anything else is left to the picture itself (`lumavox.content`).

The thresholds are where visible loss begins on moving pictures of 360 to 1080 rows, about CRF 20 on the
scale of x264; slides and drawings need fewer bits, and are then taken as streamed, which costs them little.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from lumavox.content import Decision
from lumavox.media.facts import VideoFacts, open_input
from lumavox.media.kinds import import_av

CLEAN_CODECS = frozenset(
    "ffv1 rawvideo v210 v410 huffyuv ffvhuff utvideo magicyuv qtrle png tiff bmp prores dnxhd cfhd".split()
)
STREAMED_BELOW = {
    "mpeg2video": 0.4, "mpeg4": 0.25, "vp8": 0.2, "h264": 0.15, "vp9": 0.1, "hevc": 0.1, "av1": 0.08,
}  # fmt: skip
_PACKETS = 250  # ten seconds of film, at least one whole group of pictures of most encoders


def decide(path: Path, facts: VideoFacts) -> Decision:
    """The kind of material that the video stream of ``path`` is, and why; "auto" if it does not tell.

    Raises `UnreadableMediaError`.
    """
    codec = facts.codec
    if codec in CLEAN_CODECS:
        return Decision("clean", f"{codec} is a lossless or mezzanine codec")
    most = STREAMED_BELOW.get(codec)
    if most is None:
        return Decision("auto", f"{codec} tells nothing")
    found = bits_per_pixel(path, facts)
    if found is not None and found < most:
        return Decision("streamed", f"{codec} at {found:.3f} bits per pixel, below {most:g}")
    return Decision("auto", f"{codec} at too many bits per pixel to tell")


def bits_per_pixel(path: Path, facts: VideoFacts) -> float | None:
    """The mean over the first pictures; None if there are none. Raises `UnreadableMediaError`."""
    av = import_av()
    sizes = []
    with open_input(path) as container:
        try:
            packets = (p for p in container.demux(container.streams[facts.index]) if p.size)
            sizes = [p.size for p in itertools.islice(packets, _PACKETS)]
        except (av.FFmpegError, OSError):  # damaged: who decodes it will say so
            return None
    return 8 * sum(sizes) / (len(sizes) * facts.width * facts.height) if sizes else None
