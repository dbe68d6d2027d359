"""Files in, enhanced files out: `enhance`. Needs ``pip install "lumavox[media]"``.

    from lumavox.media import EnhanceOptions, enhance

    report = enhance("in.mp4", "out.mp4", EnhanceOptions(scale=2, dialog="high"))

| module | is |
|---|---|
| `enhancement` | `enhance`: the one function that callers need |
| `options`, `report`, `progress` | what goes into it, what comes out, how far it is |
| `video_file`, `sound_file`, `picture_file` | one module per kind of file |
| `kinds`, `facts`, `kept` | what an input is and holds, and what of it is not in the output |
| `coding` | clean or streamed, from the codec and its bit rate |
| `picture_track`, `sound_track`, `sound_reader` | decoded streams through the enhancers |
| `codecs`, `writer`, `output` | how the output is encoded, multiplexed, and put in its place |
| `pipeline` | threads joined by bounded channels |
| `task`, `engines`, `preview` | what a job is handed: its models, its before/after picture |
"""

from __future__ import annotations

from lumavox.media.enhancement import enhance
from lumavox.media.options import EnhanceOptions
from lumavox.media.progress import Progress
from lumavox.media.report import EnhanceReport

__all__ = ["EnhanceOptions", "EnhanceReport", "Progress", "enhance"]
