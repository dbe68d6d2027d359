"""``TelemetryRecord``: what happened in one session, in one schema for players and for the test matrix.

A ``Meter`` collects while frames or blocks run; ``record()`` freezes it. A field that is absent was not
known: nothing is null and nothing is guessed. There are no pixels, no sound and no names of content in a
record, and nothing is ever sent: what becomes of it is the player's decision. JSON Schema:
``schemas/telemetry.schema.json``. The equivalents in CMCD v2 (CTA-5004-B), where there are any: session_id
= sid, ts_ms = ts, errors = ec.

    meter = Meter(task="sr", model=ModelInfo(bundle.id, bundle.digest), ep_requested="auto")
    meter.frames_in += 1
    meter.add_latency_us(1234.5)
    line = meter.record().to_json()                       # one line of a JSONL file
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ._histogram import Histogram
from ._parse import load_json, parse, plain
from ._version import __version__
from .errors import OptionError

SCHEMA = 1
__all__ = [
    "AddedLatency", "Histogram", "Latency", "Meter", "ModelInfo", "SelfCheck", "TelemetryRecord",
    "config_digest",
]  # fmt: skip

State = Literal["off", "warming", "active", "degraded", "bypass", "failed"]

Content = Literal["clean", "streamed", "any"]

MAX_ERRORS = 32


@dataclass(frozen=True)
class Latency:
    """Percentiles of a histogram in microseconds, and the histogram itself as (bucket, count) pairs."""

    p50: float
    p90: float
    p95: float
    p99: float
    p99_9: float
    max: float
    histogram: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        values = [self.p50, self.p90, self.p95, self.p99, self.p99_9, self.max]
        if values != sorted(values) or values[0] < 0:
            raise OptionError(f"percentiles must rise from 0, got {values}")
        if not self.histogram:
            raise OptionError("histogram: an empty one is left out together with its percentiles")
        Histogram.of(self.histogram, self.max)

    @classmethod
    def of(cls, histogram: Histogram) -> Latency | None:
        """The summary of a histogram, None of an empty one."""
        if not histogram.count:
            return None
        p50, p90, p95, p99, p99_9 = (round(histogram.percentile(p), 3) for p in (50, 90, 95, 99, 99.9))
        largest = max(round(histogram.max_us, 3), p99_9)
        return cls(p50, p90, p95, p99, p99_9, largest, histogram.buckets())


@dataclass(frozen=True)
class ModelInfo:
    """Which model: id and digest of its bundle, and the variant that runs."""

    id: str
    digest: str
    version: str | None = None
    variant: str | None = None


@dataclass(frozen=True)
class SelfCheck:
    """The golden vector on this machine: ``value`` of ``metric`` against the limit ``floor``."""

    vector_id: str
    metric: str
    value: float
    floor: float
    passed: bool = field(metadata={"key": "pass"})


@dataclass(frozen=True)
class AddedLatency:
    """Delay added to the picture and to the sound, which a player has to compensate."""

    video: float | None = None
    audio: float | None = None


@dataclass(frozen=True)
class TelemetryRecord:
    """One session, or one part of it. Counts are absolute since the session began."""

    schema: int
    session_id: str
    task: Literal["sr", "de"]
    state: State
    model: ModelInfo | None = None
    runtime_version: str | None = None
    ts_ms: int | None = None  # Unix time of the record
    state_reason: str | None = None
    content: Content | None = None  # task "sr": the kind of material that the network in use is for
    content_reason: str | None = None
    ep_requested: str | None = None  # execution provider: the backend asked for
    ep_actual: str | None = None  # the backend that ran
    ep_version: str | None = None  # its library and version
    nodes_on_ep: int | None = None
    nodes_total: int | None = None
    frames_in: int | None = None  # frames, or blocks of sound
    frames_enhanced: int | None = None
    frames_bypassed: int | None = None  # came out by the conventional path
    frames_late: int | None = None  # bypassed because the network was late
    latency_us: Latency | None = None  # of one frame or block
    deadline_us: float | None = None
    deadline_miss_count: int | None = None
    deadline_miss_run_max: int | None = None  # longest run of misses in a row
    added_latency_ms: AddedLatency | None = None
    cold_load_ms: float | None = None
    first_frame_ms: float | None = None
    mem_peak_kb: int | None = None  # of the whole process
    self_check: SelfCheck | None = None
    config_digest: str | None = None
    errors: tuple[str, ...] = ()  # each code once, such as "SR.E_DEADLINE"

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: lumavox {__version__} reads schema {SCHEMA} only")
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, (int, float))}
        negative = [name for name, value in numbers.items() if value < 0]
        if negative:
            raise OptionError(f"{', '.join(negative)} cannot be negative")
        for code in self.errors:
            _check_code(code)
        if self.config_digest is not None and not _is_hex(self.config_digest, 16):
            raise OptionError(f"config_digest {self.config_digest!r} is not 16 hex digits")

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values; absent fields are left out."""
        found: dict[str, Any] = plain(self)
        return found if self.errors else {name: value for name, value in found.items() if name != "errors"}

    def to_json(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "telemetry record") -> TelemetryRecord:
        """The record in a JSON text. Raises OptionError that names ``where`` and the key."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return parse(cls, load_json(data, where), where)


class Meter:
    """Collects one session's telemetry. Per frame it adds a few integers and nothing that grows.

    The attributes named as fields of the record are set by their owner as they become known. A name that
    is not such a field is an AttributeError.
    """

    __slots__ = (
        "_errors", "_histogram", "_miss_run", "_task", "added_latency_ms", "cold_load_ms", "config_digest",
        "content", "content_reason", "deadline_miss_count", "deadline_miss_run_max", "deadline_us",
        "ep_actual", "ep_requested", "ep_version", "first_frame_ms", "frames_bypassed", "frames_enhanced",
        "frames_in", "frames_late", "model", "nodes_on_ep", "nodes_total", "self_check", "session_id",
        "state", "state_reason",
    )  # fmt: skip

    def __init__(
        self,
        *,
        task: Literal["sr", "de"],
        model: ModelInfo | None = None,
        ep_requested: str | None = None,
        deadline_us: float | None = None,
        session_id: str | None = None,
    ) -> None:
        self._task: Literal["sr", "de"] = task
        self._histogram = Histogram()
        self._errors: list[str] = []
        self._miss_run = 0
        self.session_id = session_id or str(uuid.uuid4())
        self.model = model
        self.state: State = "warming"
        self.state_reason: str | None = None
        self.content: Content | None = None
        self.content_reason: str | None = None
        self.ep_requested = ep_requested
        self.ep_actual: str | None = None
        self.ep_version: str | None = None
        self.nodes_on_ep: int | None = None
        self.nodes_total: int | None = None
        self.frames_in = self.frames_enhanced = self.frames_bypassed = self.frames_late = 0
        self.deadline_us = deadline_us
        self.deadline_miss_count = self.deadline_miss_run_max = 0
        self.added_latency_ms: AddedLatency | None = None
        self.cold_load_ms: float | None = None
        self.first_frame_ms: float | None = None
        self.self_check: SelfCheck | None = None
        self.config_digest: str | None = None

    def add_latency_us(self, value_us: float) -> None:
        """Count the latency of one frame or block, and whether it missed the deadline."""
        self._histogram.add(value_us)
        if self.deadline_us is not None:
            if value_us > self.deadline_us:
                self.deadline_miss_count += 1
                self._miss_run += 1
                self.deadline_miss_run_max = max(self.deadline_miss_run_max, self._miss_run)
            else:
                self._miss_run = 0

    def set_state(self, state: State, reason: str | None = None) -> None:
        """Enter a state, and say why."""
        if state not in get_args(State):
            raise OptionError.unknown("state", state, get_args(State))
        self.state, self.state_reason = state, reason

    def add_error(self, code: str) -> None:
        """Note that an error happened; each code is kept once, at most ``MAX_ERRORS`` of them."""
        if code not in self._errors and len(self._errors) < MAX_ERRORS:
            self._errors.append(_check_code(code))

    @property
    def histogram(self) -> Histogram:
        """A copy of the latencies so far."""
        return self._histogram + Histogram()

    def record(self) -> TelemetryRecord:
        """What is known now."""
        known = {name: getattr(self, name) for name in self.__slots__ if not name.startswith("_")}
        if self.deadline_us is None:
            del known["deadline_miss_count"], known["deadline_miss_run_max"]
        return TelemetryRecord(
            schema=SCHEMA,
            task=self._task,
            runtime_version=__version__,
            ts_ms=int(time.time() * 1000),
            latency_us=Latency.of(self._histogram),
            mem_peak_kb=_mem_peak_kb(),
            errors=tuple(self._errors),
            **known,
        )


def config_digest(*parts: object) -> str:
    """16 hex digits that name a configuration: bundle digest, variant, backend, library, threads, ..."""
    text = json.dumps([str(part) for part in parts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_code(code: str) -> str:
    namespace, _, name = code.partition(".E_")
    letters = namespace + name.replace("_", "")
    if not (namespace and name and letters.isascii() and letters.isalnum() and letters == letters.upper()):
        raise OptionError(f"error code {code!r} is not of the form 'SR.E_DEADLINE'")
    return code


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and set(text) <= set("0123456789abcdef")


def _mem_peak_kb() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
