"""Verdicts: each rule fires on its own evidence, names the right culprit, and is silent otherwise."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic
from lumavox_matrix.cell import Culprit, Rung, Status
from lumavox_matrix.evidence import late_in, p99_us
from lumavox_matrix.judged import judge_all
from lumavox_matrix.policy import Policy, Quality, Timing
from lumavox_matrix.profile import KnownGap, profile
from lumavox_matrix.result import Outcome, Result
from lumavox_matrix.rules.proofs import delta_psnr_db, share_is_above
from lumavox_matrix.runner.record import Memory, Observation, Phase, Record
from lumavox_matrix.verdict import Delegation, Validity, Verdict, combine, judge

NPU = synthetic.cell_of(0)
CPU = synthetic.cell_of(0, delegate="cpu")
LOOP = synthetic.histogram(9_000.0, 1)


def verdict(cell=NPU, seen=None, policy=None, chipset=None, result=None, **changes) -> Verdict:
    """Of a run in order, but for the changes."""
    made = synthetic.record(LOOP, seen, **changes)
    return judge(synthetic.result(cell, made, **(result or {})), chipset, policy or Policy())


def failing(name: str, phase: str = "stream", value: float = 3.0, **more) -> tuple[Observation, ...]:
    return synthetic.observations(**{name: Observation(name, phase, False, value, 0.0, "frames", 64, **more)})  # type: ignore[arg-type]


def told(**changes) -> object:
    """Telemetry with some members of its own."""
    return dataclasses.replace(synthetic.record(LOOP).telemetry, **changes)


def test_a_run_in_order_is_plain_green_and_says_why():
    found = verdict()
    assert (found.status, found.validity, found.delegation) == (Status.PASS, Validity.VALID, Delegation.FULL)
    assert found.plain_green and found.findings == () and found.culprit is None
    assert "11.7 times as fast as the CPU, all 21 operators" in found.delegation_proof
    assert found.proven_percentile == 95.0


@pytest.mark.parametrize(
    ("seen", "culprit", "rule"),
    [
        (failing("engine_order", "engine"), Culprit.DRIVER, "engine_steady"),
        (failing("engine_repeatable", "engine"), Culprit.DRIVER, "engine_steady"),
        (failing("engine_frames_match"), Culprit.DRIVER, "engine_in_stream"),
        (failing("engine_output_plausible", "engine", 64.0), Culprit.MODEL, "engine_output"),
        (failing("engine_output_plausible", "engine", 3.0), Culprit.DRIVER, "engine_output"),
        (failing("every_sample_rendered"), Culprit.RUNTIME, "output"),
        (failing("audio_video_synchronization"), Culprit.RUNTIME, "output"),
        (failing("a_check_of_a_later_runner", "engine"), Culprit.DRIVER, "output"),
        (failing("memory_steady"), Culprit.RUNTIME, "memory"),
        (failing("memory_steady") + failing("engine_memory_steady", "engine")[-1:], Culprit.DRIVER, "memory"),
    ],
)
def test_an_observation_beyond_its_limit_fails_with_its_culprit(seen, culprit, rule):
    found = verdict(seen=seen)
    assert (found.status, found.culprit, found.rule) == (Status.FAIL, culprit, rule)
    assert found.findings[0].evidence


def test_an_implausible_output_that_the_cpu_has_not_is_the_drivers():
    seen = {o.name: o for o in failing("engine_output_plausible", "engine", 64.0)}
    far = Observation("reference_max_diff", "reference", None, 90.0, 0.0, "steps", 9)
    assert verdict(seen=tuple((seen | {far.name: far}).values())).culprit is Culprit.DRIVER


def test_a_jump_of_the_clock_is_an_error_of_the_harness_and_makes_the_run_invalid():
    jump = Observation("clock_steady", "stream", False, 5000.0, 250.0, "ms")
    found = verdict(seen=synthetic.observations(clock_steady=jump))
    assert (found.status, found.culprit, found.validity) == (Status.ERROR, Culprit.HARNESS, Validity.INVALID)


def test_a_product_that_fails_while_the_clock_jumps_still_fails():
    jump = Observation("clock_steady", "stream", False, 5000.0, 250.0, "ms")
    wrong = Observation("engine_order", "engine", False, 1.0, 0.0, "frames", 64)
    found = verdict(seen=synthetic.observations(clock_steady=jump, engine_order=wrong))
    assert (found.status, found.culprit) == (Status.FAIL, Culprit.DRIVER)


def test_another_engine_than_declared_is_an_error_of_the_harness():
    found = verdict(cell=dataclasses.replace(NPU, engine_version="2.4.0"))
    assert (found.status, found.rule) == (Status.ERROR, "identity")


# --- crashes ----------------------------------------------------------------------------------------------

ENGINE_STACK = """Fatal Python error: Segmentation fault

