"""Every fault that is put into a virtual device leaves its sign, and a device in order leaves none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cells import GLANCE, signs_of, virtual_cell
from lumavox.errors import OptionError
from lumavox_matrix.cell import Culprit
from lumavox_matrix.execute import execute
from lumavox_matrix.faults import SIGNS, Fault, faults
from lumavox_matrix.policy import Policy
from lumavox_matrix.profile import profile
from lumavox_matrix.result import Result
from lumavox_matrix.seeded import SeededOutcome, Seen
from lumavox_matrix.verdict import judge

FAULTS = faults()


def run(fault: Fault) -> Result:
    planned = virtual_cell(fault.task)
    return execute(planned, GLANCE, run_id="test", seeded=fault.seeded, timeout_s=fault.timeout_s)


@pytest.fixture(scope="module")
def results():
    with ThreadPoolExecutor(4) as pool:
        return dict(zip([fault.name for fault in FAULTS], pool.map(run, FAULTS)))


def test_there_are_enough_faults_of_every_class():
    assert len(FAULTS) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {fault.culprit for fault in FAULTS} == set(Culprit)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_seeded_fault_leaves_its_sign(fault, results):
    result = results[fault.name]
    assert fault.sign in signs_of(result), (result.reason, result.outcome.stderr)


@pytest.mark.parametrize("task", ["sr", "de"])
def test_a_device_in_order_leaves_no_sign(task):
    result = execute(virtual_cell(task), GLANCE, run_id="test")
    assert signs_of(result) == {"DONE"}, result.reason


def test_signs_that_are_judged_against_budgets_are_explained():
    known = {o for fault in FAULTS for o in [fault.sign]}
    assert set(SIGNS) - {"golden_matches"} <= known | {"golden_matches"}


def test_an_unknown_key_of_a_fault_names_the_nearest(tmp_path):
    path = tmp_path / "faults.toml"
    path.write_text('[[faults]]\nname = "x"\nwhat = "y"\ntask = "sr"\nculprit = "driver"\nsing = "FAIL"\n')
    with pytest.raises(OptionError, match=r"faults\[0\].*'sing'; did you mean 'sign'"):
        faults(path)


def test_verdicts_catch_every_fault_and_name_the_right_culprit(results):
    steady = profile("virtual-steady")
    seen = [Seen(fault, judge(results[fault.name], steady, Policy())) for fault in FAULTS]
    outcome = SeededOutcome(tuple(seen))
    assert outcome.caught == 1.0, outcome.table()
    assert outcome.right_culprit >= 0.95, outcome.table()
    assert all(s.verdict.findings[0].evidence for s in seen)
