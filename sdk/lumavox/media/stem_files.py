"""Dialog and background as files of their own: `StemFiles`.

``dialog.flac`` and ``background.flac`` (24 bits) in a folder, aligned with the sound they were taken from;
together they are that sound. As all output, they appear only when they are complete.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from lumavox.errors import OutputError
from lumavox.media.kinds import import_soundfile

NAMES = ("dialog.flac", "background.flac")


class StemFiles:
    """Two open files; ``write`` blocks to them, then ``finish``. ``abandon`` removes what is unfinished."""

    def __init__(self, folder: Path, rate_hz: int, channels: int) -> None:
        self._sf = import_soundfile()
        self._files: list[tuple[Path, Path, Any]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in NAMES:
                part = folder / f".{name}.{os.getpid()}.part"
                file = self._sf.SoundFile(str(part), "w", rate_hz, channels, "PCM_24", format="FLAC")
                self._files.append((part, folder / name, file))
        except (OSError, ValueError, self._sf.SoundFileError) as error:
            self.abandon()
            raise OutputError(f"cannot write stems into {folder}: {error}; choose another folder") from error

    def write(self, dialog: Any, background: Any) -> None:
        """Append samples ``(n, channels)`` to both. Raises `OutputError`."""
        try:
            for (_, _, file), samples in zip(self._files, (dialog, background)):
                file.write(samples)
        except (self._sf.SoundFileError, AssertionError, OSError) as error:
            raise OutputError(f"cannot write the stems: {str(error) or 'the disk is full'}") from error

    def finish(self) -> None:
        """Close the files and give them their names."""
        for part, path, file in self._files:
            file.close()
            os.replace(part, path)
        self._files = []

    def abandon(self) -> None:
        """Remove what is not finished. May be called at any time."""
        for part, _, file in self._files:
            with contextlib.suppress(Exception):
                file.close()
            with contextlib.suppress(OSError):
                part.unlink()
        self._files = []
