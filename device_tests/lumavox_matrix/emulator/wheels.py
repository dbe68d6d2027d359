"""Python wheels of another machine, fetched with pip and unpacked into a folder for ``PYTHONPATH``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from .errors import EmulatorError

__all__ = ["install"]

TIMEOUT_S = 600.0
OLDEST_GLIBC, NEWEST_GLIBC = 17, 36  # 2.36 is Debian bookworm's


def install(requirements: Sequence[str], machine: str, folder: Path, work: Path) -> dict[str, str]:
    """Unpack wheels of CPython 3.11 for ``machine`` into ``folder``. File name -> SHA-256."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--python-version", "3.11"]
    command += ["--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    command += [word for tag in [*tags, f"manylinux2014_{machine}"] for word in ("--platform", tag)]
    try:
        done = subprocess.run(
            [*command, "--dest", str(work), *requirements],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EmulatorError(f"pip download took longer than {TIMEOUT_S:g} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise EmulatorError(f"pip download: {'; '.join(errors[:2]) or done.stderr.strip()[-300:]}")
    found = {}
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(work.glob("*.whl")):
        found[wheel.name] = hashlib.sha256(wheel.read_bytes()).hexdigest()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return found
