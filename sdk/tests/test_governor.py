"""The governor keeps frames in time at the best quality there is, and is not seen doing it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox._miss_counter import MissCounter
from lumavox.errors import OptionError
from lumavox.governor import Conditions, Governor, Policy, Step, frame_deadline_us
from lumavox.ladder import CONVENTIONAL, Ladder, Rung
from thermal_device import EVEN, SCENARIOS, Scenario, ramp, simulate

LADDER = Ladder.of("base", "small", "nano")
RATE = 60.0
DEADLINE_US = 10_000.0


class Stream:
    """A governor with frames of given times; every rung costs its share of the base's time."""

    def __init__(self, ladder: Ladder = LADDER, policy: Policy | None = None) -> None:
        self.governor = Governor(ladder, DEADLINE_US, policy)
        self.now_s, self.base_us = 0.0, 5_000.0
        self.steps: list[Step] = []

    def run(self, seconds: float, *, cut_every_s: float = math.inf, base_us: float | None = None) -> str:
        """The rungs that were stood on, each once in turn."""
        self.base_us = base_us or self.base_us
        begun, next_cut_s = len(self.steps), self.now_s + cut_every_s
        for _ in range(round(seconds * RATE)):
            self.now_s += 1 / RATE
            cut = self.now_s >= next_cut_s
            next_cut_s += cut_every_s if cut else 0.0
            step = self.governor.next(self.now_s, cut)
            time_us = self.base_us * self.governor.ladder[step.rung].cost
            self.governor.add(time_us, time_us > DEADLINE_US)
            self.steps.append(step)
        rungs = [str(step.rung) for step in self.steps[begun:]]
        return "".join(rung for i, rung in enumerate(rungs) if i == 0 or rung != rungs[i - 1])


def test_with_room_to_spare_the_best_rung_stays():
    stream = Stream()
    assert stream.run(60, cut_every_s=5) == "0"
    assert all(step.share == 1.0 for step in stream.steps)


def test_tails_that_come_near_the_deadline_step_down_at_the_next_cut_before_a_frame_is_late():
    stream = Stream()
    stream.run(10)
    assert stream.run(10, cut_every_s=2, base_us=9_500) == "01"
    assert stream.governor.misses.transient == 0
    assert (stream.governor.switches.at_cut, stream.governor.switches.faded) == (1, 0)
    assert stream.governor.reason == "late tails"


def test_without_a_cut_the_detail_fades_and_never_jumps():
    """What is shown of the network's detail changes by at most what half a second of fading allows."""
    stream = Stream(Ladder((Rung("a", 1.0, 1.0), Rung("b", 0.4, 0.5), CONVENTIONAL)))
    stream.run(10)
    assert stream.run(10, base_us=9_500) == "01"
    detail = [step.share * stream.governor.ladder[step.rung].detail for step in stream.steps]
    jumps = [abs(b - a) for a, b in zip(detail, detail[1:])]
    assert max(jumps) <= 0.5 / (0.5 * RATE) + 1e-9
    assert (detail[0], detail[-1]) == (1.0, 0.5)
    stream.run(120, base_us=3_000)
    detail = [step.share * stream.governor.ladder[step.rung].detail for step in stream.steps]
    assert max(abs(b - a) for a, b in zip(detail, detail[1:])) <= 0.5 / (0.5 * RATE) + 1e-9
    assert detail[-1] == 1.0
    assert stream.governor.switches.faded == 2


def test_an_engine_that_is_late_again_and_again_is_left_at_once_for_a_rung_that_fits():
    stream = Stream()
    stream.run(10)
    assert stream.run(1, base_us=21_000) == "02"  # small would take 9030 of 10000 us
    assert stream.governor.switches.at_once == 1
    assert stream.governor.misses.persistent == 4
    assert stream.governor.reason == "frames were late"


def test_it_steps_up_again_after_a_dwell_and_not_at_the_first_fast_frame():
    stream = Stream()
    stream.run(10)
    stream.run(10, cut_every_s=1, base_us=9_500)
    assert stream.governor.rung == 1
    assert stream.run(8, cut_every_s=1, base_us=5_000) == "1"
    assert stream.run(10, cut_every_s=1) == "10"
    assert stream.governor.reason == ""


