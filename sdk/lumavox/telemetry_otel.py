"""``OtlpSink``: telemetry records as OpenTelemetry metrics, through any exporter of the OpenTelemetry SDK.

    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    sink = OtlpSink(OTLPMetricExporter(endpoint="https://collector.example/v1/metrics"))

Needs ``lumavox[otel]``. Counts and latencies are cumulative since the session began, as they are in the
record; ``lumavox.state`` is 1, with what holds now as its attributes. Latencies become a histogram with two
buckets per octave, whose edges are edges of ours, so that counts are exact (of its sum only a value within
2 % is known). Reasons leave the device as tokens only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._histogram import BUCKETS_PER_OCTAVE, OCTAVES
from ._version import __version__
from .errors import MissingExtraError, OutputError
from .telemetry import Latency, TelemetryRecord, reason_token
from .telemetry_sinks import Occasion

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

__all__ = ["OtlpSink"]

_PER_EDGE = BUCKETS_PER_OCTAVE // 2
BOUNDS_US = tuple(2.0 ** (edge / 2) for edge in range(1, 2 * OCTAVES))
"""The inner edges of the buckets, in microseconds."""

_COUNTS = (
    "frames_in", "frames_enhanced", "frames_bypassed", "frames_late",
    "deadline_miss_transient", "deadline_miss_persistent",
)  # fmt: skip
_GAUGES = {"thermal_forecast": "1", "cold_load_ms": "ms", "first_frame_ms": "ms", "mem_peak_kb": "KiBy"}


class OtlpSink:
    """Exports each record at once, in the thread that writes it. ``timeout_ms`` bounds each export.

    Raises MissingExtraError without the OpenTelemetry SDK.
    """

    def __init__(self, exporter: MetricExporter, timeout_ms: float = 10_000) -> None:
        try:
            import opentelemetry.sdk.metrics.export as sdk
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ImportError as cause:
            raise MissingExtraError("opentelemetry-sdk", "otel", "an OTLP sink") from cause
        self._sdk: Any = sdk
        self._resource, self._scope = Resource, InstrumentationScope("lumavox", __version__)
        self._exporter, self._timeout_ms = exporter, timeout_ms
        self._began_ns: dict[str, int] = {}  # by session
        self._closed = False

    def write(self, record: TelemetryRecord, occasion: Occasion) -> None:
        """Export one record. Raises OutputError if the exporter says that it failed."""
        result = self._exporter.export(self._metrics(record), timeout_millis=self._timeout_ms)
        if result is not self._sdk.MetricExportResult.SUCCESS:
            raise OutputError(
                "the OTLP exporter could not send a record; it stays in the ring, if there is one"
            )

    def close(self) -> None:
        """Shut the exporter down. May be called twice."""
        if not self._closed:
            self._closed = True
            self._exporter.shutdown(timeout_millis=self._timeout_ms)

    def _metrics(self, record: TelemetryRecord) -> Any:
        sdk, now_ns = self._sdk, (record.ts_ms or 0) * 1_000_000
        began_ns = self._began_ns.setdefault(record.session_id, now_ns)
        session = {"session.id": record.session_id, "lumavox.task": record.task}

        def point(value: float, attributes: dict[str, str] = session) -> Any:
            return sdk.NumberDataPoint(attributes, began_ns, now_ns, value)

        metrics = [
            sdk.Metric(
                f"lumavox.{name}", "Since the session began", "{frame}",
                sdk.Sum([point(value)], sdk.AggregationTemporality.CUMULATIVE, True),
            )
            for name in _COUNTS
            if (value := getattr(record, name)) is not None
        ]  # fmt: skip
        metrics += [
            sdk.Metric(f"lumavox.{name}", "", unit, sdk.Gauge([point(value)]))
            for name, unit in _GAUGES.items()
            if (value := getattr(record, name)) is not None
        ]
        if record.latency_us is not None:
            count, total, counts = _coarse(record.latency_us)
            latency = sdk.HistogramDataPoint(
                session, began_ns, now_ns, count, total, counts, BOUNDS_US, 0.0, record.latency_us.max
            )
            data = sdk.Histogram([latency], sdk.AggregationTemporality.CUMULATIVE)
            metrics.append(sdk.Metric("lumavox.latency", "Of one frame or hop", "us", data))
        state = sdk.Gauge([point(1, session | _now(record))])
        metrics.append(sdk.Metric("lumavox.state", "What holds now", "1", state))
        scope = sdk.ScopeMetrics(self._scope, metrics, "")
        resource = self._resource({"service.name": "lumavox", "service.version": __version__})
        return sdk.MetricsData([sdk.ResourceMetrics(resource, [scope], "")])


def _now(record: TelemetryRecord) -> dict[str, str]:
    """What may change in a session; few values each. Counts do not carry it: they would begin anew."""
    known = {
        "lumavox.state": record.state,
        "lumavox.reason": reason_token(record.state_reason) if record.state_reason else None,
        "lumavox.rung": record.ladder.rung if record.ladder else None,
        "lumavox.model": record.model.id if record.model else None,
        "lumavox.model_version": record.model.version if record.model else None,
        "lumavox.backend": record.ep_actual,
        "lumavox.config": record.config_digest,
    }
    return {name: value for name, value in known.items() if value is not None}


def _coarse(latency: Latency) -> tuple[int, float, list[int]]:
    """Count, about the sum, and the counts between ``BOUNDS_US``."""
    counts, total = [0] * (len(BOUNDS_US) + 1), 0.0
    for bucket, count in latency.histogram:
        counts[bucket // _PER_EDGE] += count
        total += count * 2.0 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE)
    return sum(counts), total, counts
