"""``difference``: what changed between A and B, two firmwares, drivers, engines, models or stores.

    found = difference(cells, Side.parse("firmware=1.0"), Side.parse("firmware=1.1"), Regression())
    for row in found.rows: print(row.cell_b, row.status, row.change.what)

Cells of A and B are pairs if they are the same in every axis that neither side names. Status and output are
compared exactly, latency by `stats.decide` over all pairs at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lumavox.errors import OptionError

from .cell import AXES, Cell, Status
from .judged import Judged
from .policy import Regression
from .stats import Arms, Change, decide

__all__ = ["Difference", "Row", "Side", "difference"]

SELECTORS = (*AXES, "model", "runtime")
"""What a side may name; ``runtime`` is the version of lumavox."""


@dataclass(frozen=True)
class Side:
    """``wanted``: (axis, value) pairs; none of them: everything."""

    wanted: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Side:
        """From ``"firmware=1.0,driver=2"``. Raises OptionError for an unknown axis."""
        wanted = []
        for part in text.split(","):
            axis, sign, value = (piece.strip() for piece in part.partition("="))
            if not sign or not value:
                raise OptionError(f"side {text!r}: {part!r} is not like 'firmware=1.0'")
            if axis not in SELECTORS:
                raise OptionError.unknown("axis", axis, SELECTORS, f"side {text!r}")
            wanted.append((axis, value))
        return cls(tuple(wanted))

    @property
    def axes(self) -> set[str]:
        """The axes that it names."""
        return {axis for axis, _ in self.wanted}

    def takes(self, judged: Judged) -> bool:
        """Whether a cell is on this side. Model digests may be shortened."""
        for axis, value in self.wanted:
            if axis == "runtime":
                if judged.runs[-1].runtime != value:
                    return False
            elif axis == "model_digest":
                if not judged.cell.model_digest.startswith(value):
                    return False
            elif getattr(judged.cell, axis) != value:
                return False
        return True


@dataclass(frozen=True)
class Row:
    """One pair. ``status``: "broken" passed and fails; "silent" passed and now says nothing (ERROR, MISS).
    ``output``: whether the engine's outputs on the test frames are the same bytes."""

    a: Judged
    b: Judged
    status: Literal["broken", "mended", "silent", "same"]
    output: Literal["same", "other", "unknown"]
    change: Change

    @property
    def worth_telling(self) -> bool:
        """Whether anything changed, or may have."""
        return (
            self.status != "same"
            or self.output == "other"
            or self.change.what in ("slower", "faster", "suspected")
        )


@dataclass(frozen=True)
class Difference:
    """``only_a`` and ``only_b``: cells without a partner."""

    rows: tuple[Row, ...]
    only_a: tuple[Judged, ...]
    only_b: tuple[Judged, ...]

    @property
    def broken(self) -> list[Row]:
        """Pairs that passed and do not any more."""
        return [row for row in self.rows if row.status == "broken"]

    @property
    def slower(self) -> list[Row]:
        """Pairs that are slower beyond doubt."""
        return [row for row in self.rows if row.change.what == "slower"]


def difference(
    a: Sequence[Judged], b: Sequence[Judged], side_a: Side, side_b: Side, rule: Regression
) -> Difference:
    """Compare what ``side_a`` takes of ``a`` with what ``side_b`` takes of ``b``. Raises OptionError if a
    side is empty or takes several cells for one place."""
    free = side_a.axes | side_b.axes
    left, right = (
        _by_place(cells, side, free, name) for cells, side, name in ((a, side_a, "A"), (b, side_b, "B"))
    )
    both = [place for place in left if place in right]
    changes = decide([Arms(left[p].run_p99_us, right[p].run_p99_us) for p in both], rule)
    rows = tuple(_row(left[place], right[place], change) for place, change in zip(both, changes))
    only_a = tuple(judged for place, judged in left.items() if place not in right)
    only_b = tuple(judged for place, judged in right.items() if place not in left)
    return Difference(rows, only_a, only_b)


def _by_place(
    cells: Sequence[Judged], side: Side, free: set[str], name: str
) -> dict[tuple[str, ...], Judged]:
    found: dict[tuple[str, ...], Judged] = {}
    for judged in cells:
        if not side.takes(judged):
            continue
        place = _place(judged.cell, free)
        if place in found:
            other = found[place].cell
            axes = [axis for axis in AXES if getattr(other, axis) != getattr(judged.cell, axis)]
            raise OptionError(
                f"side {name} has several cells for one place, such as {judged.cell}: name also "
                f"{' or '.join(axes)}"
            )
        found[place] = judged
    if not found:
        told = ", ".join(f"{axis}={value}" for axis, value in side.wanted) or "everything"
        raise OptionError(f"side {name} ({told}) has no cells in the store")
    return found


def _place(cell: Cell, free: set[str]) -> tuple[str, ...]:
    """The axes that are not free; where the digest of the model is, its name still counts."""
    axes = [axis for axis in (*AXES, "model") if axis not in free]
    if "model" in free:
        axes = [axis for axis in axes if axis != "model_digest"]
    return tuple(getattr(cell, axis) for axis in axes)


def _row(a: Judged, b: Judged, change: Change) -> Row:
    before, after = a.verdict.status, b.verdict.status
    status: Literal["broken", "mended", "silent", "same"] = "same"
    if before is Status.PASS and after is not Status.PASS:
        status = "broken" if after is Status.FAIL else "silent"
    elif before is Status.FAIL and after is Status.PASS:
        status = "mended"
    outputs = (a.runs[-1].output_sha256, b.runs[-1].output_sha256)
    if None in outputs:
        return Row(a, b, status, "unknown", change)
    return Row(a, b, status, "same" if outputs[0] == outputs[1] else "other", change)
