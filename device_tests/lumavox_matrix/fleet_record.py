"""``FieldRecord``: a telemetry record from the field, with what its collector knows of the set it came from.

    line = FieldRecord(1, set_id="9f3c...", chipset="vs680", firmware="2026.07", record=record).to_json()

The runtime's record names no set. Who collects adds a pseudonym (a keyed hash, never a serial number),
chipset and firmware, how the session ended, and the arm of a rollout. Absent means not known. One line of a
JSON-lines file each; `fleet_records` makes Parquet of them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Literal

from lumavox._parse import load_json, parse, plain
from lumavox.errors import OptionError
from lumavox.telemetry import TelemetryRecord

__all__ = ["MAX_TEXT", "FieldRecord", "RolloutArm"]

SCHEMA = 1
MAX_TEXT = 128


@dataclass(frozen=True)
class RolloutArm:
    """The arm that the update service put the set in; ``stage`` from 1, as people count."""

    release: str
    stage: int
    arm: Literal["treated", "control"]

    def __post_init__(self) -> None:
        if not 1 <= self.stage <= 100:
            raise OptionError(f"stage {self.stage} is not 1 to 100")


@dataclass(frozen=True)
class FieldRecord:
    """``ended``: "crash" if the player did not close the session and its ring was found at the next start.
    ``av_offset_ms``: median of the session, positive where sound is early."""

    schema: int
    set_id: str
    chipset: str
    firmware: str
    record: TelemetryRecord
    driver: str | None = None
    ended: Literal["clean", "crash"] | None = None
    av_offset_ms: float | None = None
    rollout: RolloutArm | None = None

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this version reads schema {SCHEMA} only")
        for name in ("set_id", "chipset", "firmware", "driver"):
            text = getattr(self, name)
            if text is not None and not 0 < len(text) <= MAX_TEXT:
                raise OptionError(f"{name} has 1 to {MAX_TEXT} characters, got {len(text)}")
        if self.av_offset_ms is not None and not math.fabs(self.av_offset_ms) <= 1e5:
            raise OptionError(f"av_offset_ms {self.av_offset_ms:g} is no offset")

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(plain(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "field record") -> FieldRecord:
        """The record in a JSON text. Raises OptionError that names ``where`` and the key."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return parse(cls, load_json(data, where), where)
