"""The telemetry record says what is known, and only that; histograms keep 2 % and can be added up."""

from __future__ import annotations

import dataclasses
import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox.telemetry import Histogram, Latency, Meter, TelemetryRecord, config_digest
from meters import full_meter

PERCENTS = (50, 90, 95, 99, 99.9)
latencies = st.lists(st.floats(1.0, 1e9), max_size=200)
quick = settings(max_examples=50, deadline=None)


def histogram(values) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


# -------------------------------------------------------------------------------------------- histogram


@quick
@given(values=st.lists(st.floats(1.0, 1e9), min_size=1, max_size=200), percent=st.sampled_from(PERCENTS))
def test_percentiles_are_those_of_numpy_within_two_percent(values, percent):
    """Between numpy's lower and higher neighbour, each widened by 2 %."""
    found = histogram(values).percentile(percent)
    low, high = (np.percentile(values, percent, method=method) for method in ("lower", "higher"))
    assert 0.98 * low <= found <= 1.02 * high


@pytest.mark.parametrize("percent", PERCENTS)
def test_percentiles_of_a_realistic_session_are_within_two_percent(percent):
    values = np.random.default_rng(0).lognormal(9.0, 0.4, 20_000)
    expected = np.percentile(values, percent, method="inverted_cdf")
    assert histogram(values).percentile(percent) == pytest.approx(expected, rel=0.02)


@quick
@given(value=st.floats(1.0, 2.0**30))
@example(math.nextafter(2.0**30, 0.0))  # its logarithm rounds up to 30
def test_a_single_value_comes_back_within_two_percent_and_the_maximum_exactly(value):
    made = histogram([value])
    assert made.percentile(50) == pytest.approx(value, rel=0.02)
    assert made.percentile(50) <= made.max_us == value


@quick
@given(a=latencies, b=latencies, c=latencies)
def test_adding_histograms_is_associative_commutative_and_like_adding_the_values(a, b, c):
    x, y, z = histogram(a), histogram(b), histogram(c)
    assert (x + y) + z == x + (y + z) == histogram(a + b + c)
    assert x + y == y + x
    assert x + Histogram() == x
    assert (x + y).count == len(a) + len(b)


@quick
@given(values=latencies)
def test_the_sparse_form_loses_nothing(values):
    made = histogram(values)
    assert Histogram.of(made.buckets(), made.max_us) == made
    assert len(made.buckets()) <= len(values)


@pytest.mark.parametrize("value", [0.0, -1.0, -math.inf, math.nan, math.inf, 1e300, np.float32(3.0)])
def test_a_strange_latency_is_counted_and_harms_nothing(value):
    made = histogram([value, 100.0])
    assert made.count == 2
    assert math.isfinite(made.max_us)
    assert json.dumps(made.buckets(), allow_nan=False)


def test_an_empty_histogram_has_no_percentile():
    assert math.isnan(Histogram().percentile(50))
    assert Latency.of(Histogram()) is None
    assert Histogram().buckets() == ()


@pytest.mark.parametrize("buckets", [[(540, 1)], [(-1, 1)], [(3, 1), (3, 1)], [(4, 1), (3, 1)], [(3, 0)]])
def test_buckets_that_cannot_be_are_refused(buckets):
    with pytest.raises(OptionError, match="buckets rise"):
        Histogram.of(buckets, 1.0)


# ------------------------------------------------------------------------------------------------ meter


def test_a_record_comes_back_from_its_json():
    record = full_meter().record()
    assert TelemetryRecord.from_json(record.to_json()) == record
    assert TelemetryRecord.from_json(record.to_json().encode()) == record
    assert "\n" not in record.to_json()


@quick
@given(values=latencies)
def test_any_latencies_come_back_from_the_json(values):
    meter = Meter(task="de")
    for value in values:
        meter.add_latency_us(value)
    record = meter.record()
    assert TelemetryRecord.from_json(record.to_json()) == record
    if values:
        latency = record.latency_us
        assert Histogram.of(latency.histogram, latency.max).count == len(values)
        assert latency.p99 == pytest.approx(np.percentile(values, 99, method="inverted_cdf"), rel=0.02)


def test_what_is_not_known_is_absent_and_never_null():
    text = Meter(task="de").record().to_json()
    assert "null" not in text
    found = json.loads(text)
    assert set(found) - {"mem_peak_kb"} == {
        "schema", "session_id", "task", "state", "runtime_version", "ts_ms",
        "frames_in", "frames_enhanced", "frames_bypassed", "frames_late",
    }  # fmt: skip


