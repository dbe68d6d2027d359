"""Staged rollouts: the evidence against exact enumeration, the decision, the state, and a small simulated
fleet."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox_matrix import rollout_study
from lumavox_matrix.cli import main
from lumavox_matrix.rollout import GuardLook, Look, decide
from lumavox_matrix.rollout_evidence import RATIOS, Events, Evidence, Urn, log_e, log_rare
from lumavox_matrix.rollout_policy import Guards, RolloutPolicy, Stage, read_rollout_policy
from lumavox_matrix.rollout_simulator import BAD, GOOD, RULES, Fleet, simulate
from lumavox_matrix.rollout_state import Arm, Rollout, arm_of, has_new_model, rank

POLICY = RolloutPolicy()
TOML = Path(__file__).resolve().parents[1] / "rollout.toml"


def events(treated: list[bool], urn: int = 0) -> Events:
    n = len(treated)
    return Events(np.arange(n, dtype=float), np.array(treated, bool), np.full(n, urn))


# --- evidence ---------------------------------------------------------------------------------------------


def mean_e(treated: int, control: int, ratio: float, effect: float, draws: int) -> float:
    """The mean over all orders of ``draws`` events, where treated sets have events ``effect`` times as
    often."""
    mean = 0.0
    for order in itertools.product([True, False], repeat=draws):
        if sum(order) > treated or order.count(False) > control:
            continue
        left_t, left_c, chance = treated, control, 1.0
        for is_treated in order:
            share = effect * left_t / (effect * left_t + left_c)
            chance *= share if is_treated else 1 - share
            left_t, left_c = left_t - is_treated, left_c - (not is_treated)
        mean += chance * math.exp(log_e(events(list(order)), [Urn(treated, control)], [ratio])[-1, 0])
    return mean


few = settings(max_examples=25, deadline=None)


@few
@given(st.integers(1, 5), st.integers(1, 5), st.floats(1.05, 20), st.integers(1, 5))
def test_the_mean_of_an_e_value_without_a_change_is_one_after_every_event(treated, control, ratio, draws):
    mean = mean_e(treated, control, ratio, 1.0, min(draws, treated + control))
    assert mean == pytest.approx(1.0, abs=1e-9)


@few
@given(st.integers(1, 4), st.integers(1, 4), st.floats(1.05, 20), st.floats(0.1, 1.0))
def test_evidence_for_harm_is_not_made_by_a_model_that_helps(treated, control, ratio, effect):
    """The null is one-sided: with a rate below that of the control, the mean is at most one."""
    assert mean_e(treated, control, ratio, effect, min(4, treated + control)) <= 1 + 1e-9


def test_looking_after_every_event_raises_a_false_alarm_at_most_as_often_as_stated():
    """Sets that differ a hundredfold, 500 draws, alpha 5 %: 0.05 + three binomial standard deviations."""
    rng = np.random.default_rng(3)
    weights = rng.gamma(0.3, 1.0, 400) + 1e-3
    alarms = 0
    for _ in range(500):
        treated = rng.permutation(400) < 100
        order = np.argsort(rng.exponential(1.0, 400) / weights)[:150]
        evidence = Evidence.of(events(list(treated[order])), [Urn(100, 300)], 2.0)
        alarms += evidence.harm.max() >= math.log(1 / 0.05)
    assert alarms / 500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)


def test_the_evidence_of_several_stages_is_their_product():
    first, second = events([True, False, True]), events([False, True], urn=1)
    urns = [Urn(10, 30), Urn(20, 20)]
    together = log_e(Events.joined([first, second]), urns, RATIOS)[-1]
    apart = log_e(first, urns[:1], RATIOS)[-1] + log_e(events([False, True]), urns[1:], RATIOS)[-1]
    assert together == pytest.approx(apart)


def test_safety_is_the_reciprocal_game():
    evidence = Evidence.of(events([False] * 20 + [True]), [Urn(100, 100)], 3.0)
    expected = -log_e(events([False] * 20 + [True]), [Urn(100, 100)], [3.0])[:, 0]
    assert evidence.safe == pytest.approx(expected)
    assert evidence.at(-1.0) == (0.0, 0.0)
    assert evidence.at(100.0)[1] == pytest.approx(expected[-1])


def test_more_events_than_sets_are_refused():
    with pytest.raises(OptionError, match="count each set once"):
        log_e(events([True, True]), [Urn(1, 5)], [2.0])


@few
@given(st.integers(1, 60), st.floats(0.001, 0.4))
def test_the_mean_of_the_evidence_for_rare_is_one_at_its_limit(sets, rare):
    chances = [math.comb(sets, k) * rare**k * (1 - rare) ** (sets - k) for k in range(sets + 1)]
    mean = sum(c * math.exp(log_rare(k, sets, rare)) for k, c in enumerate(chances))
    assert mean == pytest.approx(1.0, rel=1e-9)


# --- policy and decision ----------------------------------------------------------------------------------


def test_the_policy_file_says_the_defaults():
    assert read_rollout_policy(TOML) == POLICY == read_rollout_policy(None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 1\n[guards.crsh]\nrare = 0.1", "did you mean 'crash'"),
        ("schema = 2", "schema 2"),
        ("schema = 1\n[[stages]]\nshare = 0.5\ncontrol = 0.1", "rise to 1.0"),
        ("schema = 1\n[[stages]]\nshare = 1.0\ncontrol = 0.1\nmin_hours = 1.0", "window_hours"),
        ("schema = 1\n[guards.crash]\nharm_ratio = 1.0", "harm_ratio is above 1"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_is_possible(text, message, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=message):
        read_rollout_policy(path)


def test_arms_are_disjoint_in_every_stage():
    ranges = [r for stage in range(len(POLICY.stages)) for r in POLICY.arms(stage)]
    ranges.sort()
    assert all(a[1] <= b[0] + 1e-12 for a, b in itertools.pairwise(ranges))


def look(**changes: object) -> Look:
    guards = tuple(GuardLook(name, 1, 5, 0.0, 9.0, -1.0) for name, _ in Guards().items())
    base = Look(0, 100.0, 1000, 900, 900, 5, guards)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def with_guard(**changes: object) -> tuple[GuardLook, ...]:
    guards = look().guards
    return (dataclasses.replace(guards[0], **changes), *guards[1:])  # type: ignore[arg-type]


def test_a_stage_in_order_is_followed_by_the_next_and_the_last_completes():
    assert decide(POLICY, look()).action == "advance"
    assert decide(POLICY, look(stage=3)).action == "complete"
    rare = with_guard(log_safe=0.0, log_rare=5.0)
    assert decide(POLICY, look(guards=rare)).verdicts[0] == "rare"
    assert decide(POLICY, look(guards=rare)).action == "advance"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hours": 1.0}, "the stage lasts 36 h"),
        ({"reported_sets": 600}, "600 of 1000 new sets sent records"),
        ({"guards": with_guard(log_safe=1.0)}, "crash: 2.5 times as many is not ruled out"),
    ],
)
def test_what_is_not_known_yet_holds_and_after_the_longest_time_stops(changes, reason):
    held = decide(POLICY, look(**changes))
    assert held.action == "hold"
    assert reason in held.reasons[0]
    if "hours" not in changes:
        stopped = decide(POLICY, look(hours=400.0, **changes))
        assert (stopped.action, reason in stopped.reasons[1]) == ("stop", True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"guards": with_guard(log_harm=8.0)}, "crash: 1 sets"),
        ({"crashed_sets": 200}, "emergency: 200 of 900 sets crashed"),
        ({"stop_order": "recalled"}, "recalled"),
    ],
)
def test_harm_an_emergency_and_an_order_stop_at_once(changes, reason):
    decision = decide(POLICY, look(hours=0.5, **changes))
    assert decision.action == "stop"
    assert reason in decision.reasons[0]


# --- state ------------------------------------------------------------------------------------------------


def names(n: int) -> list[str]:
    return [f"set-{i}" for i in range(n)]


def test_ranks_are_spread_evenly_and_new_for_every_release():
    one, two = ([rank(name, release) for name in names(4000)] for release in ("a@1", "a@2"))
    assert np.histogram(one, 10, (0, 1))[0].min() > 330
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.06


def test_a_state_counts_its_arms_and_survives_its_file(tmp_path):
    rollout = Rollout.begin(POLICY, "a@1", names(5000), 1000)
    assert rollout.stages[0].treated == sum(arm_of(n, "a@1", POLICY) == Arm(0, True) for n in names(5000))
    rollout.save(tmp_path / "s.json")
    assert Rollout.load(tmp_path / "s.json") == rollout
    assert rollout.advanced(2000).stage == 1
    with pytest.raises(OptionError, match="listed twice"):
        Rollout.begin(POLICY, "a@1", ["x", "x"], 0)
    with pytest.raises(OptionError, match="too few"):
        Rollout.begin(POLICY, "a@1", ["x"], 0)


def test_who_has_the_new_model_only_grows_until_a_stop():
    rollout = Rollout.begin(POLICY, "a@1", names(3000), 0)
    before: set[str] = set()
    for stage, share in enumerate((0.01, 0.05, 0.25, 0.95)):
        now = {n for n in names(3000) if has_new_model(n, rollout, POLICY)}
        assert before <= now
        assert len(now) / 3000 == pytest.approx(share, abs=0.03), stage
        assert not any(has_new_model(n, rollout.stop("bad"), POLICY) for n in names(50))
        before, rollout = now, rollout.advanced(stage + 1)
    assert rollout.done
    assert all(has_new_model(n, rollout, POLICY) for n in names(50))
    with pytest.raises(OptionError, match="is done"):
        rollout.stop("too late")


# --- simulation -------------------------------------------------------------------------------------------

SMALL = Fleet(sets=30_000)
QUICK = RolloutPolicy(stages=(Stage(0.03, 0.12, 36, 336), Stage(1.0, 0.1, 36, 336)))


def test_equal_seeds_are_equal_rollouts():
    runs = [simulate(QUICK, SMALL, BAD["crash +1 %"], RULES["lumavox"], seed=4) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("model", ["crash +1 %", "late frames +3 %", "sound off picture +1 %"])
def test_a_bad_model_is_stopped_in_its_first_stage_by_the_guard_that_it_hurts(model):
    guard = {"crash +1 %": "crash", "late frames +3 %": "miss", "sound off picture +1 %": "av"}[model]
    made = [simulate(QUICK, SMALL, BAD[model], RULES["lumavox"], seed=seed) for seed in range(3)]
    assert all(outcome.stopped and outcome.stage == 0 for outcome in made)
    assert [outcome.stopped_by for outcome in made].count(guard) >= 2


def test_a_harmless_model_reaches_everybody():
    outcome = simulate(QUICK, SMALL, GOOD, RULES["lumavox"], seed=2)
    assert not outcome.stopped
    assert outcome.met > 0.7 * SMALL.sets


def test_a_threshold_on_the_share_of_sets_meets_a_bad_model_with_everybody():
    rule = RULES["stop at 5 % of sets crashed"]
    assert simulate(QUICK, SMALL, BAD["crash +1 %"], rule, seed=1).met > 0.5 * SMALL.sets


@pytest.mark.slow
def test_both_bars_hold_on_a_fleet_of_a_hundred_thousand_sets(tmp_path):
    """1,000 rollouts without a change, of which at most 4 may stop for the bound of 1 %."""
    assert main(["rollout", "simulate", "--rollouts", "1000", "--out", str(tmp_path)]) == 0


def test_the_command_simulates_and_writes_a_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rollout_study, "BAD", {"crash +1 %": BAD["crash +1 %"]})
    command = ["rollout", "simulate", "--fleet", "5000", "--rollouts", "1", "--bad-rollouts", "1"]
    assert main([*command, "--out", str(tmp_path)]) == 1  # one rollout proves nothing
    assert "z-test at 1 %, every hour" in capsys.readouterr().out
    assert "<svg" in (tmp_path / "rollout.html").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"rollout.html", "rollout.md", "rollout.json"}
