"""What a telemetry record is made of. Public as ``telemetry.TelemetryRecord`` and its parts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from ._histogram import Histogram
from ._parse import load_json, parse, plain
from ._version import __version__
from .errors import OptionError

SCHEMA = 1

State = Literal["off", "warming", "active", "degraded", "bypass", "failed"]

Content = Literal["clean", "streamed", "any"]


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
class LadderUse:
    """The quality ladder: ``rung`` in use, and how often it was changed, by how that was done."""

    rung: str
    switches_at_cut: int = 0  # at a scene cut: cannot be seen
    switches_faded: int = 0
    switches_at_once: int = 0  # frames were late, or the model failed


@dataclass(frozen=True)
class LateBudget:
    """Windows of 10 s: how many, in how many of them over 0.333 % of the frames were late, and the worst."""

    windows: int
    windows_over: int
    worst_late_share: float


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
    deadline_miss_transient: int | None = None  # lone ones
    deadline_miss_persistent: int | None = None  # of an overload
    late_budget: LateBudget | None = None
    ladder: LadderUse | None = None
    thermal_forecast: float | None = None  # thermal headroom in 10 s; 1.0: throttling becomes severe
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
            check_code(code)
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


def check_code(code: str) -> str:
    """``code`` if it is of the form of error codes. Raises OptionError."""
    namespace, _, name = code.partition(".E_")
    letters = namespace + name.replace("_", "")
    if not (namespace and name and letters.isascii() and letters.isalnum() and letters == letters.upper()):
        raise OptionError(f"error code {code!r} is not of the form 'SR.E_DEADLINE'")
    return code


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and set(text) <= set("0123456789abcdef")
