"""`enhance`: one file in, one enhanced file out. Tells the kind of file and hands it to the module for it.

It decodes and encodes nothing itself.

    report = enhance("in.mp4", "out.mp4", EnhanceOptions(dialog="high"))
    print(report.summary())
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from lumavox.media.engines import Engines
from lumavox.media.kinds import Kind, kind_of, output_format
from lumavox.media.options import EnhanceOptions
from lumavox.media.output import OutputFile
from lumavox.media.picture_file import enhance_picture
from lumavox.media.preview import Preview
from lumavox.media.progress import Progress
from lumavox.media.report import Done, EnhanceReport
from lumavox.media.sound_file import enhance_sound
from lumavox.media.task import Task
from lumavox.media.video_file import enhance_video

_BY_KIND: dict[Kind, Callable[[Task], Done]] = {
    Kind.VIDEO: enhance_video,
    Kind.PICTURE: enhance_picture,
    Kind.SOUND: enhance_sound,
}


def enhance(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: EnhanceOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> EnhanceReport:
    """Enhance the file ``source`` into ``output``, whose ending says what it is written as.

    Video (mp4, mkv, webm, mov) keeps its frames, timestamps, colour tags, rotation, shape, further tracks,
    subtitles, chapters and tags; what the container cannot carry is in the report's ``warnings``. Pictures
    are png, jpg, webp; sound is wav, flac, ogg, mp3, opus. ``progress`` is called now and then, in the
    calling thread.

    ``output`` (and ``options.report``, ``options.preview``) appear only when complete; on any error or
    Ctrl-C nothing is left behind. Raises `UnreadableMediaError`, `UnsupportedMediaError`, `OutputError`,
    `MissingExtraError`, `OptionError`, and what opening a model raises.
    """
    began = time.monotonic()
    source, output = Path(source), Path(output)
    options = options or EnhanceOptions()
    kind = kind_of(source)
    ending = output_format(source, kind, output)
    preview = Preview() if options.preview is not None else None
    for path in (options.report, options.preview):
        if path is not None:
            OutputFile(path, source=source).check()
    with Engines(options) as engines:
        with OutputFile(output, overwrite=options.overwrite, source=source) as temporary:
            task = Task(source, temporary, output, ending, options, engines, preview, progress)
            done = _BY_KIND[kind](task)
        report = EnhanceReport(
            input=source,
            output=output,
            kind=kind.name.lower(),
            wall_s=time.monotonic() - began,
            picture=done.picture,
            sound=done.sound,
            stages_s=done.stages_s,
            queues=done.queues,
            warnings=tuple(task.warnings),
            telemetry=engines.telemetry(),
        )
    if options.report is not None:
        report.write(options.report)
    if preview is not None and options.preview is not None:
        preview.render(options.preview)
    return report
