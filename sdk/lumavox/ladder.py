"""``Ladder``: the rungs of quality that a `Governor` may stand on, the best one first.

    Ladder.of("base", "small", "nano", "conventional")
    Ladder((Rung("sr/mine-x2", cost=1.0, detail=1.0), CONVENTIONAL))

A rung is a model by tier, id or path, or the conventional filter, which needs no network and is always last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .errors import OptionError

__all__ = ["CONVENTIONAL", "Ladder", "Rung"]


@dataclass(frozen=True)
class Rung:
    """One way to enlarge a picture.

    ``cost``: time relative to the other rungs; a first guess, which measurements replace. ``detail``: how
    much sharper than the conventional filter it is, relative to the other rungs: where fades begin and end.
    """

    name: str
    cost: float
    detail: float

    def __post_init__(self) -> None:
        if not self.cost > 0 or not 0 <= self.detail <= 1:
            raise OptionError(f"rung {self.name!r}: cost must be above 0, detail 0..1; got {self}")


CONVENTIONAL = Rung("conventional", cost=0.05, detail=0.0)
"""The conventional filter."""

_TIERS = {  # cost: multiplications per pixel; detail: dB over bicubic on photographs; each against base
    "large": Rung("large", 2.4, 1.0),
    "base": Rung("base", 1.0, 1.0),
    "small": Rung("small", 0.43, 0.90),
    "nano": Rung("nano", 0.20, 0.85),
    CONVENTIONAL.name: CONVENTIONAL,
}


@dataclass(frozen=True)
class Ladder:
    """Rungs from best and most expensive to the conventional filter."""

    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        names = [rung.name for rung in self.rungs]
        if len(names) < 2 or len(set(names)) < len(names) or names[-1] != CONVENTIONAL.name:
            raise OptionError(
                f"a ladder is models, each once, and {CONVENTIONAL.name!r} at the end; got {names}"
            )
        for upper, lower in zip(self.rungs, self.rungs[1:]):
            if lower.cost >= upper.cost or lower.detail > upper.detail:
                raise OptionError(
                    f"rung {lower.name!r} must cost less than {upper.name!r} above it, with no more detail"
                )

    @classmethod
    def of(cls, *names: str) -> Ladder:
        """The ladder of those tiers; the conventional filter is added if it is not named.

        Raises OptionError for a name that is not a known tier (build a `Rung` for models of your own).
        """
        for name in names:
            if name not in _TIERS:
                raise OptionError.unknown("tier", name, _TIERS, "a ladder")
        rungs = [_TIERS[name] for name in names]
        return cls(tuple(rungs if CONVENTIONAL in rungs else [*rungs, CONVENTIONAL]))

    def __len__(self) -> int:
        return len(self.rungs)

    def __getitem__(self, index: int) -> Rung:
        return self.rungs[index]

    def __iter__(self) -> Iterator[Rung]:
        return iter(self.rungs)
