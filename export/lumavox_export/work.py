"""Where a pipeline run finds its data and puts its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .data.manifest import Dataset
from .errors import DatasetError
from .machine import Machine


@dataclass(frozen=True)
class Work:
    """Folders and options of one run; nothing here changes what a stage computes."""

    out: Path  # one folder per stage
    data: Path  # root of the dataset files
    manifests: Path  # folder of <name>.toml dataset manifests
    cache: Path  # decoded and paired material, shared by runs
    resume: bool = False
    key: Path | None = None  # signing key; None leaves the bundle unsigned
    machine: Machine = Machine()  # that trains

    def dataset(self, name: str) -> Dataset:
        """A dataset by name. Raises DatasetError naming the known ones."""
        path = self.manifests / f"{name}.toml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in self.manifests.glob("*.toml"))) or "none"
            raise DatasetError(f"no dataset manifest {name!r} in {self.manifests} (known: {known})")
        return Dataset.load(path, self.data)
