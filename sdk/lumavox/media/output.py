"""A file that appears only when it is complete: `OutputFile`.

    with OutputFile(Path("out.mp4")) as temporary:
        write(temporary)

The body writes to a hidden file in the same folder, which takes the wanted name when the body ends, and is
removed when it raises (Ctrl-C included). So an existing file is replaced whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from lumavox.errors import OutputError


class OutputFile:
    """Context manager that gives the temporary path to write to.

    Raises `OutputError` on entering, before any work, when the folder is missing or cannot be written to,
    the path is a folder or a device, it is the same file as ``source``, or it exists and ``overwrite`` is
    False.
    """

    def __init__(self, path: Path, *, overwrite: bool = True, source: Path | None = None) -> None:
        self.path = path
        self._overwrite = overwrite
        self._source = source
        self._target = Path(os.path.realpath(path))  # a link stays, what it points to is replaced
        self._temporary = path

    def __enter__(self) -> Path:
        self.check()
        # The process id keeps two jobs with the same output apart; the last one to end wins.
        self._temporary = self._target.with_name(f".{self._target.name}.{os.getpid()}.part")
        try:
            with contextlib.suppress(FileNotFoundError):
                self._temporary.unlink()
            os.close(os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {_reason(error)} ({self._target.parent}); choose another place"
            ) from error
        return self._temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                os.replace(self._temporary, self._target)
                return
            except OSError as failure:
                self._remove()
                raise OutputError(f"cannot write {self.path}: {_reason(failure)}") from failure
        self._remove()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise OutputError(
                f"cannot write {self.path}: {_reason(error)}; nothing was left behind; "
                "free some space or choose another place"
            ) from error

    def check(self) -> None:
        """Raise `OutputError` if the path cannot be written to as far as can be seen without trying."""
        folder = self._target.parent
        if not folder.is_dir():
            raise OutputError(f"cannot write {self.path}: there is no folder {folder}; create it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write {self.path}: no permission in {folder}; choose another place")
        if not os.path.lexists(self._target):
            return
        mode = self._target.stat().st_mode
        if stat.S_ISDIR(mode):
            raise OutputError(f"cannot write {self.path}: it is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            raise OutputError(f"cannot write {self.path}: it is not a regular file; name a file")
        if self._source is not None and self._source.exists() and self._source.samefile(self._target):
            raise OutputError(f"cannot write {self.path}: it is the input itself; choose another name")
        if not self._overwrite:
            raise OutputError(f"{self.path} exists, and overwriting was not allowed; choose another name")

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._temporary.unlink()


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