def test_deadline_misses_and_their_longest_run_are_counted():
    meter = Meter(task="sr", deadline_us=100.0)
    for value in (50, 150, 150, 100, 101, 150, 150, 99, 500):
        meter.add_latency_us(value)
    record = meter.record()
    assert record.deadline_us == 100.0
    assert record.deadline_miss_count == 6
    assert record.deadline_miss_run_max == 3


def test_a_state_comes_with_its_reason_and_an_unknown_one_is_refused():
    meter = Meter(task="sr")
    assert meter.record().state == "warming"
    meter.set_state("bypass", "the engine failed")
    assert (meter.record().state, meter.record().state_reason) == ("bypass", "the engine failed")
    meter.set_state("active")
    assert "state_reason" not in meter.record().to_dict()
    with pytest.raises(OptionError, match="did you mean 'degraded'"):
        meter.set_state("degrated")


def test_an_error_code_is_kept_once_and_needs_its_form():
    meter = Meter(task="sr")
    for code in ("SR.E_DEADLINE", "SR.E_ENGINE", "SR.E_DEADLINE"):
        meter.add_error(code)
    assert meter.record().errors == ("SR.E_DEADLINE", "SR.E_ENGINE")
    for code in ("DEADLINE", "sr.E_X", "SR.E_", "SR.DEADLINE", ".E_X", "SR.E_two words"):
        with pytest.raises(OptionError, match="SR.E_DEADLINE"):
            meter.add_error(code)


def test_a_misspelt_attribute_is_an_error():
    meter = Meter(task="sr")
    with pytest.raises(AttributeError):
        meter.frames_enchanced = 3


def test_a_meter_does_not_grow():
    meter = full_meter()

    def frames():
        for value in range(5_000):
            meter.frames_in += 1
            meter.add_latency_us(value * 7.3)
            meter.add_error(f"SR.E_{value % 100}")

    frames()
    tracemalloc.start()
    frames()
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 40_000, "5000 frames; the counters themselves are some 540 integers"
    assert len(meter.record().errors) <= 32


def test_the_records_of_two_sessions_have_different_ids():
    assert Meter(task="sr").session_id != Meter(task="sr").session_id
    assert Meter(task="sr", session_id="player-7").record().session_id == "player-7"


def test_a_copy_of_the_histogram_does_not_change_with_the_meter():
    meter = full_meter()
    before = meter.histogram
    meter.add_latency_us(1.0)
    assert (before.count, meter.histogram.count) == (4, 5)


def test_the_configuration_digest_tells_configurations_apart():
    digests = {config_digest(*parts) for parts in [("a", "b"), ("ab",), ("b", "a"), ("a", "b", 1), ()]}
    assert len(digests) == 5
    assert config_digest("a", 1) == config_digest("a", 1)
    assert all(len(d) == 16 and int(d, 16) >= 0 for d in digests)


# ----------------------------------------------------------------------------------------------- record


def changed(**changes) -> str:
    return json.dumps(json.loads(full_meter().record().to_json()) | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(frames_inn=1), "unknown key 'frames_inn'; did you mean 'frames_in'"),
        (changed(schema=2), "schema 2: lumavox .* reads schema 1 only"),
        (changed(state="idle"), "state: unknown value 'idle'"),
        (changed(frames_in=-1), "frames_in cannot be negative"),
        (changed(frames_in=1.5), "frames_in: expected a whole number, got 1.5"),
        (changed(model=None), "model: null is not a value"),
        (changed(errors=["oops"]), "error code 'oops'"),
        (changed(config_digest="xyz"), "is not 16 hex digits"),
        (changed(latency_us={"p50": 1}), "latency_us: the key 'p90' is missing"),
        (changed(self_check={"passed": True}), "unknown key 'passed'; did you mean 'pass'"),
        ("[]", "expected an object"),
        ("", "not valid JSON"),
        ('"\ud800"', "not valid JSON"),
    ],
)
def test_a_wrong_record_is_refused_with_file_and_key(text, message):
    with pytest.raises(OptionError, match=message) as caught:
        TelemetryRecord.from_json(text, "log.jsonl:3")
    assert str(caught.value).startswith("log.jsonl:3: ")


def test_percentiles_that_do_not_rise_are_refused():
    latency = full_meter().record().latency_us
    for wrong in ({"p90": 1e9}, {"p50": -1.0}, {"histogram": ()}, {"histogram": ((999, 1),)}):
        with pytest.raises(OptionError):
            dataclasses.replace(latency, **wrong)
