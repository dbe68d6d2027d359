"""``simulate``: a rollout over a simulated fleet: how many sets meet a bad model before it is stopped?

    outcome = simulate(policy, Fleet(), BAD["crash +1 %"], RULES["lumavox"], seed=1)
    outcome.met, outcome.stopped_by          # 212 sets of 100,000, "crash"

Sets differ: how often they are switched on, how crash-prone each one is (a gamma-distributed factor for each
kind of event), when they ask for the update and send their first record, when records arrive, and some are
never on. A model adds to the chance per session of each kind of event, also late or for some chipsets only.
All rules see the same fleet; the naive ones are those that rollout tools offer: a threshold on a share, a
ratio, and a test for one look that is looked at every hour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .rollout import Decision, GuardLook, Look, decide
from .rollout_evidence import Events, Evidence, Urn, log_rare
from .rollout_policy import Guards, RolloutPolicy

__all__ = ["BAD", "GOOD", "RULES", "Fleet", "Model", "Outcome", "Rule", "simulate"]

Floats = NDArray[np.float64]
GUARDS = tuple(name for name, _ in Guards().items())


@dataclass(frozen=True)
class Fleet:
    """Chances are per session and those of the old model, a mean over sets; ``self_check`` is per set."""

    sets: int = 100_000
    sessions_per_day: float = 3.0
    activity_sigma: float = 0.8  # of the logarithm of a set's sessions a day
    frailty_shape: float = 0.5  # of the gamma factor: 0.5 means that a few sets have most of the events
    fetch_hours: float = 8.0  # mean time until a set asks for updates
    report_hours: float = 2.0  # mean delay of a record
    off_share: float = 0.15  # of the sets are never on
    crash: float = 0.002
    bypass: float = 0.010
    miss: float = 0.015
    av: float = 0.003
    self_check: float = 0.0005


@dataclass(frozen=True)
class Model:
    """What a new model adds to the chances, and for which share of the sets (a chipset); ``after_hours``:
    crashes begin so long after the update (a leak); ``bricked``: share of the sets that never report
    again."""

    name: str
    crash: float = 0.0
    bypass: float = 0.0
    miss: float = 0.0
    av: float = 0.0
    self_check: float = 0.0
    bricked: float = 0.0
    share_of_sets: float = 1.0
    after_hours: float = 0.0


GOOD = Model("no change")
BAD: Mapping[str, Model] = MappingProxyType({
    model.name: model
    for model in (
        Model("crash +1 %", crash=0.01),
        Model("crash +0.5 %", crash=0.005),
        Model("crash +5 %", crash=0.05),
        Model("crash +20 % on a chipset of 10 % of the sets", crash=0.2, share_of_sets=0.1),
        Model("crash +1 % from 48 h on", crash=0.01, after_hours=48.0),
        Model("late frames +3 %", miss=0.03),
        Model("sound off picture +1 %", av=0.01),
        Model("5 % of the sets never report again", bricked=0.05),
    )
})  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """``met``: sets that had the new model when it was stopped, or when the rollout was complete."""

    met: int
    stopped: bool
    stopped_by: str  # the first reason's guard
    stage: int
    hours: float  # since the rollout began


@dataclass(frozen=True)
class Stratum:
    """The sets of one stage, as sorted times in hours since the rollout began. Pairs are (treated,
    control)."""

    began_h: float
    urn: Urn
    fetch_h: Floats  # of the treated
    report_h: tuple[Floats, Floats]  # the first record of each set
    seen_h: Mapping[str, tuple[Floats, Floats]]  # first events, when they are known
    windows_h: Mapping[str, tuple[Floats, Floats]]  # ends of the treated sets' windows: all, with an event

    def events(self, guard: str, urn: int, until_h: float) -> Events:
        """First events in the order in which they are known."""
        treated_h, control_h = (times[: _until(times, until_h)] for times in self.seen_h[guard])
        time_h = np.concatenate([treated_h, control_h])
        order = np.argsort(time_h, kind="stable")
        return Events(time_h[order], order < len(treated_h), np.full(len(order), urn))

    def happened(self, guard: str, now: float) -> tuple[int, int]:
        """Sets of both arms whose event is known."""
        treated_h, control_h = self.seen_h[guard]
        return _until(treated_h, now), _until(control_h, now)


Rule = Callable[[RolloutPolicy, Sequence[Stratum], float], Decision]
"""Policy, the strata so far (the last one is the current stage) and the time: what to do."""


def simulate(
    policy: RolloutPolicy, fleet: Fleet, model: Model, rule: Callable[[], Rule], *, seed: int,
    look_hours: float = 1.0,
) -> Outcome:  # fmt: skip
    """One rollout. ``rule`` makes a rule, which may keep what it has computed. Equal seeds are equal
    fleets."""
    judge, now, strata = rule(), 0.0, list[Stratum]()
    others: list[Floats] = []
    for stage in range(len(policy.stages)):
        rng = np.random.default_rng([seed, stage])
        joined, control = policy.arms(stage)
        new, kept = (round((to - start) * fleet.sets) for start, to in (joined, control))
        strata.append(_stratum(policy, fleet, model, now, new, kept, rng))
        if stage == len(policy.stages) - 1:  # controls of earlier stages get the model too, uncounted
            rest = fleet.sets - sum(s.urn.treated for s in strata) - kept
            others.append(_sorted(_fetches(fleet, now, rest, rng)))
        while True:
            now += look_hours
            decision = judge(policy, strata, now)
            if decision.action != "hold":
                break
        if decision.action == "stop":
            break
    met = sum(_until(times, now) for times in (*(s.fetch_h for s in strata), *others))
    stopped = decision.action == "stop"
    by = decision.reasons[0].partition(":")[0] if stopped else ""
    return Outcome(met, stopped, by, stage, now)


def _fetches(fleet: Fleet, began_h: float, sets: int, rng: np.random.Generator) -> Floats:
    fetch_h = began_h + rng.exponential(fleet.fetch_hours, sets)
    return np.where(rng.random(sets) < fleet.off_share, np.inf, fetch_h)


def _stratum(
    policy: RolloutPolicy, fleet: Fleet, model: Model, began_h: float, treated: int, control: int,
    rng: np.random.Generator,
) -> Stratum:  # fmt: skip
    sets = treated + control
    new = np.arange(sets) < treated
    spread = fleet.activity_sigma
    per_hour = fleet.sessions_per_day / 24 * np.exp(rng.normal(-(spread**2) / 2, spread, sets))
    fetch_h = _fetches(fleet, began_h, sets, rng)
    hit = new & (rng.random(sets) < model.share_of_sets)
    bricked = new & (rng.random(sets) < model.bricked)
    event_h: dict[str, Floats] = {}
    for guard in ("crash", "bypass", "miss", "av"):
        frailty = rng.gamma(fleet.frailty_shape, 1 / fleet.frailty_shape, sets)
        before = _rate(per_hour, getattr(fleet, guard) * frailty)
        extra = np.where(hit, getattr(model, guard), 0.0)
        after = before + _rate(per_hour, extra)
        delay = model.after_hours if guard == "crash" else 0.0
        event_h[guard] = fetch_h + _first(rng.exponential(1.0, sets), before, after, delay)
    failed = rng.random(sets) < fleet.self_check + np.where(hit, model.self_check, 0.0)
    event_h["self_check"] = np.where(failed, fetch_h, np.inf)
    event_h = {guard: np.where(bricked, np.inf, times) for guard, times in event_h.items()}
    report_h = np.where(bricked, np.inf, fetch_h + rng.exponential(fleet.report_hours, sets))
    silent_at = began_h + policy.window_hours
    event_h["silent"] = np.where(report_h > silent_at, silent_at, np.inf)
    seen_h = {guard: times + rng.exponential(fleet.report_hours, sets) for guard, times in event_h.items()}
    seen_h["silent"] = event_h["silent"] + rng.random(sets) * 1e-6  # all at once, in random order
    windows_h = {}
    for guard, times in seen_h.items():
        ends = (began_h if guard == "silent" else fetch_h[new]) + np.full(treated, policy.window_hours)
        windows_h[guard] = _sorted(ends), _sorted(ends[times[new] <= ends + 1e-6])
    pairs = {guard: (_sorted(times[new]), _sorted(times[~new])) for guard, times in seen_h.items()}
    reports = _sorted(report_h[new]), _sorted(report_h[~new])
    return Stratum(began_h, Urn(treated, control), _sorted(fetch_h[new]), reports, pairs, windows_h)


def _sorted(times: Floats) -> Floats:
    return np.sort(times[np.isfinite(times)])


def _until(times: Floats, now: float) -> int:
    return int(np.searchsorted(times, now, side="right"))


def _rate(per_hour: Floats, chance: Floats) -> Floats:
    """Events per hour where a session has one with this chance."""
    return per_hour * -np.log1p(-np.minimum(chance, 0.95))


def _first(unit: Floats, before: Floats, after: Floats, delay_h: float) -> Floats:
    """The time of the first event: ``unit`` is a unit exponential variable, the rate changes after
    ``delay_h``."""
    spent = before * delay_h
    with np.errstate(divide="ignore"):
        return np.where(unit < spent, unit / before, delay_h + (unit - spent) / after)


AHEAD_H = 48.0
"""Evidence is computed for so many hours at a time."""

NO_EVIDENCE = Evidence(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass
class Sequential:
    """The rule of `rollout.decide`."""

    _known: dict[str, tuple[int, float, Evidence]] = field(default_factory=dict)

    def __call__(self, policy: RolloutPolicy, strata: Sequence[Stratum], now: float) -> Decision:
        last = strata[-1]
        reported = [_until(s.report_h[0], now) for s in strata]
        crashed = sum(s.happened("crash", now)[0] for s in strata)
        guards = tuple(self._guard(policy, strata, name, now) for name in GUARDS)
        look = Look(
            len(strata) - 1,
            now - last.began_h,
            last.urn.treated,
            reported[-1],
            sum(reported),
            crashed,
            guards,
        )
        return decide(policy, look)

    def _guard(self, policy: RolloutPolicy, strata: Sequence[Stratum], name: str, now: float) -> GuardLook:
        guard = getattr(policy.guards, name)
        strata_then, until_h, evidence = self._known.get(name, (0, 0.0, NO_EVIDENCE))
        if strata_then != len(strata) or now > until_h:
            until_h = now + AHEAD_H
            events = Events.joined([s.events(name, i, until_h) for i, s in enumerate(strata)])
            evidence = Evidence.of(events, [s.urn for s in strata], guard.harm_ratio)
            self._known[name] = len(strata), until_h, evidence
        harm, safe = evidence.at(now)
        happened = [s.happened(name, now) for s in strata]
        sets, events_in_time = (sum(_until(s.windows_h[name][i], now) for s in strata) for i in (0, 1))
        return GuardLook(
            name, sum(t for t, _ in happened), sum(c for _, c in happened), harm, safe,
            log_rare(events_in_time, sets, guard.rare),
        )  # fmt: skip


@dataclass(frozen=True)
class Naive:
    """A stage of fixed length; ``alarm(treated_events, treated_sets, control_events, control_sets)``
    stops."""

    alarm: Callable[[int, int, int, int], bool]
    guards: tuple[str, ...] = GUARDS
    hours: float = 24.0

    def __call__(self, policy: RolloutPolicy, strata: Sequence[Stratum], now: float) -> Decision:
        n_t, n_c = (sum(_until(s.report_h[arm], now) for s in strata) for arm in (0, 1))
        for guard in self.guards:
            counts = [s.happened(guard, now) for s in strata]
            if self.alarm(sum(t for t, _ in counts), n_t, sum(c for _, c in counts), n_c):
                return Decision("stop", (f"{guard}: above the threshold",), ())
        if now - strata[-1].began_h < self.hours:
            return Decision("hold", (), ())
        return Decision("complete" if len(strata) == len(policy.stages) else "advance", (), ())


def _share_of_five_percent(k_t: int, n_t: int, k_c: int, n_c: int) -> bool:
    return n_t >= 100 and k_t > 0.05 * n_t


def _twice_the_control(k_t: int, n_t: int, k_c: int, n_c: int) -> bool:
    return k_t >= 5 and n_c > 0 and k_t / n_t > 2 * k_c / n_c


def _z_test(k_t: int, n_t: int, k_c: int, n_c: int) -> bool:
    """Two proportions, one-sided at 1 %, with at least 5 events."""
    if min(n_t, n_c) < 1 or k_t + k_c < 5:
        return False
    pooled = min((k_t + k_c) / (n_t + n_c), 1.0)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_t + 1 / n_c))
    return error > 0 and (k_t / n_t - k_c / n_c) / error > 2.326


RULES: Mapping[str, Callable[[], Rule]] = MappingProxyType({
    "lumavox": Sequential,
    "stop at 5 % of sets crashed": lambda: Naive(_share_of_five_percent, ("crash",)),
    "stop at twice the control": lambda: Naive(_twice_the_control),
    "z-test at 1 %, every hour": lambda: Naive(_z_test),
})  # fmt: skip
