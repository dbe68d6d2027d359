"""``Booted``: Debian's kernel and system for arm64, ready to be booted by qemu-system, in the cache.

emulator/<digest of the pins>/booted-<digest of the boot pins>/
    manifest.json            versions, seconds and bytes; written last
    qemu/                    qemu-system-aarch64 and every library that it needs, unpacked
    vmlinuz
    current.cpio          the system of `Emulator` with a set of wheels, a shell and an ssh server

    build_booted(cache_folder())                        # once; makes the emulator too if it is not there
    Booted.at(cache_folder()).command("cortex-a53", ...)
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lumavox._parse import dump_json, load_json, parse, plain
from lumavox.errors import OptionError

from . import debian
from .errors import EmulatorError
from .initramfs import modules_in_order, write_initramfs
from .installed import Emulator, Manifest, build, pinned, timed
from .machine import Machine
from .pins import BOOT_PINS, PINS, BootPins, Pins
from .soc import cpu, cpus

__all__ = ["Booted", "build_booted"]

SET_UP = "set it up with: lumavox-matrix emulator setup --booted"
PACKAGES_PATH = "usr/local/lib/python3.11/dist-packages"
"""Where Debian's Python looks for packages that are not Debian's."""


@dataclass(frozen=True)
class Booted:
    """``folder`` is that of the boot pins in the cache."""

    folder: Path
    manifest: Manifest
    pins: BootPins = BOOT_PINS

    @classmethod
    def at(cls, cache: Path, pins: Pins = PINS, boot: BootPins = BOOT_PINS) -> Booted:
        """What is in a cache. Raises EmulatorError if nothing of these pins is."""
        folder = _place(cache, pins, boot)
        path = folder / "manifest.json"
        if not path.is_file():
            raise EmulatorError(f"the booted system is not set up ({folder} is not there); {SET_UP}")
        return cls(folder, parse(Manifest, load_json(path.read_bytes(), str(path)), str(path)), boot)

    def command(
        self, processor: str, *, wheels: str, cores: int, memory_mib: int, port: int, console: Path,
        variables: Sequence[str],
    ) -> list[str]:  # fmt: skip
        """The command of a machine with that processor: its ssh server answers at ``port`` of this machine's
        loopback, it reaches nothing else, and it ends where a real one would restart. ``variables``: words
        like NAME=value for its first process. Raises OptionError for what cannot be booted."""
        if cpu(processor).machine != self.pins.machine:
            known = [name for name in cpus() if cpu(name).machine == self.pins.machine]
            raise OptionError.unknown(f"processor of {self.pins.machine}", processor, known)
        if wheels not in self.pins.wheels:
            raise OptionError.unknown("set of wheels", wheels, self.pins.wheels)
        # By the loader of its own C library: that of this machine may be another one.
        root = self.folder / "qemu"
        loaders = sorted(root.glob("lib/*/ld-linux*.so*"))
        libraries = [
            str(folder) for top in ("lib", "usr/lib") for folder in sorted(root.glob(f"{top}/*-linux-*"))
        ]
        network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"
        return [
            str(loaders[0]) if loaders else "no loader of the C library",
            "--library-path", ":".join(libraries),
            str(root / "usr/bin" / self.pins.program),
            "-L", str(root / "usr/share/qemu"),
            "-machine", "virt", "-cpu", processor, "-smp", str(cores), "-m", str(memory_mib),
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", f"file:{console}",
            "-netdev", network, "-device", "virtio-net-device,netdev=net",
            "-kernel", str(self.folder / "vmlinuz"), "-initrd", str(self.folder / f"{wheels}.cpio"),
            "-append", " ".join(["console=ttyAMA0", "loglevel=4", "panic=-1", *variables]),
        ]  # fmt: skip


def build_booted(
    cache: Path,
    pins: Pins = PINS,
    boot: BootPins = BOOT_PINS,
    report: Callable[[str], None] = lambda text: None,
) -> Booted:
    """Download, pack and boot it once; at once if it is there. Raises EmulatorError with the reason.

    An interrupted or failed build leaves nothing behind."""
    emulator = build(cache, pins, report)
    try:
        return Booted.at(cache, pins, boot)
    except EmulatorError:
        pass
    with tempfile.TemporaryDirectory(prefix=".build-", dir=cache) as name:
        folder, work = Path(name) / "made", Path(name) / "work"
        folder.mkdir()
        work.mkdir()
        seconds: dict[str, float] = {}
        packages: dict[str, dict[str, str]] = {}
        with timed(seconds, "qemu-system", report):
            packages["host"] = _qemu(folder / "qemu", work / "host", pins, boot)
        with timed(seconds, "kernel and system", report):
            packages[boot.machine] = _system(folder, work, emulator, boot)
        with timed(seconds, "first boot", report):
            made = Booted(folder, Manifest(1, boot.digest), boot)
            first = next(name for name in cpus() if cpu(name).machine == boot.machine)
            machine = Machine(made, first, wheels=boot.wheels[0])
            try:
                machine.boot()
            finally:
                machine.stop()
        mib = sum(p.lstat().st_size for p in folder.rglob("*")) >> 20
        manifest = Manifest(1, boot.digest, packages, {}, seconds, mib)
        (folder / "manifest.json").write_bytes(dump_json(plain(manifest)))
        target = _place(cache, pins, boot)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(folder, target)
    return Booted.at(cache, pins, boot)


def _place(cache: Path, pins: Pins, boot: BootPins) -> Path:
    return cache / pins.digest / f"booted-{boot.digest}"


def _qemu(root: Path, work: Path, pins: Pins, boot: BootPins) -> dict[str, str]:
    work.mkdir()
    found = debian.Apt(work, pins).fetch(boot.qemu)
    root.mkdir()
    for package in found:
        debian.unpack(package, root)
    return pinned(debian.versions(found), boot.qemu, boot.qemu_version)


def _system(folder: Path, work: Path, emulator: Emulator, boot: BootPins) -> dict[str, str]:
    """The kernel and the initramfs of each set of wheels."""
    image = emulator.pins.image(boot.machine)
    place, kernel, programs = (work / name for name in (image.architecture, "kernel", "programs"))
    for each in (place, kernel, programs):
        each.mkdir()
    apt = debian.Apt(place, emulator.pins, image.architecture)
    have = emulator.manifest.packages[image.machine]
    found = [path for path in apt.fetch(*boot.debian) if not debian.versions([path]).keys() & have.keys()]
    for package in found:
        debian.unpack(package, programs)
    (newest,) = apt.fetch(boot.kernel, dependencies=False)  # a package of nothing but a dependency
    name = next(name for name in debian.depends(newest) if name.startswith("linux-image-"))
    package = next(path for path in apt.fetch(name, dependencies=False) if path.name.startswith(f"{name}_"))
    debian.unpack(package, kernel)
    shutil.copyfile(next(kernel.glob("boot/vmlinuz-*")), folder / "vmlinuz")
    modules = modules_in_order(next(kernel.glob("lib/modules/*")), boot.drivers)
    for wheels in boot.wheels:
        inside = {PACKAGES_PATH: emulator.folder / image.machine / wheels}
        write_initramfs(folder / f"{wheels}.cpio", [emulator.root(image.machine), programs], inside, modules)
    return pinned(debian.versions([*found, package]), name, boot.kernel_version)
