"""``Emulator``: what `build` has put into the cache, ready to run.

emulator/<digest of the pins>/
    manifest.json            versions, digests, seconds and bytes; written last
    qemu-aarch64-static, qemu-arm-static
    aarch64/root/            Debian's Python, unpacked
    aarch64/current/         wheels, one folder for each set
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lumavox._parse import dump_json, load_json, parse, plain
from lumavox.errors import OptionError

from . import debian, wheels
from .errors import EmulatorError
from .pins import PINS, Image, Pins
from .soc import cpu, cpus, write_soc

__all__ = ["Emulator", "Manifest", "build", "cache_folder", "pinned", "timed"]

VARIABLE = "LUMAVOX_EMULATOR"
SET_UP = "set it up with: lumavox-matrix emulator setup"
TRY = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
MODULES = {
    "current": ("numpy", "cv2", "onnxruntime", "ai_edge_litert.interpreter"),
    "legacy": ("numpy", "tflite_runtime.interpreter"),
}
"""What is imported once when a set has been unpacked: proves that it works, and leaves compiled modules."""


@dataclass(frozen=True)
class Manifest:
    """What was built: Debian packages by machine, wheels with their digests by ``machine/set``."""

    schema: int
    pins: str
    packages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    wheels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    mib: int = 0


@dataclass(frozen=True)
class Emulator:
    """``folder`` is that of the pins in the cache."""

    folder: Path
    manifest: Manifest
    pins: Pins = PINS

    @classmethod
    def at(cls, cache: Path, pins: Pins = PINS) -> Emulator:
        """What is in a cache. Raises EmulatorError if nothing of these pins is."""
        folder = cache / pins.digest
        path = folder / "manifest.json"
        if not path.is_file():
            raise EmulatorError(f"the emulator is not set up ({folder} is not there); {SET_UP}")
        return cls(folder, parse(Manifest, load_json(path.read_bytes(), str(path)), str(path)), pins)

    def root(self, machine: str) -> Path:
        """The system of a machine."""
        return self.folder / machine / "root"

    def start_script(self, tree: Path, machine: str, cpu_name: str, wheel_set: str) -> str:
        """A shell script that is the device's Python: it takes Python's arguments. ``tree``: see `write_soc`.

        The script is also ``sys.executable`` there, so that a child process is emulated as well."""
        image = self.pins.image(machine)
        if wheel_set not in image.wheels:
            raise OptionError.unknown("set of wheels", wheel_set, image.wheels)
        path = f"{self.folder / machine / wheel_set}:{self.root(machine)}/usr/lib/python3/dist-packages"
        return (
            "#!/bin/sh\n"
            "ulimit -c 0\n"
            "unset LD_PRELOAD LD_LIBRARY_PATH PYTHONDONTWRITEBYTECODE\n"
            # By its own path: a 32-bit guest's stat() is not led into the tree.
            f"export PYTHONNOUSERSITE=1 PYTHONHOME='{self.root(machine)}/usr'\n"
            f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{path}"\n'
            f"exec '{self.folder / image.qemu}' -L '{tree}' -cpu {cpu_name} -0 \"$0\" "
            f"'{tree}/usr/bin/python3.11' -S \"$@\"\n"
        )


def cache_folder() -> Path:
    """``$LUMAVOX_EMULATOR``, else ``lumavox/emulator`` in the user's cache."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "lumavox" / "emulator"


def build(cache: Path, pins: Pins = PINS, report: Callable[[str], None] = lambda text: None) -> Emulator:
    """Download, unpack and try everything; at once if it is there. Raises EmulatorError with the reason.

    An interrupted or failed build leaves nothing behind."""
    try:
        return Emulator.at(cache, pins)
    except EmulatorError:
        pass
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=cache) as name:
        folder, work = Path(name) / "made", Path(name) / "work"
        folder.mkdir()
        seconds: dict[str, float] = {}
        packages: dict[str, dict[str, str]] = {}
        digests: dict[str, dict[str, str]] = {}
        with timed(seconds, "qemu", report):
            packages["host"] = _qemu(folder, work / "host", pins)
        for image in pins.images:
            with timed(seconds, f"{image.machine} system", report):
                packages[image.machine] = _system(folder / image.machine / "root", work, image, pins)
            for wheel_set, requirements in image.wheels.items():
                with timed(seconds, f"{image.machine} {wheel_set} wheels", report):
                    place = f"{image.machine}/{wheel_set}"
                    digests[place] = wheels.install(requirements, image.machine, folder / place, work / place)
                with timed(seconds, f"{image.machine} {wheel_set} first imports", report):
                    _try(Emulator(folder, Manifest(1, pins.digest), pins), image, wheel_set, work)
        mib = sum(p.lstat().st_size for p in folder.rglob("*")) >> 20
        made = Manifest(1, pins.digest, packages, digests, seconds, mib)
        (folder / "manifest.json").write_bytes(dump_json(plain(made)))
        shutil.rmtree(cache / pins.digest, ignore_errors=True)
        os.replace(folder, cache / pins.digest)
    return Emulator.at(cache, pins)


class timed:
    """Notes how long the block took, and reports it if it did not fail."""

    def __init__(self, seconds: dict[str, float], what: str, report: Callable[[str], None]) -> None:
        self._seconds, self._what, self._report = seconds, what, report

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._seconds[self._what] = round(time.monotonic() - self._began, 1)
        if error is None:
            self._report(f"{self._what}: {self._seconds[self._what]:.1f} s")


def _qemu(folder: Path, work: Path, pins: Pins) -> dict[str, str]:
    work.mkdir(parents=True)
    found = debian.Apt(work, pins).fetch("qemu-user-static", dependencies=False)
    for image in pins.images:
        debian.unpack_file(found[0], f"usr/bin/{image.qemu}", folder / image.qemu)
    return pinned(debian.versions(found), "qemu-user-static", pins.qemu_version)


def _system(root: Path, work: Path, image: Image, pins: Pins) -> dict[str, str]:
    root.mkdir(parents=True)
    place = work / image.architecture
    place.mkdir(parents=True)
    found = debian.Apt(place, pins, image.architecture).fetch(*image.debian)
    for package in found:
        debian.unpack(package, root)
    # What update-alternatives would link.
    for library in root.glob("usr/lib/*/*/lib*.so.3"):
        if library.parent.name in ("blas", "lapack"):
            (library.parents[1] / library.name).symlink_to(f"{library.parent.name}/{library.name}")
    return pinned(debian.versions(found), "python3.11", pins.python_version)


def pinned(found: dict[str, str], package: str, wanted: str) -> dict[str, str]:
    """The versions found, if the package's is the one wanted. Raises EmulatorError."""
    version = found.get(package, "no version")
    if not version.rpartition(":")[2].startswith(wanted):
        raise EmulatorError(f"the mirror has {package} {version}, pinned is {wanted}")
    return found


def _try(emulator: Emulator, image: Image, wheel_set: str, work: Path) -> None:
    chosen = next(each for each in map(cpu, cpus()) if each.machine == image.machine)
    tree = work / f"{image.machine}-{wheel_set}-tree"
    write_soc(tree, chosen, emulator.root(image.machine))
    script = work / f"{image.machine}-{wheel_set}-python"
    script.write_text(emulator.start_script(tree, image.machine, chosen.name, wheel_set))
    script.chmod(0o755)
    done = subprocess.run(
        [script, "-c", TRY, *MODULES[wheel_set]], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise EmulatorError(f"{image.machine} {wheel_set}: the engines cannot be imported: {last[0]}")
