"""The smoke tier as ordinary tests: ``pytest device_tests``. One test for each cell, of this machine and of
the scripted chipsets, that a plan with every value at least once chooses.

A cell whose failure its chipset's profile explains is an expected failure; one that passes in spite of it
fails, until the profile is corrected. For other devices and longer tiers: ``lumavox-matrix run``.
"""

from __future__ import annotations

import pytest

from lumavox_matrix.cell import Status
from lumavox_matrix.execute import execute
from lumavox_matrix.lab import devices
from lumavox_matrix.models import models
from lumavox_matrix.plan import PlannedCell, plan
from lumavox_matrix.policy import Policy
from lumavox_matrix.profile import profile, profiles
from lumavox_matrix.tiers import tier
from lumavox_matrix.verdict import judge
from lumavox_matrix.virtual import virtual_models

SMOKE = tier("smoke")
HERE = ("local", "virtual")


def cells() -> list[PlannedCell]:
    # A real-time virtual chipset is for measuring pools of workers: its calls sleep.
    chosen = [chipset for chipset in profiles() if not chipset.real_time]
    found = [device for chipset in chosen for device in devices(chipset) if device.link in HERE]
    return list(plan(found, [*models([]), *virtual_models()], tier=SMOKE, strength=1).cells)


@pytest.mark.parametrize("planned", cells(), ids=lambda planned: str(planned.cell).replace(" ", ""))
def test_cell(planned, record_property):
    record_property("cell", planned.cell.digest)
    result = execute(planned, SMOKE, run_id="pytest")
    verdict = judge(result, profile(planned.device.chipset), Policy())
    record_property("status", verdict.status.value)
    record_property("rung", verdict.rung.value)
    if verdict.gap == "known":
        pytest.xfail(f"{verdict.reason} ({verdict.gap_reason})")
    culprit = f"{verdict.culprit.value}: " if verdict.culprit else ""
    assert verdict.status is Status.PASS, f"{culprit}{verdict.reason}; again: {result.command}"
    assert verdict.gap != "healed", f"take the gap out of the profile: {verdict.gap_reason}"
