"""Quality on a device: content with a known truth, measured by the runner, judged by absolute floors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cells import GLANCE, virtual_cell
from lumavox import backends
from lumavox_matrix.cell import Culprit, Status
from lumavox_matrix.execute import Seeded, execute, job_for
from lumavox_matrix.lab import devices
from lumavox_matrix.models import models
from lumavox_matrix.plan import candidates
from lumavox_matrix.policy import Policy
from lumavox_matrix.profile import profile
from lumavox_matrix.reference import reference_db
from lumavox_matrix.runner.quality import PICTURES, SECONDS, mixture, picture_pair, psnr_db, si_sdr_db
from lumavox_matrix.verdict import judge

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("scale", [1.5, 2.0, 3.0, 4.0])
def test_the_small_picture_is_the_large_one_seen_by_a_camera(scale):
    small, large = picture_pair(1, 48, 32, scale)
    assert small.shape == (32, 48) and large.shape == (int(32 * scale), int(48 * scale))
    # The mean over any area is the same in both; a shift by half a pixel would move the edges.
    blocks = [p.reshape(4, p.shape[0] // 4, 4, p.shape[1] // 4).mean((1, 3)) for p in (small, large)]
    assert np.abs(blocks[0] - blocks[1]).max() < 0.1


def test_pictures_differ_from_number_to_number_and_use_the_whole_range():
    planes = [picture_pair(n, 96, 64, 2.0)[1] for n in range(PICTURES)]
    assert all(np.abs(a.astype(int) - b).mean() > 5 for a, b in zip(planes, planes[1:]))
    assert min(p.min() for p in planes) < 40 and max(p.max() for p in planes) > 215


@settings(deadline=None)
@given(st.integers(1, 40))
def test_psnr_of_a_constant_error_is_that_of_its_square(steps):
    plane = np.full((16, 16), 100, np.uint8)
    assert psnr_db(plane, plane + np.uint8(steps)) == pytest.approx(20 * np.log10(255 / steps))
    assert psnr_db(plane, plane) == 100.0


@settings(deadline=None)
@given(st.floats(0.1, 10.0), st.floats(-20.0, 40.0))
def test_si_sdr_does_not_know_a_gain_and_is_the_ratio_to_what_was_added(gain, ratio_db):
    voice = RNG.standard_normal(4000)
    added = RNG.standard_normal(4000)
    added -= voice * np.dot(voice, added) / np.dot(voice, voice)  # orthogonal, so that the ratio is exact
    added *= np.linalg.norm(voice) / np.linalg.norm(added) / 10 ** (ratio_db / 20)
    assert si_sdr_db(voice, gain * (voice + added)) == pytest.approx(ratio_db, abs=1e-6)


def test_the_voice_is_three_decibels_above_its_background():
    voice, mixed = mixture(48_000)
    assert len(voice) >= SECONDS * 48_000
    ratio = 20 * np.log10(np.std(voice) / np.std(mixed - voice))
    assert ratio == pytest.approx(3.0, abs=0.1)
    assert np.abs(mixed).max() <= 0.5 + 1e-9


def test_a_device_in_order_loses_nothing_against_its_reference():
    for task, names in (("sr", ("delta_psnr_y_mean", "delta_psnr_y_worst")), ("de", ("delta_si_sdr",))):
        record = execute(virtual_cell(task), GLANCE, run_id="r").record
        assert [record.observation(name).value for name in names] == [0.0] * len(names)
        assert record.observation("psnr_y" if task == "sr" else "si_sdr").count in (PICTURES, SECONDS)


def test_a_coarse_model_fails_by_a_floor_and_is_the_models_fault():
    """The noise is in both variants and in the golden vector: nothing else differs."""
    seeded = Seeded(model={"faults": {"noise_from": 0, "noise_steps": 12}})
    found = judge(
        execute(virtual_cell("sr"), GLANCE, run_id="r", seeded=seeded), profile("virtual-steady"), Policy()
    )
    assert (found.status, found.rule, found.culprit) == (Status.FAIL, "quality", Culprit.MODEL)
    assert "is above 0.2 dB" in found.reason


def test_the_job_carries_the_figures_of_the_reference_and_a_model_without_one_none():
    planned = virtual_cell("sr")
    assert len(job_for(planned, GLANCE).reference_db) == PICTURES
    shipped = models(["sr/nano-x2"])[0]
    name = shipped.variants[0].name
    assert len(reference_db(shipped, name)) == PICTURES
    sides = {"inputs": (1, 34, 42, 1), "outputs": (1, 68, 84, 1)}  # of this size there is no float32 variant
    specs = {
        k: (dataclasses.replace(getattr(shipped.variants[0], k)[0], shape=shape),)
        for k, shape in sides.items()
    }
    fixed = dataclasses.replace(shipped.variants[0], dynamic=False, **specs)
    assert reference_db(dataclasses.replace(shipped, variants=(fixed,)), name) == ()


@pytest.mark.parametrize("name", ["sr/nano-x2", "sr/small-x1.5", "de/base"])
def test_shipped_integer_models_hold_the_floors_on_this_machine(name):
    usable = {b.name for b in backends.available() if b.probe().usable}
    cells, _ = candidates(devices(profile("host")), models([name]), tier=GLANCE, precisions=["int8"])
    cells = [c for c in cells if c.cell.engine in usable]
    if not cells:
        pytest.skip("no engine is installed that runs the shipped models")
    result = execute(cells[0], GLANCE, run_id="r")
    delta = "delta_psnr_y_mean" if cells[0].cell.task == "sr" else "delta_si_sdr"
    assert abs(result.record.observation(delta).value) < 0.2
    found = judge(result, profile("host"), Policy())
    assert "quality" not in {f.rule for f in found.findings}, found.findings
