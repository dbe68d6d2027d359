"""What was compiled before: a folder per key, `Cache.fetch` and `Cache.store`.

The key is everything that the result depends on. A folder appears by a rename, complete or not at all; it
holds ``record.json`` and the tool's files. A cache that cannot be written is one `CacheError`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lumavox._parse import dump_json, load_json, parse, plain

from ..errors import CacheError

T = TypeVar("T")
RECORD = "record.json"


def key_of(parts: Mapping[str, Any]) -> str:
    """A name for everything in ``parts`` (plain data)."""
    return hashlib.sha256(json.dumps(plain(parts), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Cache:
    """Compiled files below ``folder``."""

    folder: Path

    def path(self, key: str) -> Path:
        """The folder of an entry, there or not."""
        return self.folder / key

    def fetch(self, key: str, kind: type[T]) -> T | None:
        """The record of an entry, None if there is none. Raises `CacheError` if it cannot be read."""
        path = self.path(key) / RECORD
        if not path.is_file():
            return None
        return parse(kind, load_json(path.read_bytes(), str(path), CacheError), str(path), error=CacheError)

    @contextlib.contextmanager
    def room(self) -> Iterator[Path]:
        """A temporary folder in which a tool works; removed unless `store` took it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".work.", dir=self.folder))
        except OSError as cause:
            raise CacheError(
                f"the cache {self.folder} cannot be written ({cause}); choose another folder with --cache"
            ) from cause
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def store(self, key: str, room: Path, record: object) -> Path:
        """Make ``room`` the entry; returns its folder. Another process may have been quicker."""
        final = self.path(key)
        try:
            (room / RECORD).write_bytes(dump_json(plain(record)))
            try:
                os.rename(room, final)
            except OSError:
                if not (final / RECORD).is_file():
                    raise
        except OSError as cause:
            raise CacheError(
                f"the cache {self.folder} cannot be written ({cause}); choose another folder with --cache"
            ) from cause
        return final
