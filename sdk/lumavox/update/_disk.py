"""``Disk``: the file-system calls that an update is made of, so that tests can cut the power between any two.

What must survive is written under a temporary name, flushed, renamed, and the folder flushed. A rename is
all or nothing; before the flush of its folder it may be lost, but never half done.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import UpdateError

PARTIAL = ".partial"


class Disk:
    """The real one. Each method is one step; power may fail before, between and after them."""

    def make_folder(self, path: Path) -> None:
        """One folder; its parent is there. Nothing happens if it is there."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)

    def write(self, path: Path, data: bytes) -> None:
        """Create or overwrite a file; not yet flushed."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    def flush(self, path: Path) -> None:
        """Wait until a file's content, or a folder's entries, are on the medium."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """``source`` takes the place of ``target``."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file that may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def make_folders(self, path: Path) -> None:
        """A folder with its parents, durably."""
        missing = [p for p in (path, *path.parents) if not p.is_dir()]
        for folder in reversed(missing):
            self.make_folder(folder)
            self.flush(folder.parent)

    def put(self, path: Path, data: bytes) -> None:
        """Replace a file as a whole, durably: afterwards it is the new one, whatever happens."""
        partial = path.with_name(path.name + PARTIAL)
        self.write(partial, data)
        self.move(partial, path)

    def move(self, source: Path, target: Path) -> None:
        """Give a complete file its name, durably."""
        self.flush(source)
        self.rename(source, target)
        self.flush(target.parent)


@contextlib.contextmanager
def locked(folder: Path, name: str = "lock", *, wait: bool = True) -> Iterator[None]:
    """Only one process at a time does what ``name`` guards in ``folder``. The lock ends with the process.

    Raises UpdateError if another one holds it and ``wait`` is False.
    """
    import fcntl

    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as cause:
            raise UpdateError(f"{folder}: another process is updating this model; let it end") from cause
        yield
    finally:
        os.close(descriptor)
