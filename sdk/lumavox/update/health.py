"""``Health``: what a healthy session is, read from its telemetry record. A pure rule, no clock, no state."""

from __future__ import annotations

from dataclasses import dataclass

from ..telemetry import TelemetryRecord


@dataclass(frozen=True)
class Health:
    """The limits. A session shorter than ``min_frames`` proves nothing, either way."""

    min_frames: int = 300
    max_bypassed: float = 0.01  # share of frames by the conventional path
    max_late: float = 0.00333

    def complaint(self, record: TelemetryRecord) -> str | None:
        """Why the session was not healthy; None if it was, or is too short to tell. What is not known
        counts against it."""
        if record.state == "failed":
            return f"it failed: {record.state_reason or 'no reason given'}"
        if record.self_check is not None and not record.self_check.passed:
            return "the golden vector did not come out"
        frames = record.frames_in
        if not frames or not self.proves(record):
            return None
        if record.frames_enhanced is None:
            return "nothing says whether frames were enhanced"
        bypassed = (record.frames_bypassed or 0) / frames
        if bypassed > self.max_bypassed:
            words = record.state_reason or ", ".join(record.errors) or "no reason given"
            return f"{bypassed:.1%} of {frames} frames were bypassed: {words}"
        late = (record.deadline_miss_count or 0) / frames
        return f"{late:.2%} of {frames} frames were late" if late > self.max_late else None

    def proves(self, record: TelemetryRecord) -> bool:
        """Whether the session was long enough to speak for the model."""
        return (record.frames_in or 0) >= self.min_frames
