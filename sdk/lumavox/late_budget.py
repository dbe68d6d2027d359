"""``LateBudget`` meter: how much of the allowance of late frames a stream has used, and how fast.

The budget is that of Android's media performance class: at most 2 of 600 frames late in 10 s, 0.333 %. A
burn rate of 1 uses exactly the allowance; alarms look at a short and a long window together, so that
neither a hiccup nor an old fault raises them.

    budget = BudgetMeter()
    budget.add(now_s, late=False)                # per frame
    budget.view().windows_over                   # for the record
    budget.burn_rate(60)                         # over the last minute
"""

from __future__ import annotations

from collections import deque

from .telemetry import LateBudget

__all__ = ["ALLOWED_LATE_SHARE", "WINDOW_S", "BudgetMeter"]

WINDOW_S = 10.0
ALLOWED_LATE_SHARE = 2 / 600
_KEPT = 360  # windows: one hour


class BudgetMeter:
    """Counts frames of one stream in windows of ``WINDOW_S``; never grows beyond an hour of them."""

    def __init__(self) -> None:
        self._windows: deque[tuple[int, int]] = deque(maxlen=_KEPT)  # (frames, late) of complete windows
        self._frames = self._late = 0  # of the window that is not complete
        self._ends_s: float | None = None
        self._count = self._over = 0
        self._worst = 0.0

    def add(self, now_s: float, late: bool) -> None:
        """Count one frame at ``now_s`` of a clock that never goes back. Empty windows do not count."""
        if self._ends_s is None:
            self._ends_s = now_s + WINDOW_S
        elif now_s >= self._ends_s:
            self._complete()
            self._ends_s = now_s + WINDOW_S
        self._frames += 1
        self._late += late

    def view(self) -> LateBudget | None:
        """Of all complete windows; None before the first."""
        if not self._count:
            return None
        return LateBudget(self._count, self._over, round(self._worst, 6))

    def burn_rate(self, seconds: float) -> float:
        """The share of late frames in about the last ``seconds``, in allowances; 0 without frames."""
        frames, late = self._frames, self._late
        for f, n in list(self._windows)[-max(1, round(seconds / WINDOW_S)) :]:
            frames, late = frames + f, late + n
        return late / frames / ALLOWED_LATE_SHARE if frames else 0.0

    def _complete(self) -> None:
        share = self._late / self._frames
        self._windows.append((self._frames, self._late))
        self._count += 1
        self._over += share > ALLOWED_LATE_SHARE
        self._worst = max(self._worst, share)
        self._frames = self._late = 0
