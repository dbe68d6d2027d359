"""Ranges of versions, such as ``>=2.1,<3``: how a release says which drivers and firmware it was made for.

A version is dotted whole numbers (``1.31.1``), compared number by number, absent ones as 0. Anything else is
not comparable, and what is not comparable is never inside a range: other build names are matched by glob.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,7}")
_TERM = re.compile(r"(==|!=|>=|<=|<|>)\s*([0-9.]+)")
_OPERATORS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
    "<": operator.lt, ">": operator.gt,
}  # fmt: skip
MAX_TERMS = 16


def comparable(version: str) -> tuple[int, ...] | None:
    """The numbers of ``version`` without trailing zeros; None if it is not dotted whole numbers."""
    if not _VERSION.fullmatch(version):
        return None
    numbers = [int(part) for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def check_range(text: str) -> None:
    """Raises ValueError if ``text`` is not a range."""
    _terms(text)


def within(version: str, text: str) -> bool:
    """Whether ``version`` is comparable and in the range ``text``; the empty range holds every version."""
    terms = _terms(text)
    if not terms:
        return True
    numbers = comparable(version)
    return numbers is not None and all(_OPERATORS[op](numbers, bound) for op, bound in terms)


def _terms(text: str) -> list[tuple[str, tuple[int, ...]]]:
    if not text.strip():
        return []
    parts = text.split(",")
    found = []
    for part in parts:
        match = _TERM.fullmatch(part.strip())
        bound = comparable(match[2]) if match else None
        if match is None or bound is None or len(parts) > MAX_TERMS:
            raise ValueError(f"{text[:80]!r} is not a range such as '>=2.1,<3'")
        found.append((match[1], bound))
    return found
