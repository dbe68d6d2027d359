"""A device that heats up, with a clock of its own: what a `Governor` is proven on. Not a test itself.

Frame times follow the law of the virtual engine's faults (log-normal jitter, a lone tail now and then),
times a factor that rises with the temperature. The oracle knows that factor and the jitter, switches freely
and unseen, and has no forecast to obey. Where the heat is the network's own, it knows only the moment, and
is no oracle.

    result = simulate(Scenario("ramp", headroom=ramp(0.5, 0.95)), seed=1)
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lumavox.governor import Conditions, Governor, Policy, frame_deadline_us
from lumavox.ladder import Ladder

FRAME_RATE = 60.0
JITTER = 0.06
TAIL_EVERY, TAIL_MS = 1500, 20.0
WARM_S = 120.0  # time constant of a device that warms up by its own work
_Z_995 = 2.576  # of a normal distribution
LADDER = Ladder.of("base", "small", "nano")
MEASURED_DB = (2.55, 2.25, 2.20, 0.0)  # over bicubic: what the tiers gain on photographs
EVEN = (1.0, 0.75, 0.5, 0.0)  # a harder scale: every step costs as much


@dataclass(frozen=True)
class Scenario:
    """``headroom`` by second; 1.0 is severe. Times grow by ``slowdown`` from 0.8 to 0.95."""

    name: str
    headroom: Callable[[float], float]
    slowdown: float = 2.2  # at a headroom of 0.95
    base_share: float = 0.6  # of the deadline that the best network takes on the cool device
    shot_s: float | None = 5.0  # mean length of a shot; None: no cuts at all
    seconds: float = 1200.0
    forecast: bool = True  # the device says its headroom, 10 s ahead
    extra: Callable[[float], float] = lambda second: 1.0  # what else makes frames slower
    warms_to: tuple[float, ...] | None = None  # the headroom that each rung leads to, if heat is its own

    def factor(self, second: float, headroom: float) -> float:
        """How much longer frames take than on the cool device."""
        heat = max(0.0, headroom - 0.8) / 0.15
        return (1 + (self.slowdown - 1) * heat) * self.extra(second)


@dataclass
class Result:
    """What came of a scenario. Qualities are means over all frames, on ``MEASURED_DB`` and ``EVEN``."""

    frames: int = 0
    late: int = 0
    at_cut: int = 0
    faded: int = 0
    at_once: int = 0
    most_visible_in_a_minute: int = 0
    seconds: float = 0.0
    quality_db: float = 0.0
    oracle_db: float = 0.0
    quality: float = 0.0
    oracle: float = 0.0
    transient: int = 0
    persistent: int = 0
    timeline: list[tuple[float, int, int, float]] = field(default_factory=list)  # s, rung, oracle's, headroom

    @property
    def late_share(self) -> float:
        """Of all frames."""
        return self.late / self.frames

    @property
    def visible_per_minute(self) -> float:
        """Switches that were not made at a cut."""
        return (self.faded + self.at_once) / (self.seconds / 60)


def ramp(
    low: float, high: float, *, begin: float = 120, rise: float = 240, hold: float = 300
) -> Callable[[float], float]:
    """Cool, slowly hot, hot, slowly cool."""
    seconds = [0, begin, begin + rise, begin + rise + hold, begin + 2 * rise + hold]
    return line(seconds, [low, low, high, high, low])


def waves(low: float, high: float, period: float) -> Callable[[float], float]:
    """Hot and cool again and again."""
    return lambda second: low + (high - low) * 0.5 * (1 - math.cos(2 * math.pi * second / period))


def line(seconds: list[float], values: list[float]) -> Callable[[float], float]:
    """Straight lines through points, constant outside."""

    def value(second: float) -> float:
        i = bisect.bisect_right(seconds, second)
        if i in (0, len(seconds)):
            return values[min(i, len(values) - 1)]
        share = (second - seconds[i - 1]) / (seconds[i] - seconds[i - 1])
        return values[i - 1] + share * (values[i] - values[i - 1])

    return value


def simulate(scenario: Scenario, seed: int = 0, policy: Policy | None = None) -> Result:
    """Play a scenario frame by frame. A late frame comes out by the conventional filter: quality 0."""
    deadline_us = frame_deadline_us(60, FRAME_RATE)
    governor = Governor(LADDER, deadline_us, policy)
    shots = random.Random(f"shots {seed}")
    next_cut_s = shots.expovariate(1 / scenario.shot_s) if scenario.shot_s else math.inf
    base_ms = scenario.base_share * deadline_us / 1e3
    costs_ms = [base_ms * rung.cost for rung in LADDER]
    result = Result(frames=int(scenario.seconds * FRAME_RATE), seconds=scenario.seconds)
    jitter = np.random.default_rng(seed).lognormal(0.0, JITTER, result.frames + 1).tolist()
    interval_ms, busy_ms, busy_rung = 1e3 / FRAME_RATE, 0.0, 0
    visible: list[float] = []
    headroom, slope = scenario.headroom(0.0), 0.0
    for call in range(1, result.frames + 1):
        now_s = call / FRAME_RATE
        cut = now_s >= next_cut_s
        if cut and scenario.shot_s:
            next_cut_s = now_s + shots.expovariate(1 / scenario.shot_s)
        if scenario.warms_to is None:
            headroom = scenario.headroom(now_s)
        else:
            slope = (scenario.warms_to[governor.rung] - headroom) / WARM_S
            headroom += slope / FRAME_RATE
        if call % int(FRAME_RATE) == 0:
            ahead = scenario.headroom(now_s + 10) if scenario.warms_to is None else headroom + 10 * slope
            ahead = ahead if scenario.forecast else None
            governor.sense(Conditions(thermal_forecast=ahead))
        before = governor.switches.faded + governor.switches.at_once
        step = governor.next(now_s, cut)
        visible += [now_s] * (governor.switches.faded + governor.switches.at_once - before)
        factor = scenario.factor(now_s, headroom)
        own_ms = costs_ms[step.rung] * factor * jitter[call] + TAIL_MS * (call % TAIL_EVERY == 0)
        if busy_ms > 0 and busy_rung == step.rung:
            time_ms = math.inf  # a late call still runs: nothing new is begun
        else:
            time_ms = busy_ms + own_ms  # after a switch the old network may still hold the engine
            busy_ms, busy_rung = time_ms, step.rung
        late = time_ms * 1e3 > deadline_us
        busy_ms = max(0.0, busy_ms - interval_ms)
        governor.add(deadline_us if late else time_ms * 1e3, late)
        best = _oracle(costs_ms, factor, deadline_us / 1e3)
        share = 0.0 if late else step.share
        result.late += late
        result.quality_db += share * MEASURED_DB[step.rung] / result.frames
        result.oracle_db += MEASURED_DB[best] / result.frames
        result.quality += share * EVEN[step.rung] / result.frames
        result.oracle += EVEN[best] / result.frames
        if call % int(FRAME_RATE) == 0:
            result.timeline.append((now_s, step.rung, best, headroom))
    switches = governor.switches
    result.at_cut, result.faded, result.at_once = switches.at_cut, switches.faded, switches.at_once
    result.transient, result.persistent = governor.misses.transient, governor.misses.persistent
    result.most_visible_in_a_minute = max((sum(t <= s < t + 60 for s in visible) for t in visible), default=0)
    return result


def _oracle(costs_ms: list[float], factor: float, deadline_ms: float) -> int:
    """The best rung of which at most 0.5 % of the frames are late at this moment."""
    for rung, cost_ms in enumerate(costs_ms):
        if cost_ms * factor * math.exp(_Z_995 * JITTER) <= deadline_ms:
            return rung
    return len(costs_ms) - 1


SCENARIOS = (
    Scenario("thermal ramp", ramp(0.5, 0.95)),
    Scenario("thermal ramp, no cuts", ramp(0.5, 0.95), shot_s=None),
    Scenario("thermal ramp, no forecast", ramp(0.5, 0.95), forecast=False),
    Scenario("thermal ramp, no forecast, no cuts", ramp(0.5, 0.95), forecast=False, shot_s=None),
    Scenario("steep ramp to the filter", ramp(0.5, 0.95, rise=90), slowdown=12.0),
    Scenario("waves of 4 minutes", waves(0.55, 0.95, 240)),
    Scenario("another program starts and ends", lambda s: 0.5, extra=lambda s: 2.2 if 300 < s < 700 else 1.0),
    Scenario("cool device", lambda s: 0.5),
)
"""What the governor has to master."""
