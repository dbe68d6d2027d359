"""Records become OpenTelemetry metrics: encoded and decoded by OpenTelemetry's own protobuf."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from lumavox.errors import MissingExtraError, OutputError
from lumavox.telemetry import Meter, TelemetryRecord
from lumavox.telemetry_otel import BOUNDS_US, OtlpSink
from meters import full_meter

sdk = pytest.importorskip("opentelemetry.sdk.metrics.export", reason="lumavox[otel] is not installed")
encoder = pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.common.metrics_encoder", reason="lumavox[otel] is not installed"
)


class Exporter(sdk.MetricExporter):
    """Keeps what OTLP would send, as protobuf."""

    def __init__(self, result: Any = sdk.MetricExportResult.SUCCESS) -> None:
        super().__init__()
        self.result, self.sent, self.ended = result, [], 0

    def export(self, metrics_data, timeout_millis=10_000, **options):
        self.sent.append(encoder.encode_metrics(metrics_data).SerializeToString())
        return self.result

    def force_flush(self, timeout_millis=10_000):
        return True

    def shutdown(self, timeout_millis=30_000, **options):
        self.ended += 1


def exported(record: TelemetryRecord) -> dict:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

    exporter = Exporter()
    sink = OtlpSink(exporter)
    sink.write(record, "interval")
    sink.close()
    sink.close()
    assert exporter.ended == 1
    metrics = MetricsData.FromString(exporter.sent[0]).resource_metrics[0].scope_metrics[0].metrics
    return {metric.name: metric for metric in metrics}


def test_otlp_carries_counts_state_and_an_exact_coarse_histogram():
    meter = full_meter()

    for value in range(1, 3000, 7):
        meter.add_latency_us(float(value**2))
    fine = meter.histogram
    record = meter.record()
    found = exported(record)
    assert found["lumavox.frames_in"].sum.data_points[0].as_int == 4
    assert found["lumavox.frames_in"].sum.is_monotonic
    state = {a.key: a.value.string_value for a in found["lumavox.state"].gauge.data_points[0].attributes}
    assert state["lumavox.state"] == "degraded"
    assert state["lumavox.reason"] == "other"  # texts do not leave the device
    point = found["lumavox.latency"].histogram.data_points[0]
    assert point.count == fine.count
    assert tuple(point.explicit_bounds) == BOUNDS_US
    below = 0
    for bound, count in zip(BOUNDS_US, point.bucket_counts):
        below += count
        edge = round(18 * (BOUNDS_US.index(bound) + 1) / 2)
        assert below == sum(n for bucket, n in fine.buckets() if bucket < edge)
    assert point.sum == pytest.approx(sum(v**2 for v in range(1, 3000, 7)) + 80_000, rel=0.02)


def test_otlp_of_a_bare_record_has_no_latency():
    assert "lumavox.latency" not in exported(Meter(task="de").record())


def test_an_export_that_fails_is_told_to_the_reporter():
    with pytest.raises(OutputError, match="OTLP"):
        OtlpSink(Exporter(sdk.MetricExportResult.FAILURE)).write(full_meter().record(), "interval")


def test_without_opentelemetry_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics.export", None)
    with pytest.raises(MissingExtraError, match=r"lumavox\[otel\]"):
        OtlpSink(Exporter())
