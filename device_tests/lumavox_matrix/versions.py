"""``VersionRange``: does a version fit ``">=2.3,<3"``? Only numbers and dots are compared.

VersionRange(">=1.20,<2").contains("1.31.1")       # True
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable

from lumavox.errors import OptionError

__all__ = ["VersionRange", "in_range", "natural"]

_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*([0-9]+(?:\.[0-9]+)*)")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
    ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@functools.lru_cache(maxsize=1024)
def in_range(text: str, version: str) -> bool:
    """Whether a version is in a range, remembered: plans ask the same again and again."""
    return VersionRange(text).contains(version)


class VersionRange:
    """A comma-separated list of clauses, all of which must hold; ``"*"`` holds for every version."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._clauses: list[tuple[str, tuple[int, ...]]] = []
        for part in () if text.strip() == "*" else text.split(","):
            found = _CLAUSE.fullmatch(part.strip())
            if not found:
                raise OptionError(f"version range {text!r}: {part.strip()!r} is not like '>=2.3' (or '*')")
            self._clauses.append((found[1], _numbers(found[2])))

    def contains(self, version: str) -> bool:
        """Whether a version is in the range; one without a leading number is in ``"*"`` only."""
        numbers = _numbers(version)
        if not numbers:
            return not self._clauses
        return all(_COMPARE[sign](_padded(numbers, wanted), _padded(wanted, numbers))
                   for sign, wanted in self._clauses)  # fmt: skip

    def __str__(self) -> str:
        return self.text


def natural(version: str) -> tuple[str | int, ...]:
    """A key that sorts any versions as people do: "fw 9" before "fw 10"."""
    return tuple(int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", version)))


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _padded(numbers: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return numbers + (0,) * (len(other) - len(numbers))
