"""``Load``: what else a player does meanwhile, in a process of its own.

Moves as many bytes as decoding 1080p at 60 frames a second does (each picture written once and read twice
as reference), and transforms sound as a decoder of AAC does. It is a stand-in without a media library: the
same on every device, and it says nothing about a particular decoder.
"""

from __future__ import annotations

import subprocess
import sys
import time
from types import TracebackType

import numpy as np

__all__ = ["Load", "decode_like"]

ARGUMENT = "--load"
_PICTURE_BYTES = 1920 * 1080 * 3 // 2
_RATE = 60


class Load:
    """Runs while the ``with`` block does, if ``active``."""

    def __init__(self, active: bool) -> None:
        self._active = active
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Load:
        if self._active:
            self._process = subprocess.Popen([sys.executable, sys.argv[0], ARGUMENT], stdin=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def decode_like(seconds: float = float("inf")) -> None:
    """Work like a decoder until that time is over."""
    pictures = [np.zeros(_PICTURE_BYTES, np.uint8) for _ in range(3)]
    sound = np.zeros(2048, np.float32)
    began = time.monotonic()
    n = 0
    while time.monotonic() - began < seconds:
        target, one, two = pictures[n % 3], pictures[(n + 1) % 3], pictures[(n + 2) % 3]
        np.bitwise_xor(one, two, out=target)
        np.fft.irfft(np.fft.rfft(sound))
        n += 1
        time.sleep(max(0.0, began + n / _RATE - time.monotonic()))
