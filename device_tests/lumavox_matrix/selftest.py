"""``self_test``: how often is the gate wrong? Measured by injected regressions, with fixed seeds.

    outcome = self_test(Regression(), cells=50)
    outcome.false_alarms, outcome.power, outcome.screen_runs
    outcome.holds                                # false alarms <= 1 %, power >= 90 %

Runs are drawn as real ones are: a level of its own for each run (3 %), a p99 of 300 frames that vary by 10 %,
a drift of the room over each session (3 %), and now and then a run that something disturbed. Their order and
their number are what `stats` asks for; `stats.decide` itself is what is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._extras import required
from .policy import Regression
from .stats import DEFAULT_SD_LOG, Arms, Change, decide, interleaved, runs_needed

__all__ = ["Noise", "SelfTest", "self_test"]

MAX_FALSE_ALARMS, MIN_POWER = 0.01, 0.9
_PURPOSE = "measuring the gate"
Runs = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Of run p99s. ``run_cv``: between runs; ``frame_cv``: between the frames of a run; ``drift``: over a
    session; ``disturbed``: share of runs that take longer by ``disturbance``."""

    run_cv: float = 0.03
    frame_cv: float = 0.10
    frames: int = 300
    drift: float = 0.03
    disturbed: float = 0.01
    disturbance: float = 0.10

    def session(self, cells: int, runs: int, rng: np.random.Generator) -> tuple[Runs, Runs]:
        """log p99 of the interleaved runs of both arms, each ``(cells, runs)``.

        The p99 of n independent frames is distributed exactly as the quantile function at a Beta variable:
        drawing that is the same as drawing the frames, and 300 times faster.
        """
        in_b = np.array([letter == "B" for letter in interleaved(runs)])
        rank = math.ceil(0.99 * self.frames)
        at = rng.beta(rank, self.frames - rank + 1, (cells, 2 * runs))
        log = math.log1p(self.frame_cv) * required("scipy.stats", _PURPOSE).norm.ppf(at)
        log += rng.normal(0.0, math.log1p(self.run_cv), at.shape)
        log += np.linspace(0.0, 1.0, 2 * runs) * rng.uniform(-self.drift, self.drift, (cells, 1))
        log += math.log1p(self.disturbance) * (rng.random(at.shape) < self.disturbed)
        return log[:, ~in_b], log[:, in_b]


@dataclass(frozen=True)
class SelfTest:
    """``false_alarms``: share of whole comparisons without any change that raise at least one alarm;
    ``power``: share of injected changes that are found; ``runs_per_cell``: of each arm, both stages, mean."""

    cells: int
    trials: int
    screen_runs: int
    runs_per_cell: float
    effect: float
    false_alarms: float
    power: float
    power_at: tuple[tuple[float, float], ...]  # (effect, share found), for other effects
    frames_false_alarms: float  # of a test on frames, per cell, for comparison

    @property
    def holds(self) -> bool:
        """Whether the gate may be trusted."""
        return self.false_alarms <= MAX_FALSE_ALARMS and self.power >= MIN_POWER

    def text(self) -> str:
        """What it prints."""
        others = ", ".join(f"+{effect:.0%}: {share:.1%}" for effect, share in self.power_at)
        return (
            f"gate self-test: {self.cells} cells, {self.trials} comparisons; {self.screen_runs} interleaved "
            f"runs of each arm, then suspects again ({self.runs_per_cell:.1f} runs of each arm on average)\n"
            f"  false alarms in {self.false_alarms:.2%} of comparisons (at most {MAX_FALSE_ALARMS:.0%})\n"
            f"  power {self.power:.1%} for +{self.effect:.0%} p99 (at least {MIN_POWER:.0%}); {others}\n"
            f"  a test on frames instead of runs: {self.frames_false_alarms:.0%} false alarms per cell"
        )


def self_test(
    rule: Regression | None = None,
    *,
    cells: int = 50,
    trials: int = 400,
    noise: Noise | None = None,
    seed: int = 1,
) -> SelfTest:
    """Simulate ``trials`` comparisons of ``cells`` cells without a change, and a quarter as many with changes
    in a tenth of the cells, for the target effect and others."""
    rule, noise = rule or Regression(), noise or Noise()
    rng = np.random.default_rng(seed)
    changed = max(1, cells // 10)
    quiet = [_campaign(noise, rule, cells, 0, 0.0, rng) for _ in range(trials)]
    effects = (rule.effect_floor, rule.target_effect, 2 * rule.target_effect)
    found = {}
    for effect in effects:
        loud = [_campaign(noise, rule, cells, changed, effect, rng) for _ in range(max(1, trials // 4))]
        found[effect] = float(np.mean([[c.what == "slower" for c in made[:changed]] for made in loud]))
    return SelfTest(
        cells, trials, runs_needed(DEFAULT_SD_LOG, rule.screen, rule),
        runs_per_cell=float(np.mean([[c.runs_a for c in made] for made in quiet])),
        effect=rule.target_effect,
        false_alarms=float(np.mean([any(c.what == "slower" for c in made) for made in quiet])),
        power=found[rule.target_effect],
        power_at=tuple((e, s) for e, s in found.items() if e != rule.target_effect),
        frames_false_alarms=_frames_false_alarms(noise, rule, rng),
    )  # fmt: skip


def _campaign(
    noise: Noise, rule: Regression, cells: int, changed: int, effect: float, rng: np.random.Generator
) -> list[Change]:
    """Run what `decide` asks for until it asks for nothing; the first ``changed`` cells of B are slower."""
    arms = [Arms((), ())] * cells
    while True:
        changes = decide(arms, rule)
        wanted = [c.more_runs for c in changes]
        if not any(wanted):
            return changes
        arms = _run_more(arms, wanted, noise, changed, effect, rng)


def _run_more(
    arms: Sequence[Arms],
    wanted: Sequence[int],
    noise: Noise,
    changed: int,
    effect: float,
    rng: np.random.Generator,
) -> list[Arms]:
    made = list(arms)
    for runs in set(wanted) - {0}:
        these = [i for i, n in enumerate(wanted) if n == runs]
        a, b = noise.session(len(these), runs, rng)
        b[[i < changed for i in these]] += math.log1p(effect)
        for i, more_a, more_b in zip(these, np.exp(a), np.exp(b)):
            made[i] = Arms((*arms[i].a_us, *map(float, more_a)), (*arms[i].b_us, *map(float, more_b)))
    return made


def _frames_false_alarms(noise: Noise, rule: Regression, rng: np.random.Generator, cells: int = 200) -> float:
    """Share of cells without a change in which Welch's test on all frames of 8 runs per arm raises alarm."""
    level = rng.normal(0.0, math.log1p(noise.run_cv), (cells, 2, 8, 1))
    frames = level + rng.normal(0.0, math.log1p(noise.frame_cv), (cells, 2, 8, noise.frames))
    flat = frames.reshape(cells, 2, -1)
    p = required("scipy.stats", _PURPOSE).ttest_ind(flat[:, 0], flat[:, 1], axis=1, equal_var=False).pvalue
    return float(np.mean(p <= rule.alpha))
