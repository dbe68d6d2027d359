"""``Meter`` collects one session's telemetry. Public as ``telemetry.Meter``."""

from __future__ import annotations

import sys
import time
import uuid
from typing import Literal, get_args

from ._histogram import Histogram
from ._record import (
    SCHEMA,
    AddedLatency,
    Content,
    LadderUse,
    LateBudget,
    Latency,
    ModelInfo,
    SelfCheck,
    State,
    TelemetryRecord,
    check_code,
)
from ._version import __version__
from .errors import OptionError

MAX_ERRORS = 32


class Meter:
    """Collects one session's telemetry. Per frame it adds a few integers and nothing that grows.

    The attributes named as fields of the record are set by their owner as they become known. A name that
    is not such a field is an AttributeError.
    """

    __slots__ = (
        "_errors", "_histogram", "_miss_run", "_task", "added_latency_ms", "cold_load_ms", "config_digest",
        "content", "content_reason", "deadline_miss_count", "deadline_miss_persistent",
        "deadline_miss_run_max", "deadline_miss_transient", "deadline_us", "ep_actual", "ep_requested",
        "ep_version", "first_frame_ms", "frames_bypassed", "frames_enhanced", "frames_in", "frames_late",
        "ladder", "late_budget", "model", "nodes_on_ep", "nodes_total", "self_check", "session_id", "state",
        "state_reason", "thermal_forecast",
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
        self.deadline_miss_transient: int | None = None
        self.deadline_miss_persistent: int | None = None
        self.late_budget: LateBudget | None = None
        self.ladder: LadderUse | None = None
        self.thermal_forecast: float | None = None
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
            self._errors.append(check_code(code))

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


def _mem_peak_kb() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
