"""Artifacts: what a stage leaves behind, with the digest of all it was made from.

A stage whose inputs have the digest that its folder records is not run again. The record is written last,
so an interrupted stage has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lumavox._files import replace_file
from lumavox._parse import dump_json, load_json, parse, plain
from lumavox.errors import LumavoxError

from .errors import StageError

RECORD = "artifact.json"


@dataclass(frozen=True)
class Record:
    """``artifact.json``."""

    stage: str
    inputs_sha256: str
    files: Mapping[str, str]  # path in the folder: sha256
    notes: Mapping[str, object]


@dataclass(frozen=True)
class Artifact:
    """A finished stage."""

    stage: str
    folder: Path
    inputs_sha256: str
    files: Mapping[str, str]
    notes: Mapping[str, object]

    @property
    def digest(self) -> str:
        """sha256 over names and digests of its files."""
        lines = sorted(f"{name} {sha}" for name, sha in self.files.items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @classmethod
    def seal(
        cls, stage: str, folder: Path, inputs_sha256: str, names: list[str], notes: Mapping[str, object]
    ) -> Artifact:
        """Record that the files ``names`` of ``folder`` are the result of these inputs."""
        files = {name: _sha256(folder / name) for name in names}
        replace_file(folder / RECORD, dump_json(plain(Record(stage, inputs_sha256, files, notes))))
        return cls(stage, folder, inputs_sha256, files, dict(notes))

    @classmethod
    def load(cls, folder: Path) -> Artifact:
        """The artifact in ``folder``. Raises StageError if there is none, or a file is missing or altered."""
        path = folder / RECORD
        if not path.is_file():
            raise StageError(f"{folder} holds no finished stage (no {RECORD}); run that stage first")
        record = parse(
            Record, load_json(path.read_bytes(), str(path), StageError), str(path), error=StageError
        )
        for name, sha in record.files.items():
            if not (folder / name).is_file() or _sha256(folder / name) != sha:
                raise StageError(f"{folder / name} is missing or was altered since the stage; run it again")
        return cls(record.stage, folder, record.inputs_sha256, record.files, record.notes)

    @classmethod
    def current(cls, folder: Path, inputs_sha256: str) -> Artifact | None:
        """The artifact in ``folder`` if it was made from these very inputs."""
        try:
            found = cls.load(folder)
        except LumavoxError:
            return None
        return found if found.inputs_sha256 == inputs_sha256 else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
