"""``replace_file``: a small file as a whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file in one step, and its folder where there is none; text as UTF-8. Nobody reads half of it.

    It is not flushed: what must outlive a power cut is written by `update._disk`. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
