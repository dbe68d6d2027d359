"""What the container says of the picture: `decide` tells clean from streamed material by how it was coded.

- Lossless and mezzanine codecs hold what a camera or an editor gave: clean.
- Codecs of streams, at fewer bits per pixel than `STREAMED_BELOW`, have lost detail that a network can give
  back: streamed. Bits are counted in the first predicted pictures, since headers are often silent or wrong.
- Anything else is left to the picture itself (`lumavox.content`).

The thresholds are about CRF 20 on the scale of x264, for moving photographs (those of MPEG-2, MPEG-4 and VP8
by analogy); slides and drawings need fewer bits, and are then taken as streamed, which costs them little. On
pans over 11 photographs (640x360, 24 frames), the codec and then the picture find all lossless ones clean,
and streamed: H.264 at CRF 22 to 34 all (by the picture alone 6, 8, 8, 10), HEVC at CRF 22 10 and at 28 all
(3, 4), AV1 at CRF 28 and 40 all (4, 5), VP9 at CRF 36 all (4).
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
    "mpeg2video": 0.3, "mpeg4": 0.2, "vp8": 0.15, "h264": 0.12, "vp9": 0.1, "hevc": 0.1, "av1": 0.06,
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
    if found is None:
        return Decision("auto", f"{codec} without predicted pictures tells nothing")
    if found < most:
        return Decision("streamed", f"{codec} at {found:.3f} bits per pixel, below {most:g}")
    return Decision("auto", f"{codec} at {found:.3f} bits per pixel tells nothing")


def bits_per_pixel(path: Path, facts: VideoFacts) -> float | None:
    """The mean over the first predicted pictures; None if there are none. Raises `UnreadableMediaError`.

    Key pictures are left out: how many there are is the encoder's habit, not its quality.
    """
    av = import_av()
    sizes: list[int] = []
    with open_input(path) as container:
        try:
            packets = itertools.islice(container.demux(container.streams[facts.index]), _PACKETS)
            sizes = [p.size for p in packets if p.size and not p.is_keyframe]
        except (av.FFmpegError, OSError):  # damaged: who decodes it will say so
            return None
    return 8 * sum(sizes) / (len(sizes) * facts.width * facts.height) if sizes else None
