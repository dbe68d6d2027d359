"""Dataset manifests: what a model may be trained on, with licence and digest of every file.

A manifest is ``<name>.toml`` (name, title, kind, evidence) beside ``<name>.csv`` (one row per file: file,
licence, author, sha256, group, native_rate). The files themselves live under a root that the user gives.

    dataset = Dataset.load("models/datasets/stills.toml", root="~/data")
    for entry in dataset.entries: dataset.path(entry)

A row without a licence is refused. Groups (a voice, a piece) are the unit of sampling and of splitting. An
optional column ``kind`` ("text", "faces", ...) tells material apart that is measured apart.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from .._toml import loads
from ..errors import DatasetError

COLUMNS = ("file", "licence", "author", "sha256", "group", "native_rate")
OPTIONAL = ("kind",)


@dataclass(frozen=True)
class Entry:
    """One file of a dataset."""

    file: str  # relative to the root
    licence: str
    author: str
    sha256: str
    group: str = ""  # the same voice, piece or scene
    native_rate: int = 0  # Hz of the recording, 0 = not sound
    kind: str = ""  # of picture material: "text", "faces", ...; measured apart


@dataclass(frozen=True)
class Dataset:
    """A named set of files under one root."""

    name: str
    title: str
    evidence: str  # where the licences were read
    root: Path
    entries: tuple[Entry, ...]

    @classmethod
    def load(cls, manifest: str | Path, root: str | Path) -> Dataset:
        """Read a manifest. Raises DatasetError for an unknown column or a row without licence or digest."""
        path = Path(manifest)
        try:
            header = loads(path.read_text(encoding="utf-8"))
            with path.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, RecursionError, csv.Error) as error:  # ValueError: not UTF-8, not TOML
            raise DatasetError(f"cannot read the dataset manifest {path}: {error}") from error
        missing = {"name", "title", "evidence"} - header.keys()
        if missing:
            raise DatasetError(f"{path}: lacks {', '.join(sorted(missing))}")
        for key in ("name", "title", "evidence"):
            if not isinstance(header[key], str):
                raise DatasetError(f"{path}: {key}: expected text, got {header[key]!r}")
        entries = []
        for number, row in enumerate(rows, 2):
            where = f"{path.with_suffix('.csv')} line {number}"
            if set(row) - set(OPTIONAL) != set(COLUMNS) or None in row.values():
                raise DatasetError(
                    f"{where}: columns must be {', '.join(COLUMNS)} (and may be {', '.join(OPTIONAL)}), "
                    f"got {', '.join(map(str, row))}"
                )
            if not row["licence"].strip() or len(row["sha256"]) != 64:
                raise DatasetError(
                    f"{where}: {row['file']} has no licence or no sha256; it may not be trained on"
                )
            if row["native_rate"] and not re.fullmatch(r"[0-9]{1,6}", row["native_rate"]):
                raise DatasetError(f"{where}: native_rate {row['native_rate'][:40]!r} is no rate in Hz")
            rate = int(row["native_rate"] or 0)
            entries.append(
                Entry(
                    row["file"], row["licence"], row["author"], row["sha256"], row["group"], rate,
                    row.get("kind", ""),
                )
            )  # fmt: skip
        return cls(
            header["name"], header["title"], header["evidence"], Path(root).expanduser(), tuple(entries)
        )

    @property
    def digest(self) -> str:
        """sha256 over names and digests of all files: identifies the material, wherever it lies."""
        lines = sorted(f"{e.file} {e.sha256}" for e in self.entries)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def licences(self) -> tuple[str, ...]:
        """The distinct licences."""
        return tuple(sorted({e.licence for e in self.entries}))

    def path(self, entry: Entry) -> Path:
        """Where a file lies. Raises DatasetError if it is not there."""
        path = self.root / entry.file
        if not path.is_file():
            raise DatasetError(
                f"{self.name}: {entry.file} is not under {self.root}; give the folder with --data"
            )
        return path

    def verify(self) -> None:
        """Compare every file with its digest. Raises DatasetError naming the first that differs."""
        for entry in self.entries:
            if hashlib.sha256(self.path(entry).read_bytes()).hexdigest() != entry.sha256:
                raise DatasetError(f"{self.name}: {entry.file} differs from its manifest")
