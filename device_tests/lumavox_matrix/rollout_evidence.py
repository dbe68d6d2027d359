"""``Evidence``: has the new model its bad events sooner? An answer that stays right however often one looks.

    events = Events(time_h, treated, urn)          # the first bad event of each set, in the order of time
    evidence = Evidence.of(events, [Urn(1000, 4000)], harm_ratio=2.0)
    evidence.harm[-1], evidence.safe[-1]       # logarithms of e-values; stop where harm >= log(1 / alpha)

**The urn.** Which sets of a stage get the new model is drawn at random; the others are its control. Each set
counts once, by its first bad event. If the model changes nothing, the events draw sets from an urn of treated
and control balls without replacement, whatever else differs between sets (some crash daily, some never; some
are off; some join late): the chance that the next one is treated is its share of what is left. That is the
log-rank test as a game, and a product of likelihood ratios

    e(r) = prod  [ r n_T / (r n_T + n_C)   or   n_C / (r n_T + n_C) ]  /  [ n_T / n   or   n_C / n ]

of "r times as likely" against "no change" is a martingale of mean 1 from the first event on. By Ville's
inequality it ever reaches 1/alpha with a chance of at most alpha: one may look after every event.

- *harm*: the mean of e(r) over ``RATIOS`` (a mixture, since nobody knows how bad the model is).
- *safe*: 1 / e(harm_ratio), the same game with the two sides exchanged: evidence against "harm_ratio times".
- *rare*: for events too few for ratios: evidence that less than ``rare`` of the sets meet one in their first
  window. Sets are drawn at random, so each is a coin with the same chance.

Sources: ter Schure, Perez-Ortiz, Ly, Grünwald, "The Safe Logrank Test", arXiv:2011.06931; Howard, Ramdas,
McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics
49(2), 2021; Johari, Koomen, Pekelis, Walsh, "Peeking at A/B tests", KDD 2017 (the mixture SPRT).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import OptionError

__all__ = ["RATIOS", "Events", "Evidence", "Urn", "log_rare"]

RATIOS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Equal weights. A coarse grid costs little: between two of its values the evidence is at most some events
late."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Urn:
    """How many sets of one stage are treated, and how many are its control."""

    treated: int
    control: int

    def __post_init__(self) -> None:
        if min(self.treated, self.control) < 0:
            raise OptionError("an urn holds 0 or more sets of each kind")


@dataclass(frozen=True)
class Events:
    """The first events of sets: hours ``(n,)`` float64, whether treated ``(n,)`` bool, index of the urn
    ``(n,)`` int. In the order of time; equal times in any order that does not depend on the arm."""

    time_h: Floats
    treated: NDArray[np.bool_]
    urn: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """Events of several urns, by time."""
        if not parts:
            return cls(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))
        time_h = np.concatenate([part.time_h for part in parts])
        order = np.argsort(time_h, kind="stable")
        treated = np.concatenate([part.treated for part in parts])
        urn = np.concatenate([part.urn for part in parts])
        return cls(time_h[order], treated[order], urn[order])


@dataclass(frozen=True)
class Evidence:
    """After 0, 1, 2, ... events: natural logarithms of e-values, each ``(n + 1,)``."""

    time_h: Floats  # of each event, -inf for "none yet"
    harm: Floats
    safe: Floats

    @classmethod
    def of(cls, events: Events, urns: Sequence[Urn], harm_ratio: float) -> Evidence:
        """Play the game. Raises OptionError if there are more events than sets."""
        logs = log_e(events, urns, (*RATIOS, harm_ratio))
        start = np.full(1, -np.inf)
        mixed = np.logaddexp.reduce(logs[:, :-1], axis=1) - math.log(len(RATIOS))
        return cls(np.concatenate([start, events.time_h]), mixed, -logs[:, -1])

    def at(self, time_h: float) -> tuple[float, float]:
        """(harm, safe) at that time: the most evidence for harm that there ever was, and that for safety
        now."""
        index = int(np.searchsorted(self.time_h, time_h, side="right"))
        return float(self.harm[:index].max()), float(self.safe[index - 1])


def log_e(events: Events, urns: Sequence[Urn], ratios: Sequence[float]) -> Floats:
    """``(n + 1, ratios)``: log e(r) after 0, 1, ... n events."""
    ratio = np.asarray(ratios, np.float64)
    steps = np.zeros((len(events.time_h), len(ratio)))
    for index, urn in enumerate(urns):
        mine = events.urn == index
        treated = events.treated[mine]
        left_treated = urn.treated - (np.cumsum(treated) - treated)
        left_control = urn.control - (np.cumsum(~treated) - ~treated)
        if len(treated) and (left_treated[treated] < 1).any() | (left_control[~treated] < 1).any():
            raise OptionError(
                f"stage {index + 1}: more sets have events than the {urn.treated} treated and {urn.control} "
                "control sets of the urn; count each set once, and only sets of the stage"
            )
        tilted = ratio * left_treated[:, None] + left_control[:, None]
        steps[mine] = np.log((left_treated + left_control)[:, None] / tilted) + treated[:, None] * np.log(
            ratio
        )
    return np.vstack([np.zeros(len(ratio)), np.cumsum(steps, axis=0)])


def log_rare(events: int, sets: int, rare: float) -> float:
    """Log e-value against "at least ``rare`` of the sets meet an event": of ``sets`` sets whose window is
    over, ``events`` did. A likelihood ratio of two coins, the other one a fifth of ``rare``."""
    other = rare / 5
    return events * math.log(other / rare) + (sets - events) * math.log((1 - other) / (1 - rare))
