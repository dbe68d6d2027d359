"""Reads the files of a bundle from a folder or a zip into memory, within limits. It verifies no content.

Refused here is what could lead out of the bundle, blow up or wait for ever: links, special files, unsafe or
double names, encrypted entries, too many or too large files. What the bytes are worth is decided by
``_bundle_rules``.
"""

from __future__ import annotations

import itertools
import os
import stat
import zipfile
from pathlib import Path

from . import _bundle_rules as rules
from ._bundle_rules import MAX_BUNDLE_BYTES, MAX_FILES
from .errors import BundleError, BundleFormatError, BundleNotFoundError


def read_files(path: Path) -> dict[str, bytes]:
    """All files of the bundle folder or zip at ``path``, unverified, within the limits of size and number."""
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_zip(path)
    raise BundleNotFoundError(f"{path}: there is no bundle: neither a folder nor a file")


def _read_folder(root: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    room = MAX_BUNDLE_BYTES
    try:
        for path in _walk(root):
            name = path.relative_to(root).as_posix()
            rules.check_paths([name], str(root))
            with open(path, "rb", opener=_open_plainly) as file:
                data = file.read(room + 1)
            room -= len(data)
            if room < 0:
                raise BundleFormatError(f"{root}: more than {MAX_BUNDLE_BYTES} bytes in all")
            files[name] = data
    except OSError as cause:
        raise BundleFormatError(f"{root}: cannot be read: {cause}") from cause
    return files


def _open_plainly(path: str, flags: int) -> int:
    """Follow no link and wait for no pipe that took the place of the file since it was listed."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _walk(root: Path) -> list[Path]:
    """The regular files below ``root``; anything else (links above all) is refused."""
    found: list[Path] = []
    folders, seen = [root], 0
    while folders:
        with os.scandir(folders.pop()) as listing:
            entries = list(itertools.islice(listing, MAX_FILES + 1))
        seen += len(entries)
        if seen > MAX_FILES:
            raise BundleFormatError(f"{root}: too many files (limit {MAX_FILES}); is this a bundle?")
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file(follow_symlinks=False):
                found.append(path)
            else:
                kind = "a symbolic link" if entry.is_symlink() else "not a regular file"
                name = path.relative_to(root)
                raise BundleFormatError(f"{root}: {name} is {kind}; put the file itself there")
    return sorted(found)


def _read_zip(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        if path.stat().st_size > MAX_BUNDLE_BYTES:
            raise BundleFormatError(f"{path}: more than {MAX_BUNDLE_BYTES} bytes")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, path)
            for info in members:
                if not info.is_dir():
                    with archive.open(info) as member:  # a bounded read: never unpacks more than was declared
                        files[info.filename] = member.read(info.file_size + 1)
    except BundleError:
        raise
    except Exception as cause:  # zipfile raises some ten kinds of error for damaged input
        raise BundleFormatError(
            f"{path}: not a readable zip: {cause or type(cause).__name__}; it may be truncated, get it again"
        ) from cause
    return files


def _check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    """Refuse every zip trick before a byte is unpacked."""
    if len(members) > MAX_FILES:
        raise BundleFormatError(f"{path}: {len(members)} entries (limit {MAX_FILES})")
    names = [info.orig_filename for info in members]  # as stored: zipfile rewrites some names
    rules.check_paths((name.removesuffix("/") for name in names), str(path))
    for info, name in zip(members, names):
        entry = f"{path}: the entry {name!r}"
        kind = stat.S_IFMT(info.external_attr >> 16)
        allowed = (0, stat.S_IFDIR) if info.is_dir() else (0, stat.S_IFREG)
        if names.count(name) > 1:
            raise BundleFormatError(f"{entry} is there twice")
        if info.filename != name or kind not in allowed:
            raise BundleFormatError(f"{entry} is a link or a special file; only files are possible")
        if info.flag_bits & 0x1:
            raise BundleFormatError(f"{entry} is encrypted; only plain entries are possible")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleFormatError(f"{entry} is packed by another method than store or deflate")
    total = sum(info.file_size for info in members)
    if total > MAX_BUNDLE_BYTES:
        raise BundleFormatError(f"{path}: unpacks to {total} bytes (limit {MAX_BUNDLE_BYTES})")
