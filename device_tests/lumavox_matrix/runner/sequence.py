"""What a series of frame numbers proves: presence, order, duplicates, delay. Pure functions.

seen = judge([0, 1, 1, 3, None], frames=5)
seen.missing, seen.duplicates, seen.strip           # (2, 4), (2,), "..D.?"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Seen", "judge"]

EDGE_SHARE = 0.05
"""The first and the last twentieth of the frames are the start and the end; at most half a second of them."""

EDGE_MOST = 15


@dataclass(frozen=True)
class Seen:
    """``strip`` has one letter for each output: ``.`` right, ``D`` the same as the one before, ``R`` older
    than one that was shown before, ``J`` ahead of its turn, ``?`` unreadable, ``X`` never sent."""

    frames: int
    missing: tuple[int, ...]  # numbers that never came out
    duplicates: tuple[int, ...]  # positions
    reordered: tuple[int, ...]
    unreadable: tuple[int, ...]
    unexpected: tuple[int, ...]
    strip: str

    @property
    def in_order(self) -> bool:
        """No number came after a larger one."""
        return not self.reordered

    def missing_in(self, part: str) -> int:
        """How many of the start, middle or end ("start", "middle", "end") are missing."""
        edge = min(EDGE_MOST, max(1, int(self.frames * EDGE_SHARE)))
        first, last = range(edge), range(self.frames - edge, self.frames)
        if part == "start":
            return sum(n in first for n in self.missing)
        if part == "end":
            return sum(n in last for n in self.missing)
        return sum(n not in first and n not in last for n in self.missing)


def judge(numbers: Sequence[int | None], frames: int, delay: int = 0) -> Seen:
    """``numbers[n]`` was read from output ``n``; ``frames`` were sent, numbered from 0. ``delay``: so many
    outputs come before the first frame, and are not judged."""
    letters: list[str] = []
    duplicates: list[int] = []
    reordered: list[int] = []
    unreadable: list[int] = []
    unexpected: list[int] = []
    largest, before = -1, None
    for position, number in enumerate(numbers):
        letter = "."
        if position < delay and number is None:
            letters.append(" ")
            continue
        if number is None:
            letter = "?"
            unreadable.append(position)
        elif not 0 <= number < frames:
            letter = "X"
            unexpected.append(position)
        elif number == before:
            letter = "D"
            duplicates.append(position)
        elif number < largest:
            letter = "R"
            reordered.append(position)
        elif number > position - delay:
            letter = "J"
        if number is not None and 0 <= number < frames:
            largest, before = max(largest, number), number
        letters.append(letter)
    seen = {n for n in numbers if n is not None}
    missing = tuple(n for n in range(frames) if n not in seen)
    return Seen(
        frames,
        missing,
        tuple(duplicates),
        tuple(reordered),
        tuple(unreadable),
        tuple(unexpected),
        "".join(letters),
    )
