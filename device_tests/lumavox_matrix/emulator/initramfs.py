"""``Cpio``: the archive that Linux unpacks into its first file system; ``write_initramfs`` fills one.

    write_initramfs(target, [root], {"usr/local/lib/python3.11/dist-packages": wheels}, modules)

The format is Linux's own (Documentation/driver-api/early-userspace/buffer-format.rst, "newc"), so no program
of this machine is needed. ``INIT`` is the first process of the device: it loads the drivers of the network,
starts a secure shell and says so on the console. It switches the device off when nobody has been connected
for ten minutes, so that one whose user was killed does not stay.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from .errors import EmulatorError

__all__ = ["INIT", "READY", "Cpio", "modules_in_order", "write_initramfs"]

READY = "LUMAVOX-READY"
NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian")
PASSWD = "root:*:0:0:root:/root:/bin/sh\n"

# The kernel gives words of its command line (SSH_KEY=, NAME=, NOW=) to the first process as variables.
INIT = f"""\
#!/bin/busybox sh
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s 2>/dev/null
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /tmp $HOME/.ssh /etc/dropbear /var/log /run
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
exec </dev/console >/dev/console 2>&1
echo "$NAME: the kernel is up"
chmod 1777 /tmp
date -s "@$NOW" >/dev/null
hostname "$NAME"
for module in /modules/*.ko; do insmod "$module"; done
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
echo "ssh-ed25519 $SSH_KEY" >$HOME/.ssh/authorized_keys
chmod -R go= $HOME
host_key=/etc/dropbear/host_key
public=$(dropbearkey -t ed25519 -f $host_key 2>/dev/null | grep '^ssh-ed25519')
unset SSH_KEY
dropbear -s -j -k -r $host_key -p 22 && echo "{READY} $public"
idle=0
while sleep 10; do
    if cat /proc/net/tcp* | grep -q ':0016 [0-9A-F]*:[0-9A-F]* 01 '; then idle=0; else idle=$((idle + 1)); fi
    [ $idle -lt 60 ] || poweroff -f
done
"""


class Cpio:
    """Writes entries to ``file``; folders come before what is in them. All belong to root."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0

    def add(self, name: str, mode: int, data: bytes = b"", *, mtime: int = 0) -> None:
        """One entry: ``mode`` has its type, as in ``st_mode``; the data of a link is its target."""
        self._number += 1
        encoded = os.fsencode(name) + b"\0"
        # ino, mode, uid, gid, nlink, mtime, filesize, devices' numbers, namesize, check
        numbers = (self._number, mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + "".join(f"{number:08x}" for number in numbers).encode()
        for part in (header + encoded, data):
            self._file.write(part + bytes(-len(part) % 4))

    def folder(self, name: str) -> None:
        """A folder and those above it."""
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            self.add("/".join(parts[:depth]), stat.S_IFDIR | 0o755)

    def tree(self, source: Path, prefix: str = "", leave_out: Collection[str] = ()) -> None:
        """Everything of a folder, below ``prefix``, with times: Python's compiled modules stay valid."""
        for path in sorted(source.iterdir()):
            name = f"{prefix}{path.name}"
            info = path.lstat()
            if name in leave_out:
                continue
            if stat.S_ISDIR(info.st_mode):
                self.add(name, info.st_mode)
                self.tree(path, f"{name}/", leave_out)
            elif stat.S_ISLNK(info.st_mode):
                self.add(name, info.st_mode, os.fsencode(path.readlink()))
            elif stat.S_ISREG(info.st_mode):
                self.add(name, info.st_mode, path.read_bytes(), mtime=int(info.st_mtime))

    def close(self) -> None:
        """Write the end."""
        self._number = -1
        self.add("TRAILER!!!", 0)


def write_initramfs(
    target: Path, roots: Sequence[Path], inside: Mapping[str, Path], modules: Sequence[Path]
) -> None:
    """The file ``target``: the trees ``roots`` over each other, folders ``inside`` them, drivers, `INIT`.

    It is not compressed: an emulated processor takes longer to unpack it than to boot."""
    with target.open("wb") as packed:
        archive = Cpio(packed)
        for root in roots:
            archive.tree(root, leave_out=NOT_NEEDED)
        for place, folder in inside.items():
            archive.folder(place)
            archive.tree(folder, f"{place}/")
        for place in ("bin", "sbin", "usr/bin", "usr/sbin", "proc", "sys", "dev", "etc", "modules"):
            archive.folder(place)
        for index, module in enumerate(modules):
            archive.add(f"modules/{index:02d}-{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
        archive.add("etc/passwd", stat.S_IFREG | 0o644, PASSWD.encode())
        archive.add("init", stat.S_IFREG | 0o755, INIT.encode())
        archive.close()


def modules_in_order(kernel: Path, wanted: Sequence[str]) -> list[Path]:
    """The files of the drivers ``wanted`` and of all that they need, in the order to load them, in the folder
    ``/lib/modules/<version>`` of a kernel. Raises EmulatorError for one that the kernel does not have."""
    files = {path.stem.replace("-", "_"): path for path in kernel.rglob("*.ko")}
    built_in = {Path(line).stem.replace("-", "_") for line in _lines(kernel / "modules.builtin")}
    ordered: list[Path] = []

    def add(name: str) -> None:
        if name in built_in:
            return
        if name not in files:
            raise EmulatorError(f"{kernel.name}: the kernel has no driver {name!r}")
        if files[name] not in ordered:
            needs = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
            for need in needs[1].decode().split(",") if needs and needs[1] else []:
                add(need.replace("-", "_"))
            ordered.append(files[name])

    for name in wanted:
        add(name)
    return ordered


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
