"""The error budget counts windows of ten seconds, and tells how fast it is used up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.late_budget import ALLOWED_LATE_SHARE, BudgetMeter
from lumavox.telemetry import LateBudget

RATE = 60


def fed(late_frames: set[int], seconds: float) -> BudgetMeter:
    meter = BudgetMeter()
    for frame in range(round(seconds * RATE) + 1):
        meter.add(frame / RATE, frame in late_frames)
    return meter


def test_two_late_frames_in_a_window_are_allowed_and_three_are_not():
    assert fed({5, 300}, 10).view() == LateBudget(1, 0, round(2 / 600, 6))
    assert fed({5, 300, 400}, 10).view() == LateBudget(1, 1, 0.005)
    assert fed({5, 300, 700}, 25).view() == LateBudget(2, 0, round(2 / 600, 6))
    assert fed(set(), 9).view() is None


def test_a_burn_rate_of_one_uses_exactly_the_budget():
    late = {n * 300 for n in range(1000)}
    assert fed(late, 120).burn_rate(60) == pytest.approx(1.0, rel=0.2)
    assert fed(set(), 120).burn_rate(60) == 0.0
    meter = fed(set(range(55 * RATE, 60 * RATE)), 60)
    assert meter.burn_rate(10) > 3 * meter.burn_rate(60) > 10 / ALLOWED_LATE_SHARE / 600
    assert BudgetMeter().burn_rate(10) == 0.0


@settings(max_examples=50, deadline=None)
@given(lates=st.lists(st.booleans(), min_size=1, max_size=400), rate=st.floats(1.0, 60.0))
def test_windows_account_for_all_their_frames(lates, rate):
    meter = BudgetMeter()
    for index, late in enumerate(lates):
        meter.add(index / rate, late)
    view = meter.view()
    if view is not None:
        assert 0 <= view.windows_over <= view.windows <= len(lates) / rate / 10 + 1
        assert (view.windows_over > 0) == (view.worst_late_share > ALLOWED_LATE_SHARE)
