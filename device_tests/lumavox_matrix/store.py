"""``Store``: one folder of results, append-only, each named by the digest of its bytes.

    store = Store.open("out/matrix")
    store.add(result)                              # atomic: after a kill it is there as a whole, or not
    for result in store.results(): ...
    store.view().sql("SELECT soc, status, count(*) FROM results GROUP BY ALL")     # DuckDB

    store.json                         {"schema": 1}
    results/<2 hex>/<sha256>.json      one result, canonical JSON
    results.parquet                    a flat view, made anew when it is older; may be deleted

Nothing is ever changed in it. A file whose bytes are not those of its name (a power cut, a bad disk) is
reported by `damaged` and otherwise as if it were not there: its cell runs again. Two stores are merged by
copying files.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumavox._parse import dump_json, load_json, parse
from lumavox.errors import MissingExtraError, OptionError

from .result import Result

if TYPE_CHECKING:
    import duckdb

__all__ = ["Store", "flat"]

SCHEMA = 1
_MARKER = "store.json"


class Store:
    """Made by `Store.open`. Any number of processes may add to one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results = folder / "results"

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """The store in a folder, which is made if it is not there. Raises OptionError if the folder holds
        something else, or a store of a newer schema."""
        folder = Path(folder)
        marker = folder / _MARKER
        if marker.is_file():
            found = load_json(marker.read_bytes(), str(marker))
            schema = found.get("schema") if isinstance(found, dict) else None
            if schema != SCHEMA:
                raise OptionError(f"{marker}: schema {schema}: this version reads stores of schema {SCHEMA}")
        elif folder.is_dir() and any(folder.iterdir()):
            raise OptionError(f"{folder} holds files and is not a store; choose an empty or a new folder")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _write(marker, dump_json({"schema": SCHEMA}))
        return cls(folder)

    def add(self, result: Result) -> str:
        """Keep a result; returns its digest. The same result twice is kept once."""
        data = result.to_json()
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            _write(path, data)
        except FileNotFoundError:  # the first one of its two digits
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, data)
        return digest

    def digests(self) -> list[str]:
        """The names of all results, damaged ones too, sorted."""
        return sorted(path.stem for path in self._results.glob("??/*.json"))

    def get(self, digest: str) -> Result:
        """One result. Raises OptionError if it is not there or damaged."""
        path = self._path(digest)
        data = self._bytes(digest)
        if data is None:
            raise OptionError(f"{path}: there is no such result, or its bytes are not those of its name")
        return Result.from_json(data, str(path))

    def results(self) -> Iterator[Result]:
        """All results that are whole, in no order that means something."""
        for document in self.documents():
            yield parse(Result, document, str(self._path(document.pop("digest"))))

    def heads(self) -> Iterator[Result]:
        """All results without their records: what became of which cell, read several times faster."""
        for document in self.documents():
            path = str(self._path(document.pop("digest")))
            document.pop("record", None)
            yield parse(Result, document, path)

    def documents(self) -> Iterator[dict[str, Any]]:
        """All results as JSON values, unchecked but for their digest: several times faster than `results`."""
        for digest in self.digests():
            data = self._bytes(digest)
            if data is not None:
                document: dict[str, Any] = json.loads(data)
                document["digest"] = digest
                yield document

    def damaged(self) -> list[str]:
        """The names of results whose bytes are not those of their name."""
        return [digest for digest in self.digests() if self._bytes(digest) is None]

    def view(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with the table ``results``: one row per result, columns as in `flat`."""
        try:
            import duckdb
        except ImportError:
            raise MissingExtraError("duckdb", "matrix", "querying a store") from None
        connection = duckdb.connect()
        connection.read_parquet(str(self.parquet())).create_view("results")
        return connection

    def parquet(self) -> Path:
        """The flat view as a Parquet file, written anew if results were added since."""
        from ._view import write_parquet

        target = self.folder / "results.parquet"
        digests = self.digests()
        state = self.folder / "results.parquet.of"
        mark = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        if not (target.is_file() and state.is_file() and state.read_text() == mark):
            write_parquet((flat(document) for document in self.documents()), target)
            _write(state, mark.encode())
        return target

    def _path(self, digest: str) -> Path:
        return self._results / digest[:2] / f"{digest}.json"

    def _bytes(self, digest: str) -> bytes | None:
        try:
            data = self._path(digest).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == digest else None


def flat(document: dict[str, Any]) -> dict[str, object]:
    """One row of the view: the cell's parts, how it ended, and the figures that are asked for most."""
    from ._view import row

    return row(document)


def _write(path: Path, data: bytes) -> None:
    # A store is written result by result: no call of the system is made that is not needed.
    temporary = f"{path.parent}/.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