def test_room_that_is_not_enough_for_the_upper_rung_does_not_lead_there():
    """Hysteresis: base would take 80 % of the deadline, and a step up needs 75 %."""
    stream = Stream()
    stream.run(10)
    stream.run(10, cut_every_s=1, base_us=9_500)
    assert stream.run(200, cut_every_s=1, base_us=8_000) == "1"


def test_steps_up_that_fail_become_rarer_and_are_never_given_up():
    """The filter says nothing about an engine that somebody else keeps busy."""
    governor = Governor(Ladder.of("base"), DEADLINE_US)
    now_s, ups, before = 0.0, [], 0
    for _ in range(round(1200 * RATE)):
        now_s += 1 / RATE
        rung = governor.next(now_s, cut=True).rung
        if rung == 0 and before:
            ups.append(now_s)
        before = rung
        slow = rung == 0 and now_s > 5
        governor.add(13_000.0 if slow else 3_000.0, slow)
    gaps = [b - a for a, b in zip(ups, ups[1:])]
    assert 3 <= len(ups) <= 6
    assert all(b >= 1.8 * a for a, b in zip(gaps, gaps[1:]))


def test_heat_steps_down_at_085_and_back_up_at_07():
    stream = Stream()
    for forecast, expected in ((0.84, "0"), (0.86, "01"), (0.95, "1"), (0.99, "12"), (0.71, "2")):
        stream.governor.sense(Conditions(thermal_forecast=forecast))
        assert stream.run(40, cut_every_s=1) == expected, forecast
    assert stream.governor.reason == "thermal forecast"
    stream.governor.sense(Conditions(thermal_forecast=0.7))
    assert stream.run(40, cut_every_s=1) == "20"


def test_only_severe_heat_alone_leads_to_the_conventional_filter():
    stream = Stream()
    for forecast in (0.86, 0.985, 0.999):
        stream.governor.sense(Conditions(thermal_forecast=forecast))
        stream.run(60, cut_every_s=1)
    assert stream.governor.rung == 2
    stream.governor.sense(Conditions(thermal_forecast=1.02))
    assert stream.run(60, cut_every_s=1) == "23"


@pytest.mark.parametrize("forecast", [None, math.nan, math.inf])
def test_a_forecast_that_is_not_known_is_no_reason_for_anything(forecast):
    stream = Stream()
    stream.governor.sense(Conditions(thermal_forecast=forecast))
    assert stream.run(60, cut_every_s=1) == "0"


def test_memory_pressure_steps_down_one_rung_at_a_time():
    stream = Stream()
    stream.run(10)
    stream.governor.sense(Conditions(memory_pressure=True))
    assert stream.run(20, cut_every_s=1) == "012"
    assert stream.governor.reason == "memory pressure"
    stream.governor.sense(Conditions(memory_pressure=False))
    assert stream.run(30, cut_every_s=1) == "20"


def test_rungs_that_cannot_be_used_are_stepped_over_and_left():
    stream = Stream()
    stream.governor.usable(1, False)
    stream.run(5)
    assert stream.run(1, base_us=12_000) == "02"
    stream.governor.usable(2, False)
    assert stream.run(1) == "3"
    assert stream.governor.reason == "the model cannot be used"
    stream.governor.usable(3, False)  # the conventional filter can always be used
    assert stream.run(1) == "3"


def test_there_is_at_most_one_switch_without_a_cut_in_a_minute_unless_frames_are_late():
    stream = Stream()
    stream.run(10)
    stream.run(10, base_us=9_500)
    assert stream.governor.rung == 1
    assert stream.run(45, base_us=22_500) == "1"  # 97 % of the deadline: it waits
    assert stream.run(30) == "12"
    assert stream.governor.switches.at_once == 0


@settings(max_examples=30, deadline=None)
@given(
    loads=st.lists(st.floats(500.0, 60_000.0), min_size=1, max_size=12),
    forecasts=st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(0, 2)), min_size=1, max_size=12),
    cut_every_s=st.floats(0.1, 20.0),
)
def test_whatever_happens_it_stays_on_the_ladder_and_shows_a_share(loads, forecasts, cut_every_s):
    stream = Stream()
    for index, base_us in enumerate(loads):
        stream.governor.sense(Conditions(forecasts[index % len(forecasts)], index % 3 == 1))
        stream.governor.usable(index % 4, index % 5 != 0)
        stream.run(4, cut_every_s=cut_every_s, base_us=base_us)
    assert all(0 <= step.rung < 4 and 0.0 <= step.share <= 1.0 for step in stream.steps)


