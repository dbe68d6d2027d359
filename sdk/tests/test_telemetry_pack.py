"""A packed record fits into a kilobyte, whatever happened, and comes back as it was."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox.telemetry import LadderUse, LateBudget, Meter, ModelInfo, TelemetryRecord
from lumavox.telemetry_pack import MAX_BYTES, pack, unpack
from meters import full_meter

quick = settings(max_examples=40, deadline=None)


def busy_meter(seconds: int, sigma: float) -> Meter:
    """Everything is known, and the machine is unsteady: ``sigma`` of the logarithm of frame times."""
    meter = full_meter()
    meter.model = ModelInfo(
        "sr/base-x2", "9f86d081884c7d659a2feaa0c55ad015" * 2, "0.1.0", "clean-int8-tflite"
    )
    meter.content, meter.content_reason = "clean", "few bits per pixel of its predicted pictures"
    meter.ladder, meter.late_budget = LadderUse("small", 12, 3, 1), LateBudget(720, 4, 0.0117)
    meter.deadline_miss_transient, meter.deadline_miss_persistent = 90, 4
    meter.thermal_forecast = 0.8125
    for name in ("ENGINE", "OUTPUT", "LOAD", "NOT_FINITE"):
        meter.add_error(f"SR.E_{name}")
    for value in np.random.default_rng(1).lognormal(9.0, sigma, 60 * seconds).tolist():
        meter.add_latency_us(value)
    return meter


@pytest.mark.parametrize(("seconds", "sigma"), [(30, 0.1), (30, 0.3), (30, 0.6), (600, 0.6)])
def test_a_record_with_everything_known_keeps_everything_within_one_kilobyte(seconds, sigma):
    record = busy_meter(seconds, sigma).record()
    data = pack(record)
    assert len(data) <= MAX_BYTES <= 1000
    assert unpack(data) == record


@quick
@given(
    values=st.lists(st.floats(1.0, 1e9), max_size=150), state=st.sampled_from(["active", "bypass", "failed"])
)
def test_any_latencies_come_back(values, state):
    meter = Meter(task="de")
    meter.set_state(state)
    for value in values:
        meter.add_latency_us(value)
    record = meter.record()
    assert unpack(pack(record)) == record


def test_long_texts_are_cut_before_numbers_are_lost():
    meter = busy_meter(30, 0.3)
    noise = "".join(map(chr, np.random.default_rng(0).integers(33, 127, 2000).tolist()))
    meter.set_state("degraded", noise)
    record = meter.record()
    found = unpack(pack(record))
    assert found.state_reason == noise[:80]
    assert found.latency_us == record.latency_us
    assert (found.frames_in, found.errors) == (record.frames_in, record.errors)


def test_a_histogram_that_cannot_fit_is_left_out_and_the_counts_stay():
    meter = full_meter()
    for bucket in range(540):
        for _ in range(bucket * 7 % 131 + 128):
            meter.add_latency_us(2.0 ** ((bucket + 0.5) / 18))
    found = unpack(pack(meter.record()))
    assert found.latency_us is None
    assert found.frames_in == 4


def test_a_record_that_cannot_fit_at_all_is_refused():
    noise = "".join(map(chr, np.random.default_rng(0).integers(33, 127, 3000).tolist()))
    record = dataclasses.replace(full_meter().record(), session_id=noise)
    with pytest.raises(OptionError, match="shorten session_id"):
        pack(record)


@quick
@given(data=st.binary(max_size=300))
def test_foreign_bytes_are_refused_and_nothing_else(data):
    for bytes_ in (data, b"\x01" + data, b"\x01\x00\x00" + data):
        with contextlib.suppress(OptionError):
            assert isinstance(unpack(bytes_), TelemetryRecord)


@quick
@given(at=st.integers(0, 300), bit=st.integers(0, 7), cut=st.integers(1, 300))
def test_damaged_records_are_refused_or_are_records(at, bit, cut):
    data = bytearray(pack(busy_meter(1, 0.3).record()))
    for damaged in (data[:-cut], data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]):
        with contextlib.suppress(OptionError):
            assert isinstance(unpack(bytes(damaged)), TelemetryRecord)
