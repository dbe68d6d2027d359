"""Progress of long work: one line on a terminal, silence elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")


def progress(
    items: Iterable[T], what: str, total: int | None = None, note: list[str] | None = None
) -> Iterator[T]:
    """Yield ``items``; on a terminal show count, share and time left. ``note[0]`` is appended when given."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    live = sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"  # of torchrun's processes one speaks
    begin = shown = time.monotonic()
    for index, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if live and (now - shown > 0.5 or index == total):
            shown = now
            left = f" {(now - begin) / index * (total - index):.0f} s left" if total else ""
            share = f"/{total}" if total else ""
            extra = f"  {note[0]}" if note else ""
            print(f"\r{what}: {index}{share}{left}{extra}\x1b[K", end="", file=sys.stderr, flush=True)
    if live:
        print(file=sys.stderr)
