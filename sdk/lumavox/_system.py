"""What the system tells of itself: `text_of` its files, `cores`."""

from __future__ import annotations

import os
from pathlib import Path


def text_of(path: str | Path) -> str:
    """A file such as /proc/cpuinfo; "" if it is not there or cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
