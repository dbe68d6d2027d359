"""The ring keeps the last records through kills and torn writes, in a file that never grows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lumavox
from lumavox.errors import OptionError, OutputError
from lumavox.telemetry import Meter, TelemetryRecord
from lumavox.telemetry_ring import TelemetryRing


def record(frames: int) -> TelemetryRecord:
    meter = Meter(task="sr", session_id="s")
    meter.frames_in = frames
    return meter.record()


def frames_of(ring: TelemetryRing) -> list[tuple[int, int | None]]:
    return [(number, found.frames_in) for number, found in ring.records()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.ring"


def test_what_was_appended_is_there_after_opening_it_again(path):
    with TelemetryRing.open(path, slots=8) as ring:
        assert [ring.append(record(n)) for n in (10, 11, 12)] == [1, 2, 3]
    with TelemetryRing.open(path, slots=8) as ring:
        assert frames_of(ring) == [(1, 10), (2, 11), (3, 12)]
        assert ring.append(record(13)) == 4


@settings(max_examples=25, deadline=None)
@given(slots=st.integers(2, 9), count=st.integers(0, 30), reopen=st.integers(0, 30))
def test_the_oldest_are_overwritten_and_the_file_does_not_grow(tmp_path_factory, slots, count, reopen):
    path = tmp_path_factory.mktemp("r") / "ring"
    ring = TelemetryRing.open(path, slots)
    size = path.stat().st_size
    for n in range(1, count + 1):
        if n == reopen:
            ring.close()
            ring = TelemetryRing.open(path, slots)
        assert ring.append(record(n)) == n
    kept = range(max(1, count - slots + 1), count + 1)
    assert frames_of(ring) == [(n, n) for n in kept]
    assert path.stat().st_size == size <= 64 + 1024 * slots
    assert [p.name for p in path.parent.iterdir()] == ["ring"]
    ring.close()


def test_acknowledged_records_are_no_longer_pending_also_after_a_restart(path):
    with TelemetryRing.open(path, slots=4) as ring:
        for n in range(6):
            ring.append(record(n))
        ring.acknowledge(4)
        ring.acknowledge(2)  # never back
        assert [number for number, _ in ring.pending()] == [5, 6]
    with TelemetryRing.open(path, slots=4) as ring:
        assert ring.acknowledged == 4
        assert [number for number, _ in ring.pending()] == [5, 6]
        with pytest.raises(OptionError, match="whose last one is 6"):
            ring.acknowledge(7)


_WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from lumavox.telemetry import Meter
from lumavox.telemetry_ring import TelemetryRing
meter = Meter(task="sr", session_id="s")
with TelemetryRing.open(sys.argv[1], slots=16) as ring:
    while True:
        meter.frames_in += 1
        number = ring.append(meter.record())
        assert number == meter.frames_in
        ring.acknowledge(number // 2)
        print(number, flush=True)
"""


def test_a_killed_writer_loses_at_most_what_it_was_writing(path):
    """kill -9 in the middle of appends: all records are there, in order, but for the slot being written."""
    folder = str(Path(lumavox.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), folder], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        said = 0
        while said < 40:
            said = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        said = int(child.stdout.read().split(b"\n")[-2] or said) if child.poll() is not None else said
    with TelemetryRing.open(path, slots=16) as ring:
        found = frames_of(ring)
        numbers = [number for number, _ in found]
        assert all(number == frames for number, frames in found)
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[-1] >= said
        assert len(numbers) >= 15
        assert said // 2 - 1 <= ring.acknowledged <= numbers[-1] // 2 + 1


@settings(max_examples=40, deadline=None)
@given(at=st.integers(64, 64 + 4 * 1024 - 1), value=st.integers(0, 255))
def test_a_damaged_slot_is_left_out_and_the_others_stay(tmp_path_factory, at, value):
    path = tmp_path_factory.mktemp("r") / "ring"
    with TelemetryRing.open(path, slots=4) as ring:
        for n in range(1, 5):
            ring.append(record(n))
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(data)
    with TelemetryRing.open(path, slots=4) as ring:
        found = frames_of(ring)
        assert set(found) <= {(n, n) for n in range(1, 5)}
        assert len(found) >= 3
        assert ring.append(record(9)) == max(number for number, _ in found) + 1


@settings(max_examples=20, deadline=None)
@given(data=st.binary(max_size=200))
def test_a_file_that_is_no_ring_is_replaced(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("r") / "ring"
    path.write_bytes(data)
    with TelemetryRing.open(path, slots=4) as ring:
        assert ring.records() == []
        ring.append(record(1))


def test_one_copy_of_the_acknowledgement_may_be_torn(path):
    with TelemetryRing.open(path, slots=4) as ring:
        for n in range(3):
            ring.append(record(n))
        ring.acknowledge(2)
    for at in (24, 40):
        data = bytearray(path.read_bytes())
        data[at] ^= 255
        path.write_bytes(data)
        with TelemetryRing.open(path, slots=4) as ring:
            assert ring.acknowledged == (2 if at == 24 else 0)


def test_a_second_owner_is_told(path):
    with TelemetryRing.open(path), pytest.raises(OutputError, match="open in another process"):
        TelemetryRing.open(path)


@pytest.mark.parametrize("slots", [0, 1, 70_000])
def test_an_impossible_size_is_refused(path, slots):
    with pytest.raises(OptionError, match="slots"):
        TelemetryRing.open(path, slots)


def test_a_path_that_cannot_be_used_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="path that can be written"):
        TelemetryRing.open(tmp_path / "no" / "such" / "folder")


def test_closing_twice_is_allowed(path):
    ring = TelemetryRing.open(path, slots=2)
    ring.close()
    ring.close()
