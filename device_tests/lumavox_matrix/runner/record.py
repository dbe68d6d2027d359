"""``Record``: what a run of a cell left, written by the runner on the device.

It is the telemetry record of ``lumavox`` plus a matrix section. The file is replaced at the beginning and at
the end of every phase: after a crash or a hang, the phase that has begun and not ended is the one that died.
Nothing is judged here: an `Observation` says what was seen and whether it is within its limit; statuses and
culprits are concluded from it elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lumavox._files import replace_file
from lumavox._parse import dump_json, load_json, parse, plain
from lumavox.errors import OptionError
from lumavox.telemetry import TelemetryRecord

__all__ = ["SCHEMA", "Device", "Memory", "Observation", "Phase", "Record", "write"]

SCHEMA = 1

PhaseName = Literal["probe", "open", "engine", "quality", "reference", "stream", "checks"]


@dataclass(frozen=True)
class Phase:
    """A step of the run. No ``ended_s``: the process died or hung in it. ``error``: it raised that."""

    name: PhaseName
    began_s: float  # monotonic seconds since the runner began
    ended_s: float | None = None
    error: str | None = None  # "EngineError: ..."


@dataclass(frozen=True)
class Observation:
    """One thing seen, named as CTA WAVE names it where it does. ``passed`` absent: measured only."""

    name: str
    phase: PhaseName
    passed: bool | None = None
    value: float | None = None
    limit: float | None = None
    unit: str | None = None
    count: int | None = None  # samples behind the value
    detail: str | None = None  # which frames, which digest


@dataclass(frozen=True)
class Device:
    """What the device says about itself."""

    machine: str  # "aarch64"
    system: str  # kernel and release
    python: str
    runtime: str  # version of lumavox
    engine_version: str | None = None
    engine_library: str | None = None  # which of an engine's libraries: "tflite-runtime 2.14.0"
    cpu: str | None = None
    features: tuple[str, ...] = ()
    cores: int | None = None
    memory_mib: int | None = None


@dataclass(frozen=True)
class Memory:
    """Resident memory of the process in KiB: at the start, after opening, and at both ends of the stream."""

    start_kib: int | None = None
    opened_kib: int | None = None
    quarter_kib: int | None = None
    end_kib: int | None = None


@dataclass(frozen=True)
class Record:
    """See the module's docstring. Latencies are mergeable buckets as in the telemetry: ``loop_us`` from a
    frame (or block) given to it taken, ``engine_us`` of the engine's calls in it, ``reference_us`` of the
    reference variant. ``minutes_p99_us``: p99 of ``loop_us`` in each minute of a paced stream. ``units``: how
    many frames, or blocks, were streamed."""

    schema: int
    nonce: str
    cell_digest: str
    complete: bool = False
    phases: tuple[Phase, ...] = ()
    observations: tuple[Observation, ...] = ()
    telemetry: TelemetryRecord | None = None
    device: Device | None = None
    memory: Memory = field(default_factory=Memory)
    units: int | None = None
    output_sha256: str | None = None  # of the engine's outputs on the fixed test frames
    loop_us: tuple[tuple[int, int], ...] = ()
    loop_max_us: float | None = None
    engine_us: tuple[tuple[int, int], ...] = ()
    engine_max_us: float | None = None
    reference_us: tuple[tuple[int, int], ...] = ()
    reference_max_us: float | None = None
    minutes_p99_us: tuple[float, ...] = ()
    frames_strip: str | None = None  # one letter a frame: "." right, "M" missing, "D" duplicate, ...
    tier: str | None = None
    clock: Literal["real", "scripted"] = "real"
    loaded: bool = False
    began_ms: int | None = None  # Unix time of the device

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this version reads run records of schema {SCHEMA}")

    @property
    def open_phase(self) -> str | None:
        """The phase that has begun and not ended."""
        return next((p.name for p in self.phases if p.ended_s is None), None)

    def observation(self, name: str) -> Observation | None:
        """The observation of that name."""
        return next((o for o in self.observations if o.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, absent fields left out."""
        found: dict[str, Any] = plain(self)
        return found

    @classmethod
    def from_json(cls, data: bytes, where: str = "record") -> Record:
        """The record in a JSON text. Raises OptionError that names ``where`` and the key."""
        return parse(cls, load_json(data, where), where)


def write(record: Record, path: Path) -> None:
    """Replace the file in one step."""
    replace_file(path, dump_json(record.to_dict()))