Current thread 0x1 (most recent call first):
  File "/p/lumavox/backends/litert.py", line 9 in run

Thread 0x2 (most recent call first):
  File "/p/lumavox/video.py", line 4 in process"""
OWN_STACK = ENGINE_STACK.replace("backends/litert", "other").replace("video", "backends/ort")


@pytest.mark.parametrize(
    ("phase", "stderr", "culprit"),
    [
        ("open", "", Culprit.DRIVER),
        ("engine", OWN_STACK, Culprit.DRIVER),
        ("stream", ENGINE_STACK, Culprit.DRIVER),
        ("stream", OWN_STACK, Culprit.RUNTIME),
        ("stream", "", Culprit.DRIVER),  # killed or aborted without a word: foreign code
        ("stream", 'Traceback (most recent call last):\n  File "/p/lumavox/video.py"', Culprit.RUNTIME),
    ],
)
def test_a_crash_is_of_whom_the_crashed_thread_was_running(phase, stderr, culprit):
    ended = {"status": Status.FAIL, "reason": "crashed", "outcome": Outcome(1.0, signal=11, stderr=stderr)}
    found = verdict(result=ended, phases=(Phase(phase, 0.0),), complete=False)
    assert (found.status, found.culprit, found.rule) == (Status.FAIL, culprit, "ended")


@pytest.mark.parametrize(
    ("error", "culprit", "status"),
    [
        ("EngineError: bytecode of another version", Culprit.DRIVER, Status.FAIL),
        ("BundleSelfCheckError: off", Culprit.DRIVER, Status.FAIL),
        ("BundleFormatError: no", Culprit.MODEL, Status.FAIL),
        ("BundleVersionError: newer", Culprit.RUNTIME, Status.FAIL),
        ("BackendUnavailableError: not installed", Culprit.HARNESS, Status.ERROR),
        ("BundleIntegrityError: altered on the way", Culprit.HARNESS, Status.ERROR),
        ("ZeroDivisionError: x", Culprit.RUNTIME, Status.FAIL),
    ],
)
def test_an_exception_is_of_the_class_that_its_name_says(error, culprit, status):
    ended = {"status": Status.FAIL, "reason": error}
    found = verdict(result=ended, phases=(Phase("open", 0.0, 1.0, error),), complete=False)
    assert (found.culprit, found.status) == (culprit, status)


def test_a_lost_device_and_a_lost_record_are_the_harness_s():
    for status in (Status.ERROR, Status.MISS):
        lost = judge(synthetic.result(NPU, None, status=status, reason="gone"), None, Policy())
        assert (lost.status, lost.culprit, lost.validity) == (status, Culprit.HARNESS, Validity.INVALID)


# --- time -------------------------------------------------------------------------------------------------


def test_late_frames_fail_and_are_of_whom_took_the_time():
    slow = synthetic.histogram(60_000.0, 2)
    times = {"loop_us": slow.buckets(), "loop_max_us": slow.max_us}
    assert verdict(**times).culprit is Culprit.RUNTIME
    engine = {"engine_us": slow.buckets(), "engine_max_us": slow.max_us}
    found = verdict(**times, **engine)
    assert (found.culprit, found.rule) == (Culprit.DRIVER, "deadline")


def test_a_percentile_is_proven_by_frames_that_were_in_time_only():
    assert verdict(loop_us=((260, 299), (300, 1)), loop_max_us=104_000.0).proven_percentile == 95.0
    assert verdict(loop_us=((260, 280), (300, 20)), loop_max_us=104_000.0).proven_percentile is None


def test_one_late_frame_of_three_hundred_is_within_one_in_three_hundred():
    late = {"loop_us": ((260, 299), (300, 1)), "loop_max_us": 104_000.0}
    assert verdict(**late).status is Status.PASS
    assert verdict(loop_us=((260, 293), (300, 7)), loop_max_us=104_000.0).status is Status.FAIL


def test_times_of_an_emulator_are_never_judged():
    slow = synthetic.histogram(900_000.0, 3)
    late_start = Observation("start_up_delay", "stream", False, 9e4, 1e3, "ms")
    found = verdict(
        seen=synthetic.observations(start_up_delay=late_start),
        result={"rung": Rung.EMULATED},
        loop_us=slow.buckets(), loop_max_us=slow.max_us, engine_us=slow.buckets(), reference_us=((200, 16),),
        minutes_p99_us=(1e5, 9e5), telemetry=told(first_frame_ms=9e4, mem_peak_kb=10**7, frames_late=300),
    )  # fmt: skip
    assert (found.status, found.proven_percentile) == (Status.PASS, None)


def test_deadlines_are_judged_where_frames_are_paced_or_the_clock_is_scripted():
    slow = synthetic.histogram(60_000.0, 2)
    times = {"loop_us": slow.buckets(), "loop_max_us": slow.max_us}
    assert verdict(result={"tier": "glance"}, **times).status is Status.PASS
    assert verdict(result={"tier": "glance"}, clock="scripted", **times).rule == "deadline"


def test_a_chip_that_throttles_fails_at_its_last_minute():
    found = verdict(minutes_p99_us=(10_000.0, 11_000.0, 14_000.0))
    assert (found.rule, found.culprit) == ("sustained", Culprit.DRIVER)
    assert "10.0 ms in minute 1, 14.0 ms in minute 3" in found.reason


def test_a_slow_start_is_the_drivers_if_loading_takes_it():
    late = Observation("start_up_delay", "stream", False, 3000.0, 1000.0, "ms")
    seen = synthetic.observations(start_up_delay=late)
    for load_ms, culprit in ((2900.0, Culprit.DRIVER), (100.0, Culprit.RUNTIME)):
        found = verdict(seen=seen, telemetry=told(first_frame_ms=3000.0, cold_load_ms=load_ms))
        assert (found.rule, found.culprit) == ("start_up", culprit)


@settings(deadline=None)  # the first call imports scipy
@given(st.integers(0, 60), st.integers(1, 2000))
def test_a_share_is_above_its_limit_exactly_where_the_binomial_test_says_so(count, of):
    stats = pytest.importorskip("scipy.stats")
    count = min(count, of)
    p = float(stats.binom.sf(count - 1, of, 1 / 300))
    if not math.isclose(p, 0.01, rel_tol=1e-6):
        assert share_is_above(count, of, 1 / 300, 0.99) == (p <= 0.01)


@given(st.lists(st.floats(10, 1e6), min_size=1, max_size=300), st.floats(10, 1e6))
def test_late_frames_of_a_histogram_are_those_of_the_values_but_for_the_deadlines_own_bucket(
    values, deadline
):
    made = synthetic.Histogram()
    for value in values:
        made.add(value)
    late = late_in(made.buckets(), deadline)
    assert (
        sum(v > deadline * 2 ** (1 / 18) for v in values)
        <= late
        <= sum(v >= deadline * 0.999 for v in values)
    )


def test_p99_has_a_place_inside_its_bucket():
    made = synthetic.Histogram()
    values = np.exp(np.random.default_rng(0).normal(9.0, 0.1, 20_000))
    for value in values:
        made.add(value)
    assert p99_us(made.buckets(), made.max_us) == pytest.approx(np.percentile(values, 99), rel=0.005)
    assert p99_us((), 0.0) is None


# --- placement --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "delegation"), [((12, 21), Delegation.PARTIAL), ((0, 21), Delegation.NONE)]
)
def test_operators_on_the_cpu_are_a_failure_of_placement(nodes, delegation):
    found = verdict(telemetry=told(nodes_on_ep=nodes[0], nodes_total=nodes[1]))
    assert (found.status, found.rule, found.delegation) == (Status.FAIL, "placement", delegation)


def test_another_engine_than_asked_for_is_a_fallback():
    found = verdict(telemetry=told(ep_actual="ort"))
    assert (found.status, found.rule) == (Status.FAIL, "placement")


def test_an_accelerator_as_slow_as_the_cpu_is_suspected_whatever_it_says():
    found = verdict(reference_us=((240, 16),), reference_max_us=10_400.0)
    assert (found.rule, found.delegation, found.plain_green) == ("as_slow_as_cpu", Delegation.NONE, False)


def test_what_cannot_be_proven_passes_and_is_not_plain_green():
    found = verdict(
        telemetry=told(nodes_on_ep=None, nodes_total=None), reference_us=(), reference_max_us=None
    )
    assert (found.status, found.delegation, found.plain_green) == (Status.PASS, Delegation.UNPROVEN, False)


def test_the_cpu_is_no_fallback_if_it_was_asked_for():
    found = verdict(cell=CPU, telemetry=told(nodes_on_ep=None, nodes_total=None))
    assert found.delegation is Delegation.NOT_REQUESTED and found.plain_green


# --- quality ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("delta_psnr_y_mean", 0.21), ("delta_psnr_y_worst", 1.1), ("delta_si_sdr", 0.3), ("delta_pesq", 0.06)],
)
def test_quality_floors_are_absolute(name, value):
    lost = Observation(name, "checks", None, value, None, "dB", 100)
    assert verdict(seen=synthetic.observations(**{name: lost})).rule == "quality"
    kept = dataclasses.replace(lost, value=value / 2)
    assert verdict(seen=synthetic.observations(**{name: kept})).status is Status.PASS


def test_a_distance_from_the_reference_is_weighed_as_a_loss_of_the_model():
    near = Observation("reference_psnr", "reference", None, 48.0, None, "dB", 9)
    found = verdict(seen=synthetic.observations(reference_psnr=near))
    assert (found.rule, found.culprit) == ("quality", Culprit.DRIVER)
    relaxed = Policy(quality=Quality(model_psnr_y_db=30.0))
    assert verdict(seen=synthetic.observations(reference_psnr=near), policy=relaxed).status is Status.PASS


@given(st.floats(20, 45), st.floats(30, 80))
def test_the_loss_by_an_independent_error_is_that_of_added_squares(model_db, distance_db):
    squares = 10 ** (-model_db / 10) + 10 ** (-distance_db / 10)
    assert delta_psnr_db(model_db, distance_db) == pytest.approx(
        model_db + 10 * math.log10(squares), abs=1e-9
    )


def test_an_exact_engine_may_not_differ_by_one_step():
    steady = profile("virtual-steady")
    cell = synthetic.cell_of(
        0, engine="virtual", delegate="npu", soc="virtual-steady", engine_version="2.3.0"
    )
    off = Observation("golden_matches", "open", True, 1.0, 1.0, "steps", 1)
    zero = Observation("reference_max_diff", "reference", None, 0.0, 0.0, "steps", 9)
    found = verdict(
        cell=cell, chipset=steady, seen=synthetic.observations(golden_matches=off, reference_max_diff=zero)
    )
    assert (found.rule, found.culprit) == ("exact", Culprit.DRIVER)


# --- validity, gaps, many runs ----------------------------------------------------------------------------


def test_too_few_frames_pass_and_are_semivalid():
    found = verdict(policy=Policy(timing=Timing(claim_percentile=99.9)))
    assert (found.status, found.validity, found.plain_green) == (Status.PASS, Validity.SEMIVALID, False)
    assert "p99.9 in time needs 6636" in found.validity_reason


def test_a_known_gap_explains_a_failure_and_a_healed_one_is_reported():
    gap = KnownGap(Status.FAIL, "the driver is old", engine="litert")
    chipset = dataclasses.replace(profile("host"), gaps=(gap,))
    known = verdict(chipset=chipset, seen=failing("engine_order", "engine"))
    assert (known.gap, known.stops_release, known.status) == ("known", False, Status.FAIL)
    healed = verdict(chipset=chipset)
    assert (healed.gap, healed.gap_reason, healed.plain_green) == ("healed", "the driver is old", False)


def runs_of(*statuses: Status) -> Verdict:
    usual = verdict()
    return combine([dataclasses.replace(usual, status=status) for status in statuses])


def test_a_lab_fault_is_superseded_by_a_run_that_says_something():
    assert runs_of(Status.ERROR, Status.PASS).status is Status.PASS
    assert runs_of(Status.PASS, Status.MISS).status is Status.PASS
    assert runs_of(Status.MISS, Status.MISS).status is Status.MISS


def test_a_run_that_failed_is_not_outvoted_by_those_that_pass():
    found = runs_of(Status.PASS, Status.FAIL, Status.PASS)
    assert (found.status, found.flaky, found.runs) == (Status.FAIL, "FAIL in 1 of 3 runs", 3)


def test_one_long_run_proves_what_short_ones_do_not():
    short = dataclasses.replace(verdict(), validity=Validity.SEMIVALID)
    assert combine([verdict(), short]).validity is Validity.VALID


def test_a_failure_of_an_older_lumavox_is_not_held_against_the_newest():
    old = synthetic.record(LOOP, failing("engine_order", "engine"))
    new = dataclasses.replace(old, observations=synthetic.observations())
    new = dataclasses.replace(new, device=dataclasses.replace(new.device, runtime="0.2.0"))
    results = [synthetic.result(NPU, old), synthetic.result(NPU, new, began_ms=1_800_000_000_000)]
    judged = judge_all(results, Policy())
    assert [j.verdict.status for j in judged] == [Status.PASS] and len(judged[0].runs) == 2


def exact_result(soc: str, output: str) -> Result:
    cell = synthetic.cell_of(0, engine="virtual", delegate="npu", soc=soc)
    made: Record = synthetic.record(LOOP, output_sha256=output, memory=Memory())
    zero = Observation("reference_max_diff", "reference", None, 0.0, 0.0, "steps", 9)
    made = dataclasses.replace(made, observations=synthetic.observations(reference_max_diff=zero))
    return synthetic.result(cell, made)


def test_the_chipset_that_computes_something_else_than_the_others_is_found():
    steady = profile("virtual-steady")
    results = [exact_result(f"v{n}", "b" * 64 if n == 2 else "a" * 64) for n in range(4)]
    judged = judge_all(results, Policy(), lambda name: dataclasses.replace(steady, name=name))
    wrong = [j.cell.soc for j in judged if j.verdict.rule == "agreement"]
    assert wrong == ["v2"]
