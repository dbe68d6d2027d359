"""``TelemetryRecord``: what happened in one session, in one schema for players and for the test matrix.

A ``Meter`` collects while frames or blocks run; ``record()`` freezes it. A field that is absent was not
known: nothing is null and nothing is guessed. There are no pixels, no sound and no names of content in a
record, and nothing is ever kept or sent unless the player makes a `telemetry_reporter.Reporter`. JSON
Schema: ``schemas/telemetry.schema.json``; field by field: ``docs/telemetry.md``.

    meter = Meter(task="sr", model=ModelInfo(bundle.id, bundle.digest), ep_requested="auto")
    meter.frames_in += 1
    meter.add_latency_us(1234.5)
    line = meter.record().to_json()                       # one line of a JSONL file

A player that does not run Lumavox for a stream says so with a reason that everybody spells alike:

    meter = Meter(task="de", session_id=session_id)
    meter.set_state("bypass", PASSTHROUGH_AUDIO)
"""

from __future__ import annotations

import hashlib
import json

from ._histogram import Histogram
from ._meter import MAX_ERRORS, Meter
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
)

__all__ = [
    "MAX_ERRORS", "NO_SPEECH", "PASSTHROUGH_AUDIO", "SCHEMA", "SECURE_PATH",
    "AddedLatency", "Content", "Histogram", "LadderUse", "LateBudget", "Latency", "Meter", "ModelInfo",
    "SelfCheck", "State", "TelemetryRecord", "config_digest", "reason_token",
]  # fmt: skip

PASSTHROUGH_AUDIO = "bypassed: passthrough audio"
"""The sound goes to the receiver as it is coded, so there are no samples to work on."""
SECURE_PATH = "bypassed: secure path"
"""Protected pictures or sound, which only the hardware may read."""
NO_SPEECH = "no speech"
"""The network runs and finds no dialog."""

_TOKENS = {  # how reasons begin, and what leaves the device in their place
    PASSTHROUGH_AUDIO: "passthrough-audio",
    SECURE_PATH: "secure-path",
    NO_SPEECH: "no-speech",
    "stepped down": "stepped-down",
    "the model is being loaded": "loading",
    "no frame came yet": "waiting",
    "no sound came yet": "waiting",
    "the network was not ready": "late",
    "the mask was not ready": "late",
    "the engine is still busy": "late",
    "the controls leave the sound": "level-off",
    "given up after": "faults",
    "resting after": "faults",
    "closed": "closed",
}


def reason_token(reason: str) -> str:
    """A short name for a ``state_reason``; ``other`` for what is not in the vocabulary.

    Reasons may quote an engine or name a file, so reports that leave the device carry this instead.
    """
    return next((token for start, token in _TOKENS.items() if reason.startswith(start)), "other")


def config_digest(*parts: object) -> str:
    """16 hex digits that name a configuration: bundle digest, variant, backend, library, threads, ..."""
    text = json.dumps([str(part) for part in parts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
