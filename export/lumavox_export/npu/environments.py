"""Isolated Python environments for vendors' tools that do not go together with ours: `Environments`.

Each is a pinned requirement file ``targets/environments/<name>.txt``. ``lumavox-export environment NAME``
makes it once; it is called by subprocess only, as ``python -m package``, and never touches the main one.
Comments at the head of the file may direct how it is made:

    # pip: --no-deps            options of pip install
    # python: 3.11              the interpreter's version it needs
    # parent-packages: yes      packages of the main environment are visible behind its own (a large torch)

A folder is built under a temporary name and then renamed, and named by the digest of its requirement
file: half an environment is never seen, and an edited file means a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import site
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from lumavox.errors import OptionError

from ..errors import TargetUnavailableError, ToolError
from .tool import LOG, run_tool

FILES = Path(__file__).parent.parent / "targets" / "environments"
_RECORD = "environment.json"
_DIRECTIVE = re.compile(r"#\s*(pip|python|parent-packages):\s*(.+)")
CREATE_TIMEOUT_S = 1800.0


def default_folder() -> Path:
    """``~/.cache/lumavox`` or what XDG_CACHE_HOME says."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lumavox"


@dataclass(frozen=True)
class Environments:
    """The isolated environments below ``folder``."""

    folder: Path

    @classmethod
    def default(cls) -> Environments:
        return cls(default_folder() / "environments")

    @staticmethod
    def names() -> list[str]:
        """The environments there are requirement files for."""
        return sorted(path.stem for path in FILES.glob("*.txt"))

    @staticmethod
    def install_command(name: str) -> str:
        return f"lumavox-export environment {name}"

    def path(self, name: str) -> Path:
        """Where the environment is, or would be. Raises `OptionError` for an unknown name."""
        if name not in self.names():
            raise OptionError.unknown("environment", name, self.names())
        digest = hashlib.sha256((FILES / f"{name}.txt").read_bytes()).hexdigest()
        return self.folder / f"{name}-{digest[:12]}"

    def exists(self, name: str) -> bool:
        return (self.path(name) / _RECORD).is_file()

    def python(self, name: str) -> Path:
        """Its interpreter. Raises `TargetUnavailableError` with the install command if it is not there."""
        if not self.exists(name):
            raise TargetUnavailableError(
                f"environment {name!r} is not in {self.folder}; make it with: {self.install_command(name)}"
            )
        return self.path(name) / "bin" / "python"

    def version(self, name: str, distribution: str) -> str | None:
        """The version of a distribution in an environment that exists, else None."""
        if not self.exists(name):
            return None
        packages: Mapping[str, str] = json.loads((self.path(name) / _RECORD).read_text())["packages"]
        return packages.get(_normal(distribution))

    def create(self, name: str) -> Path:
        """Make the environment if it is not there, and return its folder. Raises `ToolError`."""
        final = self.path(name)
        if self.exists(name):
            return final
        requirements = FILES / f"{name}.txt"
        directives = dict(_DIRECTIVE.findall(requirements.read_text()))
        wanted = directives.get("python", "").strip()
        if wanted and wanted != "{}.{}".format(*sys.version_info[:2]):
            raise ToolError(f"environment {name!r} needs Python {wanted}, this is {sys.version.split()[0]}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.folder))
        except OSError as cause:
            raise ToolError(
                f"{self.folder}: cannot be written ({cause}); choose another folder with --environments"
            ) from cause
        try:
            made = temporary / "environment"
            run_tool([sys.executable, "-m", "venv", made], timeout_s=CREATE_TIMEOUT_S, folder=temporary)
            python = made / "bin" / "python"
            options = directives.get("pip", "").split()
            run_tool(
                [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *options]
                + ["-r", requirements],
                timeout_s=CREATE_TIMEOUT_S,
                folder=temporary,
            )
            if directives.get("parent-packages", "no").strip() == "yes":
                _show_parent(made)
            record = {"requirements": requirements.name, "packages": _packages(made)}
            (made / _RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
            shutil.copyfile(temporary / LOG, made / LOG)
            try:
                os.rename(made, final)
            except OSError:
                if not self.exists(name):  # else another process was quicker
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return final


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages(environment: Path) -> dict[str, str]:
    """Installed distributions of the environment itself and their versions."""
    found = metadata.distributions(path=[str(_site_packages(environment))])
    return {_normal(item.metadata["Name"]): item.version for item in found}


def _show_parent(environment: Path) -> None:
    (_site_packages(environment) / "parent-packages.pth").write_text("\n".join(site.getsitepackages()) + "\n")


def _site_packages(environment: Path) -> Path:
    version = "{}.{}".format(*sys.version_info[:2])
    return environment / "lib" / f"python{version}" / "site-packages"
