"""``decide``: may a model go on to the next stage of its rollout, must it wait, or is it stopped?

    decision = decide(policy, look)          # pure: a look is what is known of the fleet at one time
    decision.action, decision.reasons        # "stop", ("crash: ...",)

- **stop** if the evidence that a guard got worse reaches its threshold, in an emergency, by order, and if a
  stage is still undecided after its longest time: what is not known to be harmless is not rolled out.
- **advance** if every guard is known to be harmless, enough new sets sent records, and the stage had its
  time.
- **hold** in between. **complete** is an advance from the last stage.

Guards share ``alpha`` equally (Bonferroni), so the chance that a harmless model is stopped by any of them at
any time of the whole rollout is at most ``alpha``. `rollout_simulator` measures it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .rollout_policy import RolloutPolicy

__all__ = ["Decision", "GuardLook", "Look", "Verdict", "decide"]

Action = Literal["stop", "hold", "advance", "complete"]
Verdict = Literal["harm", "harmless", "rare", "open"]


@dataclass(frozen=True)
class GuardLook:
    """One guard at one time: sets with an event in both arms, and natural logarithms of e-values."""

    name: str
    treated_events: int
    control_events: int
    log_harm: float
    log_safe: float
    log_rare: float


@dataclass(frozen=True)
class Look:
    """What is known at one time. ``treated_sets`` and ``reported_sets`` are those of the current stage;
    ``all_reported_sets`` and ``crashed_sets`` those of all stages that have the new model."""

    stage: int  # from 0
    hours: float  # since the stage began
    treated_sets: int
    reported_sets: int
    all_reported_sets: int
    crashed_sets: int
    guards: tuple[GuardLook, ...]
    stop_order: str | None = None  # why a person stopped it


@dataclass(frozen=True)
class Decision:
    """``verdicts``: of each guard, in the look's order."""

    action: Action
    reasons: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


def decide(policy: RolloutPolicy, look: Look) -> Decision:
    """What to do now."""
    verdicts = tuple(_verdict(policy, guard) for guard in look.guards)
    stops = _stops(policy, look, verdicts)
    if stops:
        return Decision("stop", stops, verdicts)
    waits = _waits(policy, look, verdicts)
    stage = policy.stages[look.stage]
    if waits and look.hours >= stage.max_hours:
        undecided = f"not known to be harmless after {look.hours:.0f} h (max_hours {stage.max_hours:g})"
        return Decision("stop", (undecided, *waits), verdicts)
    if waits:
        return Decision("hold", waits, verdicts)
    last = look.stage == len(policy.stages) - 1
    return Decision("complete" if last else "advance", ("every guard is known to be harmless",), verdicts)


def _verdict(policy: RolloutPolicy, guard: GuardLook) -> Verdict:
    if guard.log_harm >= math.log(len(policy.guards.items()) / policy.alpha):
        return "harm"
    if guard.log_safe >= math.log(1 / policy.beta):
        return "harmless"
    return "rare" if guard.log_rare >= math.log(1 / policy.beta) else "open"


def _stops(policy: RolloutPolicy, look: Look, verdicts: tuple[Verdict, ...]) -> tuple[str, ...]:
    found = [look.stop_order] if look.stop_order is not None else []
    found += [
        f"{guard.name}: {guard.treated_events} sets with the new model and {guard.control_events} with the "
        f"old one had an event; e-value {_e_value(guard.log_harm)} for harm, "
        f"{len(verdicts) / policy.alpha:.0f} stop"
        for guard, verdict in zip(look.guards, verdicts)
        if verdict == "harm"
    ]
    least = max(policy.emergency.sets, 1)
    if look.all_reported_sets >= least:
        share = look.crashed_sets / look.all_reported_sets
        if share >= policy.emergency.share:
            found.append(
                f"emergency: {look.crashed_sets} of {look.all_reported_sets} sets crashed "
                f"({share:.0%}, the limit is {policy.emergency.share:.0%})"
            )
    return tuple(found)


def _waits(policy: RolloutPolicy, look: Look, verdicts: tuple[Verdict, ...]) -> tuple[str, ...]:
    stage = policy.stages[look.stage]
    found = []
    if look.hours < stage.min_hours:
        found.append(f"the stage lasts {stage.min_hours:g} h at least, {look.hours:.1f} h are over")
    if look.reported_sets < policy.must_report * look.treated_sets or not look.treated_sets:
        found.append(
            f"{look.reported_sets} of {look.treated_sets} new sets sent records, "
            f"{policy.must_report:.0%} must"
        )
    guards = dict(policy.guards.items())
    for guard, verdict in zip(look.guards, verdicts):
        if verdict == "open":
            ratio = guards[guard.name].harm_ratio
            found.append(
                f"{guard.name}: {ratio:g} times as many is not ruled out yet (e-value "
                f"{_e_value(guard.log_safe)} of {1 / policy.beta:.0f})"
            )
    return tuple(found)


def _e_value(log_e: float) -> str:
    return f"{math.exp(log_e):.3g}" if log_e < 15 else f"1e{log_e / math.log(10):.0f}"
