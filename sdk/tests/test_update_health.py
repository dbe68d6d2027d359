"""What a healthy session is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lumavox.telemetry import SCHEMA, SelfCheck, TelemetryRecord
from lumavox.update.health import Health

GOOD = TelemetryRecord(
    SCHEMA,
    "1",
    "sr",
    "active",
    frames_in=1000,
    frames_enhanced=1000,
    frames_bypassed=0,
    deadline_miss_count=0,
)


def test_a_session_without_trouble_is_healthy():
    assert Health().complaint(GOOD) is None
    assert Health().proves(GOOD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": "failed", "state_reason": "engine gone"}, "it failed: engine gone"),
        ({"frames_enhanced": 980, "frames_bypassed": 20}, "2.0% of 1000 frames were bypassed"),
        ({"deadline_miss_count": 4}, "0.40% of 1000 frames were late"),
        ({"self_check": SelfCheck("v", "max_lsb", 9.0, 1.0, False)}, "the golden vector did not come out"),
        ({"frames_enhanced": None}, "nothing says whether frames were enhanced"),
    ],
)
def test_what_is_wrong_or_not_known_counts_against_a_session(change, words):
    assert words in (Health().complaint(replace(GOOD, **change)) or "")


def test_a_short_session_proves_nothing():
    for frames in (10, None):
        short = replace(GOOD, frames_in=frames, frames_enhanced=0, frames_bypassed=frames)
        assert not Health().proves(short)
        assert Health().complaint(short) is None


def test_a_failure_needs_no_minimum_of_frames():
    assert Health().complaint(replace(GOOD, frames_in=1, frames_enhanced=0, state="failed"))
