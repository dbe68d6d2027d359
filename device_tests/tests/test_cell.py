"""Cells, statuses, rungs, presets and tiers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells import cell
from lumavox.errors import OptionError
from lumavox_matrix.cell import AXES, Rung, Status
from lumavox_matrix.presets import PRESETS, preset
from lumavox_matrix.tiers import PERCENTILES, frames_for_percentile, provable_percentile, tier
from lumavox_matrix.versions import VersionRange


def test_the_key_has_firmware_driver_and_compiler_and_not_the_readable_name_of_the_model():
    assert set(AXES) == {
        "task", "model_digest", "precision", "preset", "engine", "engine_version", "delegate", "compiler",
        "driver", "firmware", "soc", "qos",
    }  # fmt: skip
    assert cell().digest == cell(model="sr/renamed").digest


@pytest.mark.parametrize("axis", [a for a in AXES if a != "task"])
def test_every_part_of_the_key_changes_the_digest(axis):
    assert cell(**{axis: "other"}).digest != cell().digest


def test_a_digest_is_the_same_in_every_process_and_stays_what_it_was():
    """The literal is from the first version: results of a year ago must still be found."""
    assert cell().digest == "f8e8c1003fb05845"
    assert len(cell().digest) == 16


@pytest.mark.parametrize("value", ["", " x", "x" * 201, 3, None])
def test_a_part_that_is_no_short_text_is_refused(value):
    with pytest.raises(OptionError, match="firmware must be a text"):
        cell(firmware=value)


def test_statuses_are_ordered_from_the_worst_and_rungs_from_the_strongest():
    assert sorted(Status, key=lambda s: s.severity) == [
        Status.FAIL, Status.ERROR, Status.MISS, Status.PASS, Status.DONE, Status.SKIP,
    ]  # fmt: skip
    assert [rung.level for rung in Rung] == [4, 3, 2, 1, 0]
    assert min(Rung, key=lambda r: r.level) is Rung.PREDICTED
    assert not Rung.EMULATED.times_are_latencies
    assert Rung.MEASURED.times_are_latencies


# Oracle: the table of MLPerf's early stopping at 99 % confidence (rows: percentile, columns: late frames).
LATE = (0, 1, 2, 5, 10)
TABLE = {
    90: (44, 64, 81, 127, 197),
    95: (90, 130, 165, 259, 398),
    99: (459, 662, 838, 1307, 2010),
    99.9: (4603, 6636, 8403, 13105, 20140),
}


@pytest.mark.parametrize("percent", TABLE)
def test_the_frames_behind_a_percentile_are_those_of_the_published_table(percent):
    assert tuple(frames_for_percentile(percent, late) for late in LATE) == TABLE[percent]


@given(percent=st.floats(50, 99.95), late=st.integers(0, 12))
def test_one_frame_fewer_does_not_prove_it(percent, late):
    """Oracle: the binomial distribution summed term by term."""
    from math import comb

    def unproven(n: int) -> float:
        p = 1 - percent / 100
        return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(late + 1))

    n = frames_for_percentile(percent, late)
    assert unproven(n) <= 0.01 * (1 + 1e-9)
    assert n == late + 1 or unproven(n - 1) > 0.01 * (1 - 1e-9)


def test_what_a_tier_can_prove():
    assert provable_percentile(63) is None
    assert [provable_percentile(frames_for_percentile(p)) for p in PERCENTILES] == list(PERCENTILES)
    assert provable_percentile(tier("smoke").frames(24)) == 95
    assert provable_percentile(tier("gate").frames(24)) == 99.9
    assert tier("gate").run_s(60) >= 120
    with pytest.raises(OptionError, match="did you mean 'soak'"):
        tier("soack")


def test_presets_say_how_often_their_units_come():
    assert preset("540p60").interval_ms == pytest.approx(16.667, abs=1e-3)
    assert preset("stereo48k").interval_ms == 15.0
    assert all(p.units_per_s > 0 and name == p.name for name, p in PRESETS.items())
    with pytest.raises(OptionError, match="did you mean '540p30'"):
        preset("540p31")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=2.3", ["2.3", "2.3.0", "10.0"], ["2.2.9", "unknown"]),
        (">=1.20,<2", ["1.20", "1.31.1", "1.99"], ["2.0", "1.3"]),
        ("==2.14.0", ["2.14", "2.14.0"], ["2.14.1"]),
        ("!=1.23", ["1.22"], ["1.23.0"]),
        ("*", ["1", "unknown"], []),
    ],
)
def test_version_ranges(text, inside, outside):
    found = VersionRange(text)
    assert [v for v in inside if not found.contains(v)] == []
    assert [v for v in outside if found.contains(v)] == []


def test_a_version_range_that_is_none_is_refused():
    with pytest.raises(OptionError, match="is not like '>=2.3'"):
        VersionRange("about 2")
