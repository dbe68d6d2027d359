"""``Governor``: which rung of a quality ladder to run for the next frame, so that frames are in time.

It steps down on late tails, a hot forecast or memory pressure, and up again when there was room for long
enough. It switches at scene cuts, where a switch cannot be seen; without a cut it fades, and only an engine
that is already late is left at once. It is pure policy: it has no clock, no thread and no engine.

    governor = Governor(Ladder.of("base", "small", "nano"), deadline_us=frame_deadline_us(60, 60))
    for frame in frames:
        step = governor.next(now_s, cut=is_cut)         # run step.rung; step.share of its detail is shown
        governor.add(time_us, late=False)
        governor.sense(Conditions(thermal_forecast=0.8))   # about once per second

The forecast is that of Android's ``getThermalHeadroom``: 1.0 is where throttling becomes severe.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from ._miss_counter import MissCounter
from .errors import OptionError
from .ladder import Ladder

__all__ = ["Conditions", "Governor", "Policy", "Step", "Switches", "frame_deadline_us"]

_LONE_FRAMES = 3  # a hiccup delays its own frame and one or two after it; that is no reason to step
_MIN_SAMPLES = 20
_RECENT_S = 0.25  # before a switch: how slow the device is just now


def frame_deadline_us(display_hz: float, frame_rate: float, reserve_us: float = 0.0) -> float:
    """The time there is for each frame on a display that shows pictures every ``1 / display_hz`` seconds.

    Frames stay on the screen for whole intervals; the shortest stay counts: 24 frames per second on 60 Hz
    stay for 2 or 3 intervals, so each may take 2. ``reserve_us`` is kept back for decoding and showing.
    Raises OptionError where nothing is left.
    """
    if not (display_hz > 0 and frame_rate > 0 and math.isfinite(display_hz / frame_rate)):
        raise OptionError(f"display of {display_hz} Hz, {frame_rate} frames per second: both are above 0")
    intervals = max(1, math.floor(display_hz / frame_rate + 1e-3))
    left_us = intervals * 1e6 / display_hz - reserve_us
    if left_us <= 0:
        raise OptionError(
            f"a reserve of {reserve_us:g} us leaves nothing of {intervals} x 1/{display_hz:g} s"
        )
    return left_us


@dataclass(frozen=True)
class Policy:
    """When to step. Times are shares of the deadline, forecasts are thermal headroom."""

    tail_percent: float = 98.0  # which of the recent times must fit: lone hiccups do not count
    window_s: float = 2.0
    down_at: float = 0.90  # a tail above this steps down ...
    fit: float = 0.80  # ... to the best rung whose tail is predicted below this
    up_at: float = 0.75  # a better rung must be predicted below this to step up
    thermal_down: float = 0.85
    thermal_up: float = 0.70
    thermal_rise: float = 0.12  # the forecast must have risen by so much for another thermal step down
    thermal_severe: float = 1.0  # only from here on heat alone leads to the conventional filter
    pressure_s: float = 15.0  # time between steps while it is severe, or while memory is short
    min_dwell_s: float = 4.0  # on each rung, unless frames are late
    up_dwell_s: float = 8.0  # there must have been room for so long; doubled by each step up that failed
    max_up_dwell_s: float = 300.0
    retry_last: float = 8.0  # so many dwells on the last rung, then the one above is tried in any case
    retry: float = 30.0  # the same on other rungs
    failed_within_s: float = 30.0  # a step up that is taken back so soon has failed
    patience_down_s: float = 3.0  # to wait for a cut before a fade
    patience_up_s: float = 20.0
    fade_s: float = 0.5
    visible_every_s: float = 60.0  # between switches without a cut, unless frames are late
    fit_again: float = 0.5  # `fit` for a second switch without a cut in that time: there should be no third

    def __post_init__(self) -> None:
        if not 0 < self.up_at <= self.fit <= self.down_at <= 1 or not self.thermal_up < self.thermal_down:
            raise OptionError(f"0 < up_at <= fit <= down_at <= 1 and thermal_up < thermal_down; got {self}")


@dataclass(frozen=True)
class Conditions:
    """What a device says about itself; None is not known."""

    thermal_forecast: float | None = None
    memory_pressure: bool | None = None


@dataclass(frozen=True)
class Step:
    """What to do with a frame: run ``rung``, show ``share`` (0..1) of what it adds to the filter."""

    rung: int
    share: float = 1.0


@dataclass
class Switches:
    """How many there were, by how they were done. ``faded`` and ``at_once`` may be seen."""

    at_cut: int = 0
    faded: int = 0
    at_once: int = 0


@dataclass(frozen=True)
class _Wish:
    rung: int
    reason: str
    since_s: float


@dataclass(frozen=True)
class _Fade:
    other: int  # the rung that is not run meanwhile
    down: bool  # then `other` is switched to at the end; else it was switched from at the beginning
    since_s: float


class Governor:
    """Decides for one stream. One thread at a time may use it.

    Attributes: ``rung`` (index of the one in use), ``reason`` (why it is not the first), ``switches``,
    ``misses``, ``conditions``.
    """

    def __init__(self, ladder: Ladder, deadline_us: float, policy: Policy | None = None) -> None:
        if not deadline_us > 0:
            raise OptionError(f"deadline_us must be above 0, got {deadline_us!r}")
        self.ladder, self.deadline_us, self.policy = ladder, deadline_us, policy or Policy()
        self.rung = 0
        self.reason = ""
        self.switches, self.misses = Switches(), MissCounter()
        self.conditions = Conditions()
        self._usable = [True] * len(ladder)
        self._costs_us: list[float | None] = [None] * len(ladder)  # medians at a `_slowdown` of 1
        self._slowdown = 1.0
        self._calm = True  # the last switch was not made in an overload: times before it can be compared
        self._times: deque[tuple[float, float]] = deque()  # (second, us) on this rung
        self._tail_us: float | None = None
        self._now_s = self._entered_s = -math.inf
        self._last_visible_s = self._stepped_up_s = self._pressed_s = self._judged_s = -math.inf
        self._hot_at = math.inf  # the forecast at the last step down; inf: none since it was cool
        self._room_since_s: float | None = None
        self._up_dwell_s = self.policy.up_dwell_s
        self._wish: _Wish | None = None
        self._fade: _Fade | None = None
        self._overload = False

    # ---------------------------------------------------------------------------------- what it is told

    def sense(self, conditions: Conditions) -> None:
        """Take note of the device's state; NaN is not known."""
        forecast = conditions.thermal_forecast
        if forecast is not None and not math.isfinite(forecast):
            conditions = Conditions(None, conditions.memory_pressure)
        self.conditions = conditions

    def usable(self, rung: int, usable: bool) -> None:
        """Say whether a rung can be run: not while it loads, nor after it failed. The last one always can."""
        self._usable[rung] = usable or rung == len(self.ladder) - 1

    def add(self, time_us: float, late: bool) -> None:
        """The network's time for the frame of the last `next`, and whether that was too late.

        The time of a late frame may be a lower bound.
        """
        least_us = self.deadline_us if late else 1.0  # a coarse clock may say 0
        self._times.append((self._now_s, max(time_us, least_us)))
        if self.misses.add(late):
            self._overload = True

    # ---------------------------------------------------------------------------------- what it answers

    def next(self, now_s: float, cut: bool = False) -> Step:
        """What to do with the frame at ``now_s`` (of a clock that never goes back); ``cut``: a new scene."""
        if self._entered_s == -math.inf:
            self._entered_s = self._judged_s = now_s
        self._now_s = now_s
        if self._overload or not self._usable[self.rung]:
            self._leave_at_once()
        elif self._fade is None and now_s - self._judged_s >= self.policy.window_s / 8:
            self._judged_s = now_s
            self._judge()
        if self._fade is None and self._wish is not None:
            self._carry_out(self._wish, cut)
        return Step(self.rung) if self._fade is None else self._faded(self._fade, cut)

    def _leave_at_once(self) -> None:
        """The rung in use is late again and again, or has failed."""
        self._overload, self._fade = False, None
        self._measure(at_least=1)
        target = self._fitting(self.rung + 1)
        if target is not None:
            why = "frames were late" if self._usable[self.rung] else "the model cannot be used"
            self._switch(target, why)
            self._calm = False
            self.switches.at_once += 1
            self._last_visible_s = self._now_s
        self.misses.forget()

    def _carry_out(self, wish: _Wish, cut: bool) -> None:
        """Switch or begin to fade, if this is the moment."""
        policy, down = self.policy, wish.rung > self.rung
        if cut:
            self._switch(wish.rung, wish.reason)
            self.switches.at_cut += 1
            return
        patience_s = policy.patience_down_s if down else policy.patience_up_s
        if self._now_s - wish.since_s < patience_s:
            return
        if self._now_s - self._last_visible_s < policy.visible_every_s:
            return
        self.switches.faded += 1
        self._last_visible_s = self._now_s
        if down:  # the old one fades down, then gives way
            self._fade, self.reason = _Fade(wish.rung, True, self._now_s), wish.reason
        else:  # the new one fades up
            old = self.rung
            self._switch(wish.rung, wish.reason)
            self._fade = _Fade(old, False, self._now_s)

    def _faded(self, fade: _Fade, cut: bool) -> Step:
        """A frame of a fade: the more detailed rung of the two, at a share of its detail."""
        done = 1.0 if cut else min(1.0, (self._now_s - fade.since_s) / self.policy.fade_s)
        if done == 1.0:
            self._fade = None
            if fade.down:
                self._switch(fade.other, self.reason)
            return Step(self.rung)
        lowest = self.ladder[fade.other].detail / self.ladder[self.rung].detail
        return Step(self.rung, 1.0 - (done if fade.down else 1.0 - done) * (1.0 - lowest))

    # ---------------------------------------------------------------------------------------- judgement

    def _judge(self) -> None:
        """Set or clear the wish for another rung."""
        self._measure()
        down = self._down()
        if down is not None:
            self._room_since_s = None
            self._want(*down)
            return
        up = self._up()
        if up is None:
            self._room_since_s, self._wish = None, None
            return
        if self._room_since_s is None:
            self._room_since_s = self._now_s
        if self._now_s - self._room_since_s >= self._up_dwell_s:
            self._want(up, "" if up == 0 else self.reason)

    def _want(self, target: int, reason: str) -> None:
        """A new wish; one of the same direction goes on waiting, with a new aim."""
        old = self._wish
        same = old is not None and (target > self.rung) == (old.rung > self.rung)
        self._wish = _Wish(target, reason, old.since_s if old is not None and same else self._now_s)

    def _down(self) -> tuple[int, str] | None:
        policy, below = self.policy, self.rung + 1
        if below >= len(self.ladder):
            return None
        if self._tail_us is not None and self._tail_us > policy.down_at * self.deadline_us:
            target = self._fitting(below)
            return None if target is None else (target, "late tails")
        here_s = self._now_s - self._entered_s
        if here_s < policy.min_dwell_s:
            return None
        target = next(i for i in range(below, len(self.ladder)) if self._usable[i])
        if self.conditions.memory_pressure and self._now_s - self._pressed_s >= policy.pressure_s:
            return target, "memory pressure"
        forecast = self.conditions.thermal_forecast
        if forecast is None or forecast < policy.thermal_down:
            return None
        severe = forecast >= policy.thermal_severe
        hotter = self._hot_at == math.inf or forecast >= self._hot_at + policy.thermal_rise
        if severe and here_s >= policy.pressure_s:
            return target, "thermal forecast"
        if hotter and (severe or target < len(self.ladder) - 1):
            return target, "thermal forecast"
        return None

    def _up(self) -> int | None:
        """The best rung that there is room for; None if there is none."""
        policy, forecast = self.policy, self.conditions.thermal_forecast
        if forecast is not None and forecast <= policy.thermal_up:
            self._hot_at = math.inf
        if self.rung == 0 or self.conditions.memory_pressure:
            return None
        if self._now_s - self._entered_s < policy.min_dwell_s:
            return None
        if forecast is not None and forecast > policy.thermal_up:
            return None
        for target in range(self.rung):
            predicted_us = self._predicted_us(target)
            fits = predicted_us is not None and predicted_us <= policy.up_at * self.deadline_us
            if fits and self._usable[target]:
                return target
        # Costs may have been learned at a bad moment, and the filter's time says little about an engine.
        last = self.rung == len(self.ladder) - 1
        retry_s = (policy.retry_last if last else policy.retry) * self._up_dwell_s
        if self._now_s - self._entered_s >= retry_s and self._usable[self.rung - 1]:
            return self.rung - 1
        return None

    def _fitting(self, first: int) -> int | None:
        """The best usable rung from ``first`` on whose tail is predicted to fit; None if there is none."""
        policy = self.policy
        again = self._now_s - self._last_visible_s < policy.visible_every_s
        limit_us = (policy.fit_again if again else policy.fit) * self.deadline_us
        last = len(self.ladder) - 1
        for target in range(first, len(self.ladder)):
            predicted_us = self._predicted_us(target)
            if self._usable[target] and (target == last or predicted_us is None or predicted_us <= limit_us):
                return target
        return None

    def _predicted_us(self, rung: int) -> float | None:
        """The tail that ``rung`` would have now: this one's, times the ratio of the costs."""
        if self._tail_us is None:
            return None
        return self._tail_us * self._cost(rung) / self._cost(self.rung)

    def _cost(self, rung: int) -> float:
        """In us at a slowdown of 1; unmeasured ones by the ladder's ratios to those measured."""
        cost_us = self._costs_us[rung]
        if cost_us is not None:
            return cost_us
        ratios = [c / r.cost for c, r in zip(self._costs_us, self.ladder) if c is not None]
        return self.ladder[rung].cost * (max(ratios) if ratios else 1.0)

    def _measure(self, at_least: int = _MIN_SAMPLES) -> None:
        """Tail and median of the recent times on this rung, and what they say about its cost."""
        while self._times and self._times[0][0] < self._now_s - self.policy.window_s:
            self._times.popleft()
        if len(self._times) < at_least:
            self._tail_us = None
            return
        times = sorted(us for _, us in self._times)
        above = max(_LONE_FRAMES, math.ceil(len(times) * (1 - self.policy.tail_percent / 100)))
        self._tail_us = times[max(0, len(times) - 1 - above)]
        median_us = times[len(times) // 2]
        soon = self._now_s - self._entered_s <= self.policy.min_dwell_s
        known_us = self._costs_us[self.rung]
        if self._calm and (soon or known_us is None):
            # Soon after a switch the device is as slow as it was before it: what differs is the cost.
            cost_us = median_us / self._slowdown
            self._costs_us[self.rung] = cost_us if known_us is None else 0.5 * (cost_us + known_us)
        else:
            self._slowdown = median_us / self._cost(self.rung)

    def _switch(self, target: int, reason: str) -> None:
        """Stand on another rung, and remember what that says about the future."""
        policy, forecast = self.policy, self.conditions.thermal_forecast
        recent = sorted(us for second, us in self._times if second > self._now_s - _RECENT_S)
        if recent and self._calm:
            self._slowdown = recent[len(recent) // 2] / self._cost(self.rung)
        if target > self.rung:
            up_s = self._now_s - self._stepped_up_s  # since the last step up
            if up_s < policy.failed_within_s:
                self._up_dwell_s = min(2 * self._up_dwell_s, policy.max_up_dwell_s)
            elif up_s >= 4 * policy.failed_within_s:
                self._up_dwell_s = policy.up_dwell_s
            if forecast is not None and forecast >= policy.thermal_down:
                self._hot_at = forecast
        else:
            self._stepped_up_s = self._now_s
        if reason == "memory pressure":
            self._pressed_s = self._now_s
        self.rung, self.reason, self._calm = target, reason, True
        self._entered_s, self._room_since_s, self._wish = self._now_s, None, None
        self._times.clear()
        self._tail_us = None
        self.misses.forget()
