"""``Policy``: the limits that runs are judged by and what a release must hold, from one TOML file.

    policy = read_policy(Path("device_tests/release.toml"))       # or Policy(): the defaults below

    [quality]
    delta_psnr_y_mean_db = 0.2
    [timing]
    late_share = 0.00333
    [release]
    chipsets = ["synaptics-vs680"]        # each must have cells that pass
    min_rung = "measured"
    [[waivers]]                           # what may fail, until when, and why
    soc = "rockchip-rk3588"
    reason = "driver 0.9.3 fails to submit; fixed in 0.9.8"
    until = "2027-03-31"

Limits of a product (deadline, memory, start) are budgets of its chipset's profile, not of the policy.
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lumavox.errors import OptionError

from ._toml import read
from .cell import Cell, Rung

__all__ = ["Placement", "Policy", "Quality", "Regression", "Release", "Timing", "Waiver", "read_policy"]

SCHEMA = 1


@dataclass(frozen=True)
class Quality:
    """What may be lost against the float32 reference; absolute, never a percentage of a dB (1 % of 33 dB is a
    visible loss). ``model_psnr_y_db``: where only the distance between device and reference is known, it is
    weighed as if the model's own pictures were that near to the truth; higher is stricter."""

    delta_psnr_y_mean_db: float = 0.2
    delta_psnr_y_worst_db: float = 1.0
    delta_si_sdr_db: float = 0.2
    delta_pesq: float = 0.05
    model_psnr_y_db: float = 36.0
    exact_steps: float = 0.0  # engines that must be exact may differ by so many steps


@dataclass(frozen=True)
class Timing:
    """``late_share`` of frames may take longer than their deadline: 1 drop in 10 s of 30 frames a second, as
    Android's media performance class allows under load."""

    late_share: float = 1 / 300
    confidence: float = 0.99  # that the share is above the limit, before a run fails by it
    claim_percentile: float = 95.0  # a run with too few frames to prove it is "semivalid"
    cpu_ratio: float = 1.3  # an accelerator that is not faster than the CPU by that is suspected not to run
    sustained_ratio: float = 1.3  # p99 of the last minute over that of the first


@dataclass(frozen=True)
class Placement:
    """``coverage``: the share of operators that must run on the accelerator that was asked for."""

    coverage: float = 1.0


@dataclass(frozen=True)
class Regression:
    """How two versions are compared (`stats`). ``alpha``: chance of any false alarm among all cells ("holm"),
    or share of false ones among the alarms ("bh"); ``screen``: cells with a p-value below it are run again;
    ``effect_floor``: smaller changes are never alarms; ``target_effect``: what must be found with probability
    ``power``; ``max_runs`` of each arm and stage."""

    alpha: float = 0.005
    screen: float = 0.1
    effect_floor: float = 0.02
    target_effect: float = 0.05
    power: float = 0.9
    correction: Literal["holm", "bh"] = "holm"
    max_runs: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= self.screen < 0.5 or not 0.5 <= self.power < 1:
            raise OptionError(
                "regression: alpha is above 0, screen from alpha to below 0.5, power from 0.5 to below 1"
            )
        if not 0 <= self.effect_floor < self.target_effect:
            raise OptionError(
                f"regression: effect_floor {self.effect_floor} must be below target_effect "
                f"{self.target_effect}: a floor as high as the target misses half of such changes"
            )


@dataclass(frozen=True)
class Release:
    """What the gate asks of a store. Statuses that are not limited here are shown and pass."""

    chipsets: tuple[str, ...] = ()  # must be there, with at least one cell that passes
    min_rung: Rung = Rung.PREDICTED  # cells below it do not count as evidence for the chipsets above
    max_errors: int = 0  # cells that are ERROR or MISS
    max_unproven: int | None = None  # cells that pass without proof that the accelerator ran
    max_semivalid: int | None = None
    healed: Literal["fail", "report"] = "fail"  # a known gap that passes: the profile is out of date
    flaky: Literal["fail", "report"] = "fail"


@dataclass(frozen=True)
class Waiver:
    """Cells, by shell patterns of their parts, whose failure does not stop a release until a day."""

    reason: str
    until: str  # 2027-03-31
    soc: str = "*"
    task: str = "*"
    model: str = "*"
    precision: str = "*"
    preset: str = "*"
    engine: str = "*"
    engine_version: str = "*"
    delegate: str = "*"
    firmware: str = "*"
    driver: str = "*"

    def __post_init__(self) -> None:
        try:
            datetime.date.fromisoformat(self.until)
        except ValueError:
            raise OptionError(f"until: {self.until!r} is not a day like '2027-03-31'") from None
        if not self.reason.strip():
            raise OptionError("reason: a waiver without a reason is not one")

    def covers(self, cell: Cell, today: datetime.date) -> bool:
        """Whether it is about this cell and still holds."""
        if today > datetime.date.fromisoformat(self.until):
            return False
        parts = (f.name for f in dataclasses.fields(self) if f.name not in ("reason", "until"))
        return all(fnmatch.fnmatchcase(getattr(cell, part), getattr(self, part)) for part in parts)


@dataclass(frozen=True)
class Policy:
    """See the module's docstring."""

    schema: int = SCHEMA
    quality: Quality = field(default_factory=Quality)
    timing: Timing = field(default_factory=Timing)
    placement: Placement = field(default_factory=Placement)
    regression: Regression = field(default_factory=Regression)
    release: Release = field(default_factory=Release)
    waivers: tuple[Waiver, ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this version reads policies of schema {SCHEMA}")


def read_policy(path: Path | None) -> Policy:
    """The policy in a file, the default one for None. Raises OptionError that names file and key."""
    return Policy() if path is None else read(Policy, path)
