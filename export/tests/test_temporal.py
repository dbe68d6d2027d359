"""Steadiness in time on sequences made for it: a still scene that flickers, an I frame that stands out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lumavox.errors import LumavoxError
from lumavox_export.evaluation.temporal import i_frame_pulse_db, temporal

Picture = NDArray[np.float64]


def _scene(seed: int = 1) -> Picture:
    return np.random.default_rng(seed).uniform(60, 190, (48, 64))


def test_flicker_of_a_still_scene_is_the_deviation_of_what_was_injected() -> None:
    scene, rng = _scene(), np.random.default_rng(2)
    noise = rng.normal(0, 3, (20, *scene.shape))
    found = temporal([scene + n for n in noise], [scene] * 20)
    assert found.flicker == pytest.approx(np.sqrt(np.mean(np.var(noise, axis=0, ddof=1))), rel=1e-5)
    assert found.static_share == 1.0


def test_a_lasting_error_is_not_flicker() -> None:
    scene, wrong = _scene(), _scene(5)
    found = temporal([wrong] * 6, [scene] * 6)
    assert found.flicker == pytest.approx(0, abs=1e-3)
    assert found.difference_psnr_db is not None and found.difference_psnr_db > 100
    assert found.psnr_y_db[0] < 20


def test_a_pixel_that_moves_begins_a_new_run_with_its_own_error() -> None:
    """The error changes with the picture at a cut: nothing flickers."""
    first = _scene()
    second = 250 - first + 5 * np.sign(125 - first)  # every pixel changes by more than a step
    found = temporal([first + 4] * 3 + [second - 6] * 3, [first] * 3 + [second] * 3)
    assert found.flicker == pytest.approx(0, abs=1e-3)
    assert found.static_share == pytest.approx(4 / 5)


def test_flicker_looks_only_where_the_truth_is_static() -> None:
    scene, rng = _scene(), np.random.default_rng(3)
    truths, estimates = [], []
    for index in range(12):
        truth, estimate = scene.copy(), scene + rng.normal(0, 2, scene.shape)
        truth[:, 32:] += 5 * (index % 2)  # the right half moves ...
        estimate[:, 32:] += rng.normal(0, 20, (48, 32))  # ... and its error is no business of flicker
        truths.append(truth)
        estimates.append(estimate)
    found = temporal(estimates, truths)
    assert found.flicker == pytest.approx(2, rel=0.05)
    assert found.static_share == pytest.approx(0.5)


def test_without_anything_static_there_is_no_flicker_figure() -> None:
    found = temporal([_scene(n) for n in range(2)], [np.full((48, 64), 50.0 * n) for n in range(2)])
    assert found.flicker is None and found.static_share == 0
    assert temporal([_scene()], [_scene()]).difference_psnr_db is None


def test_difference_psnr_is_that_of_the_changes_and_border_is_left_out() -> None:
    rng = np.random.default_rng(4)
    truths = [rng.uniform(60, 190, (32, 40)) for _ in range(5)]
    estimates = [t + rng.normal(0, 4, t.shape) for t in truths]
    inner = np.s_[:, 3:-3, 3:-3]
    wrong = (np.diff(estimates, axis=0) - np.diff(truths, axis=0))[inner]
    for estimate in estimates:
        estimate[:3] = 255
    found = temporal(estimates, truths, border=3)
    assert found.difference_psnr_db == pytest.approx(10 * np.log10(255**2 / np.mean(wrong**2)), abs=1e-4)


def test_an_injected_i_frame_pulse_comes_out_beside_a_drift() -> None:
    types = list("IPBBPIPBBPIPB")
    drift = 0.05 * np.arange(len(types))  # the same on both sides of a frame: no pulse
    gains = drift + np.array([0.4 if t == "I" else 0.0 for t in types])
    # The first frame has a neighbour on one side only, so there the drift counts.
    assert i_frame_pulse_db(list(gains), types) == pytest.approx(0.4 - 0.05 / 3)


def test_there_is_no_pulse_without_i_frames_or_without_others() -> None:
    assert i_frame_pulse_db([1.0, 2.0], ["P", "B"]) is None
    assert i_frame_pulse_db([1.0, 2.0], ["I", "I"]) is None


def test_quality_is_told_by_frame_type() -> None:
    scene = _scene()
    found = temporal([scene + 5, scene + 10, scene + 10], [scene] * 3)
    by_type = found.by_type(["I", "P", "P"])
    assert by_type["I"] == pytest.approx(20 * np.log10(255 / 5), abs=1e-3)
    assert by_type["P"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)


def test_sequences_of_unequal_length_are_refused() -> None:
    with pytest.raises(LumavoxError, match=r"got 2 of .* and 3 of"):
        temporal([_scene()] * 2, [_scene()] * 3)
