"""Seccomp: system calls that an inference worker has no use for fail with EPERM from now on, in all its
threads.

A list of what is denied, not of what is allowed: engines and drivers differ in what they call, and a call
that is missing on a list of allowed ones would end a worker that does nothing wrong. Applied when the model
is open.

The filter is a classic BPF program; numbers of the calls are the kernel's (asm/unistd.h of each
architecture).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from ._isolation_landlock import no_new_privileges

DENIED: dict[str, tuple[int, int, int]] = {
    "execve": (59, 221, 11),
    "execveat": (322, 281, 387),
    "socket": (41, 198, 281),
    "ptrace": (101, 117, 26),
    "process_vm_readv": (310, 270, 376),
    "process_vm_writev": (311, 271, 377),
    "pidfd_getfd": (438, 438, 438),
    "kill": (62, 129, 37),
    "mount": (165, 40, 21),
    "unshare": (272, 97, 337),
    "setns": (308, 268, 375),
    "open_by_handle_at": (304, 265, 371),
    "bpf": (321, 280, 386),
    "perf_event_open": (298, 241, 364),
    "userfaultfd": (323, 282, 388),
    "io_uring_setup": (425, 425, 425),
    "keyctl": (250, 219, 311),
}
"""Numbers on x86-64, on 64-bit Arm and RISC-V, and on 32-bit Arm."""

_ARCHITECTURES = {  # platform.machine(): (AUDIT_ARCH, column of DENIED)
    "x86_64": (0xC000003E, 0),
    "aarch64": (0xC00000B7, 1),
    "riscv64": (0xC00000F3, 1),
    "armv7l": (0x40000028, 2),
    "armv8l": (0x40000028, 2),
}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_X32_BIT = 0x40000000  # the other numbering of x86-64
_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "armv7l": 383, "armv8l": 383}
_SET_MODE_FILTER, _ALL_THREADS, _GET_ACTION = 1, 1, 2


def available() -> bool:
    """Whether kernel and architecture are such that `deny` can work."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    action = ctypes.c_uint32(_DENY & 0xFFFF0000)
    return bool(libc.syscall(_SECCOMP[machine], _GET_ACTION, 0, ctypes.byref(action)) == 0)


def deny() -> str:
    """Deny the calls of `DENIED` to all threads of this process. Returns what was done, in words.

    Raises OSError where the kernel refuses or the architecture is not known.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(f"no table of system calls for {machine}")
    code = program(machine)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    no_new_privileges()
    libc = ctypes.CDLL(None, use_errno=True)
    filter = Program(len(code) // 8, code)
    failed = libc.syscall(_SECCOMP[machine], _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(filter))
    if failed:  # -1, or the thread that could not be restricted
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error) if failed < 0 else f"thread {failed} has a filter of its own")
    return f"seccomp, {len(DENIED)} calls denied"


def program(machine: str) -> bytes:
    """The BPF program: eight bytes an instruction."""
    architecture, column = _ARCHITECTURES[machine]
    numbers = [calls[column] for calls in DENIED.values()]
    body = [_step(_LOAD, 0, 0, 0)]  # the number of the call
    if machine == "x86_64":
        body.append(_step(_AT_LEAST, len(numbers) + 1, 0, _X32_BIT))
    for index, number in enumerate(numbers):
        body.append(_step(_EQUAL, len(numbers) - index, 0, number))  # to the denial at the end
    body += [_step(_RETURN, 0, 0, _ALLOW), _step(_RETURN, 0, 0, _DENY)]
    head = [_step(_LOAD, 0, 0, 4), _step(_EQUAL, 1, 0, architecture), _step(_RETURN, 0, 0, _KILL)]
    return b"".join([*head, *body])


def _step(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
