"""What a worker gives up: tried in processes of their own, since it cannot be undone."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lumavox import _isolation_landlock, _isolation_seccomp
from lumavox.isolation import probe

PROBE = probe()
pytestmark = pytest.mark.skipif(not PROBE.usable, reason=f"no workers here: {PROBE.reason}")


def run(program: str, *arguments: object) -> str:
    """What a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not PROBE.landlock_abi, reason="the kernel offers no Landlock")
def test_landlock_leaves_libraries_readable_and_nothing_else(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "driver.bin").write_text("driver")
    program = """
import sys
from pathlib import Path
from lumavox import _isolation_landlock
allowed, other = map(Path, sys.argv[1:])
_isolation_landlock.restrict([str(allowed)])
print((allowed / "driver.bin").read_text())
import decimal                                     # Python's own folders
Path("/dev/null").write_text("x")
Path("/proc/self/status").read_text()
for attempt in (lambda: Path("/etc/passwd").read_text(), lambda: (allowed / "new").write_text("x"),
                lambda: (other / "new").write_text("x"), lambda: (allowed / "driver.bin").unlink()):
    try:
        attempt()
        print("allowed")
    except PermissionError:
        print("denied")
"""
    words = run(program, allowed, tmp_path).split()
    assert words == ["driver", *["denied"] * 4]


@pytest.mark.skipif(not PROBE.seccomp, reason="no seccomp filters here")
def test_seccomp_denies_processes_and_sockets_to_all_threads():
    program = """
import os, signal, socket, subprocess, threading
from lumavox import _isolation_seccomp
gate, found = threading.Event(), []
def attempts():
    gate.wait()
    for attempt in (lambda: socket.socket(), lambda: os.execv("/bin/true", ["true"]),
                    lambda: os.kill(os.getppid(), 0)):
        try:
            attempt()
            found.append("allowed")
        except PermissionError:
            found.append("denied")
thread = threading.Thread(target=attempts)          # it was there before the filter
thread.start()
_isolation_seccomp.deny()
gate.set()
thread.join()
print(*found, len(os.listdir("/proc/self")) > 0)
"""
    assert run(program).split() == ["denied"] * 3 + ["True"]


def test_the_numbers_of_system_calls_are_those_of_this_machines_headers():
    header = Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h")
    if not header.exists() or platform.machine() != "x86_64":
        pytest.skip(f"no {header}")
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    assert {name: int(numbers[name]) for name in _isolation_seccomp.DENIED} == {
        name: calls[0] for name, calls in _isolation_seccomp.DENIED.items()
    }


@pytest.mark.parametrize("machine", sorted(_isolation_seccomp._ARCHITECTURES))
def test_the_filter_allows_and_denies_as_its_table_says(machine):
    """The BPF program run by an interpreter of its four instructions."""
    architecture, column = _isolation_seccomp._ARCHITECTURES[machine]
    code = _isolation_seccomp.program(machine)
    denied = {calls[column] for calls in _isolation_seccomp.DENIED.values()}

    def verdict(arch: int, number: int) -> int:
        at, value = 0, 0
        while True:
            word = code[8 * at : 8 * at + 8]
            operation, jt, jf = int.from_bytes(word[:2], "little"), word[2], word[3]
            k = int.from_bytes(word[4:], "little")
            at += 1
            if operation == 0x20:
                value = {0: number, 4: arch}[k]
            elif operation == 0x15:
                at += jt if value == k else jf
            elif operation == 0x35:
                at += jt if value >= k else jf
            else:
                return k

    for number in range(500):
        assert (verdict(architecture, number) == _isolation_seccomp._DENY) == (number in denied)
    assert verdict(0x1234, 1) == _isolation_seccomp._KILL
    if machine == "x86_64":
        assert verdict(architecture, 0x40000000 + 59) == _isolation_seccomp._DENY


def test_memory_cores_and_priority_are_limited():
    program = """
import os
import numpy as np
from lumavox import _isolation_limits as limits
one = min(os.sched_getaffinity(0))
print(*limits.schedule((one,), 3, False), *limits.schedule((), 0, True), *limits.limit_memory(64), sep="; ")
assert os.sched_getaffinity(0) == {one}
assert os.sched_getscheduler(0) == os.SCHED_IDLE
np.ones(16 << 20, np.uint8)
try:
    np.ones(128 << 20, np.uint8)
except MemoryError:
    print("out of memory")
"""
    out = run(program)
    assert "SCHED_IDLE" in out
    assert "RLIMIT_AS" in out
    assert "out of memory" in out


def test_the_probe_says_what_there_is():
    assert f"landlock ABI {_isolation_landlock.abi()}" in PROBE.text or "no landlock" in PROBE.text
    assert "seccomp" in PROBE.text
