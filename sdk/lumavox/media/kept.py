"""What of one media file is missing from another: `compare`.

So that whatever a container could not carry is said, not lost in silence. What is meant to change (size,
codecs of the enhanced streams) is not compared, nor is what decoding alone would show.
"""

from __future__ import annotations

from lumavox.media.facts import MediaFacts, VideoFacts


def compare(before: MediaFacts, after: MediaFacts) -> list[str]:
    """What of ``before`` is missing from ``after``, one sentence each. Size and codecs may differ."""
    lost = []
    for kind in ("video", "audio", "subtitle", "attachment"):
        had, has = ([s for s in facts.streams if s[0] == kind] for facts in (before, after))
        if len(has) < len(had):
            lost.append(f"{len(had) - len(has)} of {len(had)} {kind} streams not kept")
            continue
        for number, (old, new) in enumerate(zip(had, has)):
            default = 1 if len(had) == 1 else 0  # of a lone stream it says nothing
            if old[2] | default != new[2] | default:
                lost.append(f"the disposition of {kind} stream {number} is {new[2]}, was {old[2]}")
            gone = [k for k, v in old[3].items() if new[3].get(k) != v and (k, v) != ("language", "und")]
            if gone:
                lost.append(f"tags of {kind} stream {number} not kept: {', '.join(gone)}")
    gone = [k for k, v in before.metadata.items() if after.metadata.get(k) != v]
    if gone:
        lost.append(f"tags not kept: {', '.join(gone)}")
    missing = len(before.chapters) - len(after.chapters)
    if missing > 0:
        lost.append(f"{missing} of {len(before.chapters)} chapters not kept")
    if before.video is not None and after.video is not None:
        lost += _compare_video(before.video, after.video)
    return lost


def _compare_video(old: VideoFacts, new: VideoFacts) -> list[str]:
    lost = []
    if abs(old.sample_aspect - new.sample_aspect) > 0.01:
        lost.append(f"the sample aspect ratio is {new.sample_aspect}, was {old.sample_aspect}")
    if old.display_matrix != new.display_matrix:
        lost.append("rotation not kept: the container cannot carry the display matrix")
    for name, a, b in zip(("range", "primaries", "transfer", "matrix"), old.colour, new.colour):
        unsaid = (0,) if name == "range" else (0, 2)
        if a != b and a not in unsaid:
            lost.append(f"the colour {name} is {b}, was {a} (numbers of ITU-T H.273)")
    if old.bit_depth > new.bit_depth:
        lost.append(f"the bit depth is {new.bit_depth}, was {old.bit_depth}")
    if old.hdr_metadata and not new.hdr_metadata:
        lost.append("HDR mastering metadata not kept")
    return lost
