"""The reporter writes what is due to ring and sinks, and nothing that a sink does reaches the player."""

from __future__ import annotations

import threading

import pytest

from lumavox.errors import OptionError, OutputError
from lumavox.telemetry import Meter, TelemetryRecord
from lumavox.telemetry_reporter import Reporter
from lumavox.telemetry_ring import TelemetryRing
from lumavox.telemetry_sinks import CallbackSink, CmcdSink, JsonLinesSink
from meters import full_meter


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Player:
    """A meter, a clock, and what came out."""

    def __init__(self) -> None:
        self.clock, self.meter = Clock(), Meter(task="sr", session_id="s")
        self.meter.set_state("active")
        self.seen: list[TelemetryRecord] = []

    def run(self, reporter: Reporter, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now += 1
            self.meter.frames_in += 60
            reporter.tick()

    def reporter(self, *sinks, ring=None, **options) -> Reporter:
        return Reporter(
            [self.meter.record],
            sinks or [CallbackSink(self.seen.append)],
            ring=ring,
            clock=self.clock,
            **options,
        )


class Refuses:
    """A sink that fails while it is told to."""

    def __init__(self, seen: list[TelemetryRecord]) -> None:
        self.failing, self._seen = True, seen

    def write(self, record: TelemetryRecord, occasion: str) -> None:
        if self.failing:
            raise OSError("no network")
        self._seen.append(record)

    def close(self) -> None:
        raise OSError("no network")


def test_a_record_comes_at_the_start_and_every_30_seconds():
    player = Player()
    with player.reporter() as reporter:
        player.run(reporter, 95)
    assert [record.frames_in for record in player.seen] == [
        60,
        1800,
        3600,
        5400,
        5700,
    ]  # the last one at the end


def test_a_change_of_state_is_told_at_once_but_not_every_flicker():
    player = Player()
    reporter = player.reporter()
    player.run(reporter, 10)
    player.meter.set_state("degraded", "stepped down to small: late tails")
    player.run(reporter, 1)
    assert [record.state for record in player.seen] == ["active", "degraded"]
    for second in range(18):
        player.meter.set_state("active" if second % 2 else "degraded")
        player.run(reporter, 1)
    assert len(player.seen) <= 2 + 4


def test_a_late_tick_does_not_make_up_for_missed_ones():
    player = Player()
    reporter = player.reporter()
    player.run(reporter, 1)
    player.clock.now += 300
    reporter.tick()
    reporter.tick()
    assert len(player.seen) == 2


def test_sinks_that_fail_harm_nothing_and_are_counted(tmp_path):
    player = Player()
    with TelemetryRing.open(tmp_path / "ring", slots=16) as ring:
        refuses = Refuses(player.seen)
        reporter = player.reporter(refuses, ring=ring)
        player.run(reporter, 70)
        assert player.seen == []
        assert reporter.failed_writes == 3  # the first record, then one attempt per interval
        assert len(ring.pending()) == 3
        refuses.failing = False
        player.run(reporter, 30)
        assert [record.frames_in for record in player.seen] == [60, 1800, 3600, 5400]  # in order
        player.run(reporter, 30)
        assert [record.frames_in for record in player.seen][4:] == [7200]
        assert ring.pending() == []
        reporter.close()
        reporter.close()


def test_what_a_crashed_session_left_reaches_the_sinks_of_the_next_one(tmp_path):
    crashed = Player()
    with TelemetryRing.open(tmp_path / "ring", slots=16) as ring:
        reporter = crashed.reporter(Refuses([]), ring=ring)
        crashed.run(reporter, 65)  # and never closed
    player = Player()
    with TelemetryRing.open(tmp_path / "ring", slots=16) as ring:
        reporter = player.reporter(ring=ring)
        player.run(reporter, 1)
    assert [record.frames_in for record in player.seen] == [60, 1800, 3600, 60]


def test_a_source_that_fails_harms_nothing():
    player = Player()

    def broken() -> TelemetryRecord:
        raise RuntimeError("closed")

    reporter = Reporter([broken, player.meter.record], [CallbackSink(player.seen.append)], clock=player.clock)
    player.run(reporter, 31)
    assert len(player.seen) == 2
    assert reporter.failed_writes == 31


def test_its_thread_ends_with_it():
    player = Player()
    reporter = Reporter([player.meter.record], [CallbackSink(player.seen.append)])
    reporter.start()
    reporter.start()
    assert sum(thread.name == "lumavox-telemetry" for thread in threading.enumerate()) == 1
    reporter.close()
    assert not any(thread.name == "lumavox-telemetry" for thread in threading.enumerate())
    assert len(player.seen) == 1  # the last record


def test_an_interval_that_is_too_short_is_refused():
    with pytest.raises(OptionError, match="interval_s"):
        Reporter([], interval_s=0.1)


# ------------------------------------------------------------------------------------------------ sinks


def test_json_lines_are_records_and_never_take_more_disk_than_asked(tmp_path):
    path = tmp_path / "lumavox.jsonl"
    sink = JsonLinesSink(path, max_bytes=16_384)
    record = full_meter().record()
    for _ in range(100):
        sink.write(record, "interval")
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * 16_384
    sink.close()
    lines = path.read_text().splitlines()
    assert lines and all(TelemetryRecord.from_json(line) == record for line in lines)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lumavox.jsonl", "lumavox.jsonl.1"]


def test_a_file_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="can be written"):
        JsonLinesSink(tmp_path / "no" / "file").write(full_meter().record(), "interval")
    with pytest.raises(OptionError, match="16384"):
        JsonLinesSink(tmp_path / "file", max_bytes=100)


def test_cmcd_reports_go_to_the_callback_with_the_playhead():
    posted: list[str] = []
    sink = CmcdSink(posted.append, playhead_ms=lambda: 4200)
    sink.write(full_meter().record(), "state")
    sink.write(full_meter().record(), "interval")
    sink.close()
    assert ["e=ce" in posted[0], "e=t" in posted[1], all("pt=4200" in body for body in posted)] == [True] * 3
