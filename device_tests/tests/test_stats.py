"""Comparisons of versions: against scipy, and by simulation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox_matrix.policy import Regression
from lumavox_matrix.selftest import Noise, self_test
from lumavox_matrix.stats import (
    Arms,
    adjusted,
    compare,
    decide,
    interleaved,
    runs_needed,
    welch,
)

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed (lumavox[matrix])")
RULE = Regression()


def arms(n: int, effect: float, seed: int, sd: float = 0.036) -> Arms:
    rng = np.random.default_rng(seed)
    a = np.exp(rng.normal(9.0, sd, n))
    b = np.exp(rng.normal(9.0 + np.log1p(effect), sd, n))
    return Arms(tuple(map(float, a)), tuple(map(float, b)))


@settings(deadline=None)  # the first call fills caches
@given(st.integers(0, 10_000), st.integers(3, 30), st.floats(-0.2, 0.2))
def test_welch_is_scipys(seed, n, effect):
    cell = arms(n, effect, seed)
    found = welch([cell])
    slower = stats.ttest_ind(np.log(cell.b_us), np.log(cell.a_us), equal_var=False, alternative="greater")
    assert found.p_slower[0] == pytest.approx(slower.pvalue, rel=1e-9, abs=1e-300)
    assert found.p_slower[0] + found.p_faster[0] == pytest.approx(1.0)


@settings(deadline=None)  # the first call imports scipy
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_the_definition(p_values):
    found = adjusted(p_values, "holm")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, p_values[i] * (len(p_values) - rank)))
        assert found[i] == pytest.approx(worst)


def test_benjamini_hochberg_is_scipys():
    p = [0.001, 0.02, 0.03, 0.9]
    assert adjusted(p, "bh") == pytest.approx(list(stats.false_discovery_control(p)))
    assert adjusted([], "bh") == []


@pytest.mark.parametrize("runs", [2, 3, 4, 5, 8, 11, 30])
def test_interleaved_runs_have_as_many_of_each_arm_and_no_drift_between_them(runs):
    order = interleaved(runs)
    assert order.count("A") == order.count("B") == runs
    if runs % 4 == 0:
        drift = np.arange(len(order))
        in_b = np.array([letter == "B" for letter in order])
        assert drift[in_b].mean() == drift[~in_b].mean()


def test_more_noise_smaller_changes_and_stricter_levels_need_more_runs():
    usual = runs_needed(0.036, 0.1, RULE)
    assert usual == 10
    assert runs_needed(0.06, 0.1, RULE) > usual < runs_needed(0.036, 0.001, RULE)
    small = dataclasses.replace(RULE, target_effect=0.03)
    assert runs_needed(0.036, 0.1, small) > usual
    assert runs_needed(0.5, 0.1, RULE) == RULE.max_runs


def test_a_cell_asks_for_runs_until_it_is_decided():
    few = decide([arms(4, 0.1, 1)], RULE)[0]
    assert (few.what, few.more_runs) == ("unknown", 6)
    screened = decide([arms(12, 0.1, 1)], RULE)[0]
    assert screened.what == "suspected" and screened.more_runs > 0
    decided = decide([arms(60, 0.1, 1)], RULE)[0]
    assert (decided.what, decided.more_runs) == ("slower", 0)
    assert decided.low < 1.1 < decided.high
    assert decide([arms(60, -0.1, 1)], RULE)[0].what == "faster"
    assert decide([arms(60, 0.0, 2)], RULE)[0].what == "same"


def test_a_change_below_the_floor_is_no_alarm_however_certain():
    cell = arms(60, 0.01, 1, sd=0.001)
    assert compare(cell).low > 1.0
    assert decide([cell], RULE)[0].what == "same"


def test_runs_without_any_noise_are_compared_too():
    cell = Arms((100.0,) * 60, (110.0,) * 60)
    assert decide([cell], RULE)[0].what == "slower"
    assert decide([Arms((100.0,) * 60, (100.0,) * 60)], RULE)[0].what == "same"


def test_values_that_are_no_times_are_refused():
    with pytest.raises(OptionError, match="above 0"):
        Arms((1.0, 0.0), (1.0,))


@pytest.mark.parametrize("change", [{"effect_floor": 0.05}, {"alpha": 0.2}, {"power": 1.0}])
def test_a_rule_that_cannot_work_is_refused(change):
    with pytest.raises(OptionError):
        Regression(**change)


def test_the_p99_of_simulated_runs_is_that_of_drawn_frames():
    rng = np.random.default_rng(0)
    noise = Noise(run_cv=0.0, drift=0.0, disturbed=0.0)
    drawn = np.sort(np.exp(rng.normal(0.0, np.log1p(0.1), (4000, 300))), axis=1)[:, 296]
    simulated, _ = noise.session(4000, 2, rng)
    assert np.mean(simulated) == pytest.approx(np.log(drawn).mean(), abs=0.002)
    assert np.std(simulated) == pytest.approx(np.log(drawn).std(), rel=0.05)


def test_the_gate_measures_itself():
    outcome = self_test(cells=5, trials=16)
    assert outcome.screen_runs == 10 and outcome.power > 0.6
    assert outcome.frames_false_alarms > 0.4
    assert "false alarms in" in outcome.text()


@pytest.mark.slow
def test_false_alarms_are_at_most_one_in_a_hundred_and_power_is_nine_in_ten():
    outcome = self_test(cells=50, trials=300)
    assert outcome.holds, outcome.text()
