"""Landlock: a process gives up files and TCP for itself and all threads it makes later (Linux 5.13).

Applied before a model is opened, so that the engine's own threads inherit it: what a driver or a library
needs may be read, device nodes may be used, and nothing else of the file system can be opened or changed.

No library is needed: three system calls whose numbers are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE, _READ, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FILE_RIGHTS = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}  # all there are, by ABI
_TCP_BIND_CONNECT, _TCP_ABI = 3, 4
_SCOPES, _SCOPE_ABI = 3, 6  # abstract sockets and signals of processes outside

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/opt", "/system", "/vendor", "/apex", "/proc", "/sys",
          "/etc/ld.so.cache")  # fmt: skip
"""What libraries and drivers read."""
DEVICES = ("/dev",)


def abi() -> int:
    """The version that the kernel offers; 0: none."""
    try:
        return max(0, _syscall(_CREATE, None, 0, _VERSION_FLAG))
    except OSError:
        return 0


def restrict(readable: Iterable[str] = ()) -> str:
    """Keep this process to reading ``SYSTEM``, Python's own folders and ``readable``, and to ``DEVICES``.

    Returns what was done, in words. Raises OSError where the kernel refuses.
    """
    version = abi()
    if not version:
        raise OSError("the kernel offers no Landlock")
    handled = _FILE_RIGHTS[max(v for v in _FILE_RIGHTS if v <= version)]
    attributes = struct.pack(
        "<QQQ",
        handled,
        _TCP_BIND_CONNECT if version >= _TCP_ABI else 0,
        _SCOPES if version >= _SCOPE_ABI else 0,
    )
    size = 24 if version >= _SCOPE_ABI else 16 if version >= _TCP_ABI else 8
    ruleset = _syscall(_CREATE, ctypes.c_char_p(attributes), size, 0)
    try:
        reading = _EXECUTE | _READ | _READ_DIR
        using = (reading | _WRITE | _TRUNCATE | _IOCTL_DEV) & handled & ~_EXECUTE
        python = {sys.prefix, sys.base_prefix, sys.exec_prefix, *(p for p in sys.path if p)}
        for path in {*SYSTEM, *python, *readable}:
            _allow(ruleset, path, reading)
        for path in DEVICES:
            _allow(ruleset, path, using)
        no_new_privileges()
        _syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return f"landlock ABI {version}"


def no_new_privileges() -> None:
    """What kernels ask for before a process may restrict itself. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system
    try:
        if not os.path.isdir(path):
            rights &= ~_READ_DIR
        _syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.c_char_p(struct.pack("<Qi", rights, fd)), 0)
    finally:
        os.close(fd)


def _syscall(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
