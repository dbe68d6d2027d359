"""Histories: planted changes are found where they were planted, and noise is no change."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic
from lumavox.errors import MissingExtraError
from lumavox_matrix.cell import Rung
from lumavox_matrix.cli import main
from lumavox_matrix.judged import judge_all
from lumavox_matrix.policy import Policy
from lumavox_matrix.store import Store
from lumavox_matrix.trends import change_points, trends

START_MS = 1_790_000_000_000


def noisy(rng, runs, cv=0.02):
    return 9_000.0 * np.exp(rng.normal(0.0, cv, runs))


def test_a_step_is_found_where_it_was_planted_with_its_size():
    series = noisy(np.random.default_rng(1), 60)
    series[40:] *= 1.10
    ((index, ratio, p),) = change_points(series)
    assert abs(index - 40) <= 1 and ratio == pytest.approx(1.10, abs=0.02) and p < 1e-6


def test_a_slower_and_a_faster_version_are_two_changes():
    series = noisy(np.random.default_rng(2), 90)
    series[30:60] *= 1.15
    found = change_points(series)
    assert [abs(i - wanted) <= 1 for (i, _, _), wanted in zip(found, (30, 60))] == [True, True]
    assert found[0][1] > 1.1 and found[1][1] < 0.9


def test_runs_without_noise_change_exactly_where_they_do():
    assert [i for i, _, _ in change_points([100.0] * 20 + [110.0] * 20)] == [20]
    assert change_points([100.0] * 40) == [] and change_points([100.0] * 4) == []


def test_a_change_below_the_floor_is_none_however_sure_it_is():
    assert change_points([100.0] * 50 + [101.0] * 50) == []


def test_one_disturbed_run_is_no_change_of_level():
    series = noisy(np.random.default_rng(3), 40, cv=0.01)
    series[20] *= 1.5
    assert change_points(series) == []


@settings(deadline=None, max_examples=25)
@given(st.integers(6, 40), st.floats(1.2, 3.0), st.floats(100.0, 1e6))
def test_a_large_step_is_found_at_any_place_size_and_scale(place, ratio, scale):
    rng = np.random.default_rng(place)
    series = scale * np.exp(rng.normal(0.0, 0.01, 50))
    series[place:] *= ratio
    assert [i for i, _, _ in change_points(series)] == [place]


def test_histories_without_a_change_are_silent_and_five_per_cent_are_found_in_eight_runs():
    """The shares that the module claims; matrix-wide, a false alarm costs one look."""
    rng = np.random.default_rng(4)
    quiet = [bool(change_points(noisy(rng, 60))) for _ in range(300)]
    assert np.mean(quiet) <= 0.02
    found = []
    for _ in range(100):
        series = noisy(rng, 38)
        series[30:] *= 1.05
        found.append(any(abs(i - 30) <= 2 for i, _, _ in change_points(series)))
    assert np.mean(found) >= 0.9


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(MissingExtraError, match="ruptures"):
        change_points([1.0] * 40)


# --- of stored results ------------------------------------------------------------------------------------


def history(slower=1.12, **changes):
    """Runs of one slot: twelve on an older firmware, twelve on a newer one."""
    for number in range(24):
        new = number >= 12
        made = synthetic.record(
            synthetic.histogram(9_000.0 * (slower if new else 1.0), number), nonce=str(number)
        )
        at = START_MS + 86_400_000 * number
        yield synthetic.result(synthetic.cell_of(int(new)), made, began_ms=at, run_id=f"r{number}", **changes)


def test_a_change_names_the_version_that_changed_there():
    (trend,) = trends(judge_all(history(), Policy()))
    (change,) = trend.changes
    assert len(trend.points) == 24 and change.index == 12 and change.ratio == pytest.approx(1.12, abs=0.03)
    assert change.versions == ("firmware 2026.8 -> 2026.9",)


def test_tiers_and_loads_have_histories_of_their_own_and_emulators_none():
    mixed = [dataclasses.replace(r, loaded=n % 2 == 0) for n, r in enumerate(history(slower=1.0))]
    assert [len(t.points) for t in trends(judge_all(mixed, Policy()))] == [12, 12]
    assert trends(judge_all(history(rung=Rung.EMULATED), Policy())) == []


def test_the_command_tells_what_changed_when_and_with_which_version(tmp_path, capsys):
    store = Store.open(tmp_path)
    for result in history():
        store.add(result)
    assert main(["history", "--store", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "1 histories of 24 runs; 1 changes of level, 1 of them to slower times" in told
    assert "firmware 2026.8 -> 2026.9: chip-00" in told and "run 13 of 24" in told
    assert main(["history", "--store", str(tmp_path), "--since", "2030-01-01"]) == 0
    assert "0 changes of level" in capsys.readouterr().out
