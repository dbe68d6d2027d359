"""Debian packages of another architecture, fetched and unpacked by a normal user.

apt works in a folder of its own: nothing that is installed on this machine is read or changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from .errors import EmulatorError
from .pins import Pins

__all__ = ["Apt", "depends", "unpack", "unpack_file", "versions"]

TIMEOUT_S = 300.0


class Apt:
    """apt for one architecture (None: this machine's), its state in ``folder``."""

    def __init__(self, folder: Path, pins: Pins, architecture: str | None = None) -> None:
        missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
        if missing:
            raise EmulatorError(
                f"{' and '.join(missing)} not found: the emulator is built from Debian packages"
            )
        if not Path(pins.keyring).is_file():
            raise EmulatorError(f"{pins.keyring} not found: install the package debian-archive-keyring")
        self._folder = folder
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "preferences").touch()
        (folder / "sources.list").write_text(
            f"deb [signed-by={pins.keyring}] {pins.mirror} {pins.suite} main\n"
        )
        settings = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": folder / "preferences",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State": folder / "state",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Acquire::Retries": "2",
            "Acquire::Languages": "none",
            "Acquire::http::Timeout": "30",
        }
        if architecture is not None:
            settings |= {"APT::Architecture": architecture, "APT::Architectures::": architecture}
        if os.geteuid() == 0:
            settings["APT::Sandbox::User"] = "root"  # apt's own user may not write here
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        self._get("update")

    def fetch(self, *packages: str, dependencies: bool = True) -> list[Path]:
        """Download packages, with all that they depend on if wanted. The files."""
        if dependencies:
            self._get("install", "--yes", "--no-install-recommends", "--download-only", *packages)
            folder = self._folder / "cache/archives"
        else:
            folder = self._folder / "single"
            folder.mkdir(exist_ok=True)
            self._get("download", *packages, cwd=folder)
        return sorted(folder.glob("*.deb"))

    def _get(self, *words: str, cwd: Path | None = None) -> None:
        command = ["apt-get", "-qq", *self._options, *words]
        environment = os.environ | {"LC_ALL": "C"}
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EmulatorError(f"apt-get {words[0]} took longer than {TIMEOUT_S:g} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
            raise EmulatorError(
                f"apt-get {words[0]}: {'; '.join(lines[:3]) or f'exit code {done.returncode}'}"
            )


def unpack(package: Path, target: Path) -> None:
    """Unpack all files of a package."""
    done = subprocess.run(["dpkg-deb", "-x", package, target], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorError(f"{package.name}: {done.stderr.strip()}")


def unpack_file(package: Path, name: str, target: Path) -> None:
    """Unpack the one file ``name`` of a package to ``target``, executable."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                if member.name == f"./{name}" and member.isfile():
                    source = archive.extractfile(member)
                    assert source is not None
                    with target.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    target.chmod(0o755)
                    process.kill()
                    return
    raise EmulatorError(f"{package.name}: there is no {name} in it")


def depends(package: Path) -> list[str]:
    """The names of the packages that a package file depends on, without versions and alternatives."""
    done = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorError(f"{package.name}: {done.stderr.strip()}")
    return [entry.split()[0] for entry in done.stdout.split(",") if entry.strip()]


def versions(packages: Sequence[Path]) -> dict[str, str]:
    """Name -> version of package files, from their names."""
    parts = (path.name.split("_") for path in packages)
    return {name: version.replace("%3a", ":") for name, version, *_ in parts}
