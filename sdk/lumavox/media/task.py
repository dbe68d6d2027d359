"""What the modules for each kind of file are handed: `Task`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lumavox.media.engines import Engines
from lumavox.media.options import EnhanceOptions
from lumavox.media.preview import Preview
from lumavox.media.progress import Progress


@dataclasses.dataclass(frozen=True)
class Task:
    """Enhance ``source`` into ``temporary``, as the kind of file that ``ending`` names.

    ``output`` is the name that messages show. ``warnings`` gathers what could not be kept.
    """

    source: Path
    temporary: Path
    output: Path
    ending: str
    options: EnhanceOptions
    engines: Engines
    preview: Preview | None = None
    progress: Callable[[Progress], None] | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Keep ``sentence`` for the report, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
