"""How far a job is: `Progress`, and `TerminalProgress`, the line that shows it.

The pipeline counts, it does not print. `TerminalProgress` prints one line that renews itself, only when
its stream is a terminal; into a file or pipe it stays silent.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import TextIO


@dataclasses.dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` after ``elapsed_s``, in ``"frames"`` or ``"s"`` of sound; total 0 is unknown."""

    done: float
    total: float
    elapsed_s: float
    unit: str

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace so far; None while that is not known."""
        if self.total <= 0 or self.done <= 0:
            return None
        return max(0.0, (self.total - self.done) * self.elapsed_s / self.done)

    def __str__(self) -> str:
        rate = self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0
        pace = f"{rate:.1f} fps" if self.unit == "frames" else f"{rate:.1f}x real time"
        if self.total <= 0:
            return f"{self.done:.0f} {self.unit}  {pace}"
        share = min(1.0, self.done / self.total)
        eta = f"  ETA {_clock(self.eta_s)}" if self.eta_s is not None else ""
        return f"{share:4.0%}  {self.done:.0f}/{self.total:.0f} {self.unit}  {pace}{eta}"


class TerminalProgress:
    """Call it with a `Progress`; use as a context manager so that the line is cleared at the end."""

    def __init__(self, stream: TextIO | None = None, period_s: float = 0.2) -> None:
        self._stream = stream or sys.stderr
        self._active = self._stream.isatty()
        self._period_s = period_s
        self._last_s = 0.0
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if not self._active or now_s - self._last_s < self._period_s:
            return
        self._last_s = now_s
        line = f"  {progress}"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._active and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()


def _clock(seconds: float | None) -> str:
    whole = round(seconds or 0)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
