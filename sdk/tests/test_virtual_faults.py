"""Scripted chipsets: each fault comes when it is scripted for, the same in every run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bundles
import lumavox
from lumavox import backends
from lumavox._virtual_faults import Disturbance, Faults
from lumavox.bundle import Bundle
from lumavox.errors import EngineError
from lumavox.session import Session
from lumavox.telemetry import Meter


def engine(**faults: object):
    script = {"op": "nearest", "faults": faults}
    return backends.get("virtual").open(json.dumps(script).encode(), bundles.sr_variant())


def outputs(opened, values: list[int], size: int = 20) -> list[np.ndarray]:
    """What the engine makes of flat pictures of those int8 values, call by call."""
    found = []
    opened.resize("luma", (1, size, size, 1))
    for value in values:
        opened.input("luma")[...] = value
        opened.run()
        found.append(opened.output("enlarged").copy())
    return found


def test_a_stale_call_gives_what_the_one_before_gave_and_an_older_one_what_came_before_that():
    seen = outputs(engine(stale_at=[2], older_at=[4]), [0, 1, 2, 3, 4, 5])
    assert [int(v.flat[0]) for v in seen] == [0, 1, 1, 3, 2, 5]


def test_from_a_call_on_every_output_is_late_by_one():
    seen = outputs(engine(stale_from=2), [0, 1, 2, 3])
    assert [int(v.flat[0]) for v in seen] == [0, 1, 1, 2]


def test_off_by_one_raises_one_output_in_97_by_one_step_and_never_wraps():
    usual, largest = outputs(engine(off_by_one_from=0), [5, 127])
    assert np.count_nonzero(usual != 5) == -(-usual.size // 97)
    assert set(np.unique(usual)) == {5, 6}
    assert set(np.unique(largest)) == {127}


def test_a_missing_clamp_wraps_around():
    (seen,) = outputs(engine(wrap_from=0, wrap_offset=64), [100])
    assert set(np.unique(seen)) == {100 + 64 - 256}


def test_noise_is_the_same_in_every_call_and_bounded():
    faults = Faults(noise_from=0, noise_steps=5)
    made = [np.zeros((1, 40, 40, 1), np.int8) for _ in range(2)]
    for call, plane in enumerate(made):
        Disturbance(faults).after(call, "out", plane, "NHWC")
    assert np.array_equal(*made) and (made[0].min(), made[0].max()) == (-5, 5)


def test_a_seam_runs_down_the_middle():
    (seen,) = outputs(engine(seam_from=0, seam_steps=7), [10])
    assert set(np.unique(seen[:, :, :20])) == {10}
    assert set(np.unique(seen[:, :, 20:])) == {17}


def test_delays_have_a_spread_a_tail_and_a_thermal_ramp_that_are_the_same_in_every_run():
    faults = Faults(
        jitter=0.2, tail_every=100, tail_ms=50, thermal_from=1000, thermal_calls=100, thermal_factor=3
    )
    delays = [[Disturbance(faults).delay_ms(call, 2.0) for call in range(1, 3000)] for _ in range(2)]
    assert delays[0] == delays[1]
    early = [d for call, d in enumerate(delays[0], 1) if call < 1000 and call % 100]
    late = [d for call, d in enumerate(delays[0], 1) if call > 1100 and call % 100]
    assert np.median(early) == pytest.approx(2.0, rel=0.03)  # oracle: the median of the factor is 1
    assert np.std(np.log(early)) == pytest.approx(0.2, rel=0.1)
    assert np.median(late) == pytest.approx(6.0, rel=0.03)
    assert all(delays[0][call - 1] > 50 for call in range(100, 1000, 100))


def test_an_engine_out_of_memory_or_of_another_version_raises_the_one_error():
    opened = engine(out_of_memory_at=[1])
    outputs(opened, [0])
    with pytest.raises(EngineError, match="out of device memory"):
        opened.run()
    with pytest.raises(EngineError, match="compiled with 8.2 but runtime is 9.2"):
        engine(open_error="compiled with 8.2 but runtime is 9.2")
    with pytest.raises(EngineError, match="did you mean 'stale_at'"):
        engine(stale_att=[1])


@pytest.mark.parametrize(("fault", "code"), [({"crash_signal": 4}, -4), ({"crash_signal": 11}, -11)])
def test_a_crash_ends_the_process_by_that_signal(fault, code):
    program = (
        "import sys; from lumavox._virtual_faults import *; "
        f"Disturbance(Faults(crash_at=(3,), **{fault})).before(3)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(lumavox.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == code


def test_the_placement_that_an_engine_tells_is_in_the_telemetry(tmp_path):
    script = {"op": "nearest", "faults": {"nodes_total": 7, "nodes_on_ep": 3}}
    bundle = Bundle.open(bundles.sr_bundle(tmp_path, model=script), trusted_keys=bundles.trusted())
    meter = Meter(task="sr")
    with Session.open(bundle) as session:
        session.tell(meter)
    record = meter.record()
    assert (record.nodes_on_ep, record.nodes_total) == (3, 7)
