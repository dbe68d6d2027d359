"""The slots as pure values: any sequence of steps keeps a model that may start."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import UpdateError
from lumavox.update._state import FACTORY, MAX_SET_ASIDE, State
from update_parts import installed, release

SIMPLE = {
    "begun": State.begun,
    "healthy": State.healthy,
    "unbegun": State.unbegun,
    "commit": State.committed,
    "lost": State.lost,
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["install", "back", "renew", "without", "amend", *SIMPLE]),
        st.integers(1, 6),
    ),
    max_size=20,
)


def after(state: State, step: str, number: int) -> State:
    if step == "install":
        held = state.holding(f"{number:064x}")
        if held is None:
            state, held = state.staged(installed(number))
        return state.activated(held, needed=2)
    if step == "back":
        return state.rolled_back("it failed", "d")
    if step == "without":
        return state.without(f"{number:064x}", "d", "self-test")
    if step == "amend":
        return state.amended(release(number, share_permille=500))
    return SIMPLE[step](state) if step in SIMPLE else state.renewed("e")


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_whatever_happens_the_active_and_the_previous_slot_are_filled(steps):
    state = State()
    for step, number in steps:
        floor = state.counter_floor
        try:
            state = after(state, step, number)
        except UpdateError:
            continue
        assert State.read(state.text(), "again") == state  # which also checks the invariants
        assert state.counter_floor >= floor
        assert len(state.slots) <= 2
        assert len({one.file for one in state.slots.values()}) == len(state.slots)
        assert len(state.set_aside) <= MAX_SET_ASIDE
        if state.trial:
            assert state.active != FACTORY


def test_a_trial_ends_after_the_healthy_sessions_that_it_needs():
    state = after(State(), "install", 1)
    assert (state.active, state.trial.previous, state.trial.healthy) == ("a", FACTORY, 0)
    state = state.begun().healthy().begun()
    assert state.trial.healthy == 1
    state = state.healthy()
    assert state.trial is None
    assert state.slots["a"].committed
    assert state.counter_floor == 1


def test_a_rollback_starts_the_one_before_and_sets_the_failed_one_aside_on_that_combination():
    state = after(State(), "install", 1).committed()
    state = after(state, "install", 2)
    assert (state.active, state.trial.previous) == ("b", "a")
    state = state.rolled_back("black frames", "combination")
    assert (state.active, set(state.slots), state.trial) == ("a", {"a"}, None)
    assert state.failed(f"{2:064x}", "combination") == "black frames"
    assert state.failed(f"{2:064x}", "another") is None
    assert state.failed(f"{1:064x}", "combination") is None


def test_while_a_trial_needs_both_slots_nothing_else_is_staged():
    state = after(after(State(), "install", 1).committed(), "install", 2)
    with pytest.raises(UpdateError, match="commit it, roll it back"):
        state.staged(installed(3))
    with pytest.raises(UpdateError, match="commit it, roll it back"):
        state.room()


def test_a_new_release_during_a_trial_falls_back_to_what_was_proven():
    state = after(after(State(), "install", 1), "install", 2)
    assert (state.active, state.trial.previous) == ("b", FACTORY)


def test_the_factory_model_cannot_be_rolled_back():
    with pytest.raises(UpdateError, match="nothing to roll back to"):
        State().rolled_back("why", "d")


def test_no_session_needed_means_committed_at_once():
    state, slot = State().staged(installed(1))
    assert state.activated(slot, needed=0).slots["a"].committed


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b'{"schema": 2}', b'{"active": "a"}', b'{"active": "c"}', b'{"slots": {"factory": {}}}',
     b'{"trial": {"previous": "a", "needed": 1}}'],
)  # fmt: skip
def test_a_state_that_makes_no_sense_is_refused(text):
    if text == b"{}":
        assert State.read(text, "state.json") == State()
        return
    with pytest.raises(UpdateError, match="state.json"):
        State.read(text, "state.json")


def test_a_state_cannot_name_a_file_elsewhere():
    state, _ = State().staged(installed(1))
    text = state.text().replace(b"0000000000000001.zip", b"../../../etc/passwd")
    with pytest.raises(UpdateError, match="is not a slot and its file"):
        State.read(text, "state.json")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_state_or_an_update_error(data):
    with contextlib.suppress(UpdateError):
        State.read(data, "state.json")
