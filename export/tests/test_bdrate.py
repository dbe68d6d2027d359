"""Bjontegaard delta rate against published values, scipy's figures, and curves whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox_export.evaluation.bdrate import bd_rate, pchip

# The worked example of the package `bjontegaard` 1.3.0 (FAU Erlangen: libx265 at two presets), and what that
# package gives for it with method "pchip"; its authors state agreement with the sheet of JVET-T2010.
ANCHOR = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]
TEST = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]
PUBLISHED_PERCENT = -4.417485350589


def test_the_published_example_comes_out() -> None:
    found = bd_rate(ANCHOR, TEST)
    assert found.percent == pytest.approx(PUBLISHED_PERCENT, abs=1e-9)
    assert found.quality == (34.987, 40.037)
    assert found.overlap == pytest.approx((40.037 - 34.987) / (40.121 - 34.851))


def test_the_order_of_points_does_not_matter() -> None:
    assert bd_rate(ANCHOR[::-1], TEST) == bd_rate(ANCHOR, TEST)


@given(st.floats(0.2, 5), st.floats(20, 80))
@settings(max_examples=30, deadline=None)
def test_a_curve_of_the_same_shape_at_another_rate_gives_that_ratio(ratio: float, offset: float) -> None:
    anchor = [(rate, quality + offset) for rate, quality in ANCHOR]
    test = [(rate * ratio, quality) for rate, quality in anchor]
    assert bd_rate(anchor, test).percent == pytest.approx((ratio - 1) * 100, abs=1e-6)


def test_curves_of_different_quality_give_a_reason_and_no_number() -> None:
    better = [(rate, quality + 10) for rate, quality in ANCHOR]
    found = bd_rate(ANCHOR, better)
    assert found.percent is None and found.overlap == 0
    assert "no overlap: 34.85..40.04 and 44.85..50.04" in found.reason


def test_a_point_that_costs_more_and_is_no_better_is_left_out() -> None:
    assert bd_rate([*ANCHOR, (20000.0, 40.0)], TEST) == bd_rate(ANCHOR, TEST)


def test_three_points_are_too_few() -> None:
    found = bd_rate(ANCHOR[:3], TEST)
    assert found.percent is None and "4 are needed" in found.reason


def test_the_interpolant_equals_that_of_scipy() -> None:
    interpolate = pytest.importorskip("scipy.interpolate", reason="scipy is the oracle here")
    rng = np.random.default_rng(3)
    for count in (3, 4, 5, 6, 8) * 10:
        x, y = np.sort(rng.uniform(0, 10, count)), rng.normal(size=count)
        at = np.linspace(x[0], x[-1], 40)
        np.testing.assert_allclose(pchip(x, y, at), interpolate.PchipInterpolator(x, y)(at), atol=1e-9)
