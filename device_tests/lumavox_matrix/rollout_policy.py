"""``RolloutPolicy``: in which steps a model reaches a fleet, and what must not get worse, from one TOML file.

    policy = read_rollout_policy(Path("device_tests/rollout.toml"))      # or RolloutPolicy(): the same

    [[stages]]
    share = 0.01            # of all sets have the new model from here on
    control = 0.04          # of all sets are watched beside them and keep the old one; drawn afresh
    [guards.crash]
    harm_ratio = 2.5        # times as many sets: what must be ruled out before the next step
    [limits]
    miss_share = 0.00333    # a session with more late frames is an event of the guard "miss"

Every guard is the same question: *do sets with the new model have their first bad event sooner than sets that
keep the old one?* `rollout_evidence` answers it; `rollout` decides.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path

from lumavox.errors import OptionError

from ._toml import read

__all__ = ["Emergency", "Guard", "Guards", "Limits", "RolloutPolicy", "Stage", "read_rollout_policy"]

SCHEMA = 1


@dataclass(frozen=True)
class Stage:
    """``share`` of all sets have the new model once this stage has begun; ``control`` of all sets are
    compared with those that join in this stage. The stage lasts at least ``min_hours``; undecided for
    ``max_hours`` means stop."""

    share: float
    control: float
    min_hours: float = 36.0
    max_hours: float = 336.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.control < 1:
            raise OptionError("a stage's share is above 0 to 1, and its control above 0 to below 1")
        if not 0 <= self.min_hours <= self.max_hours:
            raise OptionError(f"min_hours {self.min_hours:g} must be from 0 to max_hours {self.max_hours:g}")


@dataclass(frozen=True)
class Guard:
    """``harm_ratio``: so many times the old model's rate of first events is harm. ``rare``: an event that
    meets provably less than this share of the sets in their first ``RolloutPolicy.window_hours`` is no reason
    to wait, however unsure the ratio is."""

    harm_ratio: float = 2.5
    rare: float = 0.02

    def __post_init__(self) -> None:
        if not 1 < self.harm_ratio <= 100 or not 0 < self.rare < 0.5:
            raise OptionError("harm_ratio is above 1 to 100, rare is above 0 to below 0.5")


@dataclass(frozen=True)
class Guards:
    """What is watched; an event is the first one of a set since its stage began (`rollout_records`)."""

    crash: Guard = Guard(rare=0.015)  # a session that ended by a crash of player or worker
    bypass: Guard = Guard()  # a session with more frames by the conventional path than the limit
    miss: Guard = Guard()  # a session with more late frames than the limit
    av: Guard = Guard()  # a session whose sound is off its picture by more than the limits
    self_check: Guard = Guard()  # a golden vector that did not come out
    silent: Guard = Guard(harm_ratio=2.0)  # no record at all within `RolloutPolicy.window_hours`

    def items(self) -> tuple[tuple[str, Guard], ...]:
        """(name, guard) of each."""
        return tuple((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))


@dataclass(frozen=True)
class Limits:
    """Where a session becomes an event. Late frames: Android's media performance class; sound and picture:
    the default tolerance of CTA WAVE."""

    bypass_share: float = 0.05
    miss_share: float = 1 / 300
    av_early_ms: float = 40.0
    av_late_ms: float = 120.0


@dataclass(frozen=True)
class Emergency:
    """Stop at once, without statistics, if ``share`` of at least ``sets`` sets that reported have crashed."""

    share: float = 0.2
    sets: int = 30


@dataclass(frozen=True)
class RolloutPolicy:
    """``alpha``: chance that a harmless model is ever stopped by the guards, all of them and all stages
    together; ``beta``: chance that a guard takes harm of its ratio for harmless; ``must_report``: share of a
    stage's new sets that must have sent a record before the next stage."""

    schema: int = SCHEMA
    stages: tuple[Stage, ...] = (
        Stage(0.01, 0.04), Stage(0.05, 0.15), Stage(0.25, 0.30), Stage(1.0, 0.05)
    )  # fmt: skip
    guards: Guards = Guards()
    limits: Limits = Limits()
    emergency: Emergency = Emergency()
    alpha: float = 0.003
    beta: float = 0.01
    window_hours: float = 24.0
    must_report: float = 0.7

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this version reads schema {SCHEMA} only")
        if not 0 < self.alpha < 0.5 or not 0 < self.beta < 0.5 or not 0 <= self.must_report <= 1:
            raise OptionError("alpha and beta are above 0 to below 0.5, must_report from 0 to 1")
        if any(stage.min_hours < self.window_hours for stage in self.stages):
            raise OptionError(
                f"stages: min_hours must be at least window_hours ({self.window_hours:g}): before that it is "
                "not known which sets are silent"
            )
        shares = [stage.share for stage in self.stages]
        if not shares or any(a >= b for a, b in itertools.pairwise(shares)) or shares[-1] != 1.0:
            raise OptionError(f"stages: shares rise to 1.0, got {shares}")
        control = sum(stage.control for stage in self.stages)
        before_last = shares[-2] if len(shares) > 1 else 0.0
        if before_last + control >= 1:
            raise OptionError(
                f"stages: controls ({control:g} in all) are fresh sets of each stage; with the "
                f"{before_last:g} treated before the last stage they must leave some sets over"
            )

    def arms(self, stage: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ranks (from, to) of the sets that join in ``stage`` (from 0), and of its control.

        A set's rank is a number from 0 to 1 that is drawn once (`rollout_state.rank`). Sets join from below;
        controls are cut from above, each stage's its own, so that no set is compared twice.
        """
        above = 1.0 - sum(each.control for each in self.stages[:stage])
        control = (above - self.stages[stage].control, above)
        last = stage == len(self.stages) - 1
        joined = (
            self.stages[stage - 1].share if stage else 0.0,
            control[0] if last else self.stages[stage].share,
        )
        return joined, control


def read_rollout_policy(path: Path | None) -> RolloutPolicy:
    """The policy of a TOML file, or the default one. Raises OptionError that names file, key and nearest
    key."""
    return RolloutPolicy() if path is None else read(RolloutPolicy, path)