# ------------------------------------------------------------------------------------------ against an oracle


def check(scenario: Scenario, seed: int) -> None:
    result = simulate(scenario, seed)
    assert result.late_share <= 0.005, result
    assert result.visible_per_minute <= 1.0
    assert result.quality_db >= 0.9 * result.oracle_db
    assert result.quality >= 0.9 * result.oracle  # on the harder scale, too


def test_a_thermal_ramp_costs_no_frames_hardly_any_visible_switch_and_little_quality():
    check(Scenario("short ramp", ramp(0.5, 0.95, begin=30, rise=60, hold=60), seconds=240), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_every_scenario_is_within_ten_percent_of_the_oracle(scenario, seed):
    check(scenario, seed)


@pytest.mark.parametrize("small", [0.75, 0.65], ids=["small holds the heat", "small cools down"])
def test_a_device_that_its_own_network_heats_settles_or_swings_slowly(small):
    """base leads to a headroom of 1.05; from small the device cools to where base may run again, or not."""
    own = Scenario("own heat", lambda s: 0.5, warms_to=(1.05, small, 0.6, 0.5), seconds=600, shot_s=6.0)
    result = simulate(own)
    assert result.late_share <= 0.005
    assert result.visible_per_minute <= 1.0
    assert result.at_cut + result.faded + result.at_once <= (2 if small > 0.7 else 8)
    assert {rung for _, rung, _, _ in result.timeline} == {0, 1}
    assert max(headroom for *_, headroom in result.timeline) < 0.9


def test_the_oracle_is_not_beaten():
    result = simulate(Scenario("cool", lambda s: 0.5, seconds=20))
    assert result.quality <= result.oracle == pytest.approx(EVEN[0])


# -------------------------------------------------------------------------------------------- its small parts


@pytest.mark.parametrize(
    ("hz", "rate", "reserve_us", "expected_us"),
    [
        (60, 60, 0, 16_666.67), (60, 59.94, 0, 16_666.67), (60, 30, 0, 33_333.33), (60, 24, 0, 33_333.33),
        (120, 24, 0, 41_666.67), (50, 25, 5_000, 35_000), (60, 100, 0, 16_666.67),
    ],
)  # fmt: skip
def test_the_deadline_is_the_shortest_time_that_a_frame_is_shown(hz, rate, reserve_us, expected_us):
    assert frame_deadline_us(hz, rate, reserve_us) == pytest.approx(expected_us, abs=0.01)


@pytest.mark.parametrize("values", [(0, 60, 0), (60, 0, 0), (60, 60, 17_000), (math.nan, 60, 0)])
def test_an_impossible_deadline_is_refused(values):
    with pytest.raises(OptionError):
        frame_deadline_us(*values)


def test_lone_misses_are_transient_and_bursts_persistent():
    counter = MissCounter()
    for late in [True] + [False] * 50 + [True, False, True] + [False] * 50:
        assert not counter.add(late)
    assert (counter.transient, counter.persistent) == (3, 0)
    assert [counter.add(late) for late in (True, False, True, True, False, False, True, True)][-2:] == [
        True
    ] * 2
    assert (counter.transient, counter.persistent) == (3, 5)


@settings(max_examples=60, deadline=None)
@given(lates=st.lists(st.booleans(), max_size=200))
def test_every_miss_is_counted_once(lates):
    counter = MissCounter()
    for late in lates:
        counter.add(late)
    assert counter.transient + counter.persistent == sum(lates)
    assert counter.transient >= 0


def test_a_ladder_names_what_is_wrong_with_it():
    assert [rung.name for rung in Ladder.of("base", "nano")] == ["base", "nano", "conventional"]
    with pytest.raises(OptionError, match="did you mean 'small'"):
        Ladder.of("base", "smal")
    with pytest.raises(OptionError, match="must cost less"):
        Ladder.of("nano", "base")
    with pytest.raises(OptionError, match="each once"):
        Ladder.of("conventional")
    with pytest.raises(OptionError, match="detail 0..1"):
        Rung("x", 1.0, 2.0)


def test_a_policy_without_hysteresis_is_refused():
    with pytest.raises(OptionError, match="thermal_up < thermal_down"):
        Policy(thermal_up=0.9)
    with pytest.raises(OptionError):
        Governor(LADDER, 0.0)
