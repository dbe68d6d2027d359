"""The gain law, levels, calibration and ramps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox.remix import LEVELS, DialogControls, GainRamp, Gains, calibrated


@pytest.mark.parametrize(
    ("level", "db"), [*LEVELS.items(), (7.5, 7.5), ("+6dB", 6.0), ("4.5", 4.5), ("MAX", 12.0)]
)
def test_a_level_changes_the_difference_between_dialog_and_background_by_its_decibels(level, db):
    gains = DialogControls.of_level(level).gains()
    assert 20 * math.log10(gains.dialog / gains.background) == pytest.approx(db, abs=1e-9)
    assert 20 * math.log10(gains.dialog) <= 3.0 + 1e-9


@pytest.mark.parametrize("level", ["of", "loud", "12.5", -1, 13, math.nan, "dB"])
def test_an_unknown_level_is_refused_and_the_possible_ones_are_named(level):
    with pytest.raises(OptionError, match="off|0 to 12"):
        DialogControls.of_level(level)


@pytest.mark.parametrize(
    "options",
    [{"dialog_gain_db": 13}, {"background_atten_db": -1}, {"strength": 1.1}, {"strength": math.nan}],
)
def test_controls_out_of_range_are_refused_by_name(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        DialogControls(**options)


@given(
    mask=st.floats(0, 1, width=32), dry=st.floats(-1, 1, width=32),
    up=st.floats(0, 12), down=st.floats(0, 18), strength=st.floats(0, 1),
)  # fmt: skip
def test_the_gain_of_a_bin_is_the_remix_law(mask, dry, up, down, strength):
    """Oracle: the law as it is written in docs/design.md, with dialog = mask^1.5 * dry."""
    gains = DialogControls(up, down, strength).gains()
    dialog = mask**1.5 * dry
    change = (10 ** (up / 20) - 1) * dialog + (10 ** (-down / 20) - 1) * (dry - dialog)
    got = dry * gains.of_mask(np.array([mask], np.float32))[0]
    assert got == pytest.approx(dry + strength * change, abs=1e-5)


@pytest.mark.parametrize(
    "controls", [DialogControls(), DialogControls.of_level("off"), DialogControls(6, 6, 0.0)]
)
def test_controls_that_do_nothing_give_gains_of_exactly_one(controls):
    gains = controls.gains(((3.0, 4.0),))
    assert gains.neutral
    assert gains.bed == 1.0
    assert np.all(gains.of_mask(np.linspace(0, 1, 7, dtype=np.float32)) == 1.0)


@pytest.mark.parametrize(("requested", "applied"), [(0, 0), (1.5, 2), (3, 4), (4.5, 6), (6, 8), (9, 11)])
def test_calibration_is_piecewise_linear_through_zero_and_goes_on_with_its_last_offset(requested, applied):
    assert calibrated(requested, ((3.0, 4.0), (6.0, 8.0))) == pytest.approx(applied)
    gains = DialogControls.of_level(float(requested)).gains(((3.0, 4.0), (6.0, 8.0)))
    assert 20 * math.log10(gains.dialog / gains.background) == pytest.approx(applied, abs=1e-9)


def test_without_calibration_what_is_requested_is_applied():
    assert calibrated(7.25, ()) == 7.25


def test_a_ramp_moves_evenly_and_ends_exactly():
    ramp, target = GainRamp(Gains(), frames=4), Gains(2.0, 0.5, 0.5)
    ramp.aim(target)
    steps = [ramp.step() for _ in range(6)]
    assert [g.dialog for g in steps] == pytest.approx([1.25, 1.5, 1.75, 2.0, 2.0, 2.0])
    assert steps[3] == steps[5] == target


def test_a_ramp_turns_round_where_it_is():
    ramp = GainRamp(Gains(), frames=4)
    ramp.aim(Gains(dialog=3.0))
    ramp.step(), ramp.step()
    ramp.aim(Gains())
    assert [ramp.step().dialog for _ in range(4)] == pytest.approx([1.75, 1.5, 1.25, 1.0])
    assert ramp.now.neutral
