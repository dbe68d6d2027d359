"""What one `enhance` call did: `EnhanceReport`, as an object, as text, and as JSON.

A value that is not known is None here and absent in JSON (silence, for one, has no loudness).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from lumavox._parse import plain
from lumavox.audio import DialogEnhancer
from lumavox.media.output import OutputFile
from lumavox.media.sound_track import Loudness, SoundTrack
from lumavox.telemetry import TelemetryRecord
from lumavox.video import Upscaler

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Engine:
    """Which model ran on what, and why."""

    model: str
    backend: str
    reason: str

    @classmethod
    def of(cls, opened: Upscaler | DialogEnhancer) -> Engine:
        """What an open `Upscaler` or `DialogEnhancer` runs on."""
        return cls(f"{opened.bundle.id} {opened.bundle.version}", opened.backend, opened.reason)


@dataclasses.dataclass(frozen=True)
class PictureReport:
    """The picture part. Times are of the upscaler alone, per frame."""

    engine: Engine
    scale: float
    content: str
    content_reason: str
    source_size: tuple[int, int]
    size: tuple[int, int]
    frames: int
    fps: float  # of the whole pipeline
    p50_ms: float | None
    p99_ms: float | None
    codec: str

    @classmethod
    def of(
        cls,
        upscaler: Upscaler,
        *,
        source_size: tuple[int, int],
        size: tuple[int, int],
        frames: int,
        seconds: float,
        codec: str,
    ) -> PictureReport:
        """The report on all that ``upscaler`` did in ``seconds`` of the whole pipeline."""
        latency = upscaler.record().latency_us
        return cls(
            engine=Engine.of(upscaler),
            scale=upscaler.scale,
            content=upscaler.content,
            content_reason=upscaler.content_reason,
            source_size=source_size,
            size=size,
            frames=frames,
            fps=frames / seconds,
            p50_ms=latency.p50 / 1e3 if latency else None,
            p99_ms=latency.p99 / 1e3 if latency else None,
            codec=codec,
        )


@dataclasses.dataclass(frozen=True)
class SoundReport:
    """The sound part. ``realtime_factor`` below 1 is faster than real time."""

    engine: Engine
    dialog_gain_db: float
    rate_hz: int
    channels: int
    seconds: float
    realtime_factor: float | None
    delay_samples: int  # of the enhancer; compensated in the file
    before: Loudness
    after: Loudness
    codec: str
    speech_s: tuple[tuple[float, float], ...] = ()  # when somebody speaks, from and to

    @classmethod
    def of(cls, track: SoundTrack, *, dialog_gain_db: float, codec: str) -> SoundReport:
        """The report on all that went through ``track``."""
        before, after = track.loudness()
        return cls(
            engine=Engine.of(track.enhancer),
            dialog_gain_db=dialog_gain_db,
            rate_hz=track.rate_hz,
            channels=track.channels,
            seconds=track.seconds,
            realtime_factor=track.realtime_factor,
            delay_samples=track.enhancer.delay_samples,
            before=before,
            after=after,
            codec=codec,
            speech_s=tuple((round(a, 2), round(b, 2)) for a, b in track.speech_s),
        )


def bypassed(opened: Upscaler | DialogEnhancer, what: str) -> str | None:
    """A sentence if any ``what`` (frames, blocks) came out by the conventional path."""
    record = opened.record()
    if not record.frames_bypassed or record.state == "off":  # off is what was asked for
        return None
    reason = record.state_reason or ", ".join(record.errors) or record.state
    return (
        f"{record.frames_bypassed} of {record.frames_in} {what} came out by the conventional path: {reason}"
    )


@dataclasses.dataclass(frozen=True)
class Done:
    """What the module for one kind of file has to say when it is done."""

    picture: PictureReport | None = None
    sound: SoundReport | None = None
    stages_s: dict[str, float] = dataclasses.field(default_factory=dict)
    queues: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class EnhanceReport:
    """One finished job. ``stages_s``: seconds each stage worked; ``queues``: the most each channel held."""

    input: Path
    output: Path
    kind: str
    wall_s: float
    picture: PictureReport | None
    sound: SoundReport | None
    stages_s: dict[str, float]
    queues: dict[str, int]
    warnings: tuple[str, ...]
    telemetry: tuple[TelemetryRecord, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values under stable keys."""
        body = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        body["telemetry"] = [record.to_dict() for record in self.telemetry]
        return {"schema": SCHEMA, **{name: plain(value) for name, value in body.items() if value is not None}}

    def write(self, path: Path) -> None:
        """Write the JSON to ``path``. Raises `OutputError`."""
        with OutputFile(path) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    def summary(self) -> str:
        """The lines that the command ends with."""
        lines = [f"{self.output}  ({self.kind}, {self.wall_s:.1f} s)"]
        if self.picture is not None:
            p = self.picture
            times = "" if p.p50_ms is None else f"p50 {p.p50_ms:.1f} ms, p99 {p.p99_ms:.1f} ms per frame, "
            lines += [
                f"picture  {p.source_size[0]}x{p.source_size[1]} -> {p.size[0]}x{p.size[1]} (x{p.scale:g}, "
                f"{p.content}), {p.frames} frames, {p.fps:.1f} fps, "
                f"{times}{p.codec}",
                f"         {_engine(p.engine)}",
            ]
        if self.sound is not None:
            s = self.sound
            pace = "" if s.realtime_factor is None else f", real-time factor {s.realtime_factor:.3f}"
            lines += [
                f"sound    dialog +{s.dialog_gain_db:g} dB, {s.seconds:.1f} s at {s.rate_hz} Hz, "
                f"{s.channels} channel{'s' * (s.channels > 1)}{pace}, {s.codec}",
                f"         {_engine(s.engine)}",
                f"         loudness {_pair(s.before.integrated_lufs, s.after.integrated_lufs, 'LUFS')}, "
                f"true peak {_pair(s.before.true_peak_dbtp, s.after.true_peak_dbtp, 'dBTP')}",
            ]
        if self.stages_s:
            lines.append("stages   " + ", ".join(f"{name} {s:.1f} s" for name, s in self.stages_s.items()))
        lines += [f"warning  {text}" for text in self.warnings]
        return "\n".join(lines)


def _engine(engine: Engine) -> str:
    return f"{engine.model} on {engine.backend}: {engine.reason}"


def _pair(before: float | None, after: float | None, unit: str) -> str:
    shown = ["none" if v is None else f"{v:.1f}" for v in (before, after)]
    return f"{shown[0]} -> {shown[1]} {unit}"
