"""A rollout by its commands, over field records: begin, look, advance, stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lumavox.telemetry import ModelInfo, TelemetryRecord
from lumavox_matrix.cli import main
from lumavox_matrix.fleet_record import FieldRecord, RolloutArm
from lumavox_matrix.fleet_records import Records
from lumavox_matrix.rollout_policy import RolloutPolicy, Stage
from lumavox_matrix.rollout_records import look_at
from lumavox_matrix.rollout_state import Rollout, arm_of

pytest.importorskip("duckdb", reason="duckdb is not installed (lumavox[matrix])")
HOUR_MS = 3_600_000
BEGIN_MS = 1_800_000_000_000
RELEASE = "sr/base-x2@2"
POLICY = RolloutPolicy(stages=(Stage(0.2, 0.4, 36, 336), Stage(1.0, 0.2, 36, 336)))
TOML = "schema = 1\n" + "".join(
    f"[[stages]]\nshare = {s.share}\ncontrol = {s.control}\nmin_hours = 36.0\nmax_hours = 336.0\n"
    for s in POLICY.stages
)
SETS = [f"set-{i}" for i in range(2500)]


def records(path: Path, *, crashes: bool, labels_lie: bool = False) -> Path:
    """A record of each set of the first stage an hour after it began, and one 40 hours after."""
    lines = []
    for number, set_id in enumerate(SETS):
        arm = arm_of(set_id, RELEASE, POLICY)
        if arm is None or arm.stage > 0:
            continue
        label = "treated" if arm.treated is not labels_lie else "control"
        for hours in (1, 40):
            bad = arm.treated and crashes and hours == 40 and number % 3 == 0
            record = TelemetryRecord(
                1, f"{set_id}-{hours}", "sr", "active", ModelInfo("sr/base-x2", "d"),
                ts_ms=BEGIN_MS + hours * HOUR_MS + number, frames_in=1000, frames_bypassed=0, frames_late=0,
            )  # fmt: skip
            field = FieldRecord(
                1, set_id, "vs680", "1", record, ended="crash" if bad else "clean", av_offset_ms=0.0,
                rollout=RolloutArm(RELEASE, 1, "treated" if label == "treated" else "control"),
            )  # fmt: skip
            lines.append(field.to_json())
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def begun(tmp_path):
    (tmp_path / "sets.txt").write_text("\n".join(SETS))
    (tmp_path / "p.toml").write_text(TOML)
    command = ["rollout", "begin", "--release", RELEASE, "--sets", str(tmp_path / "sets.txt")]
    assert main([*command, *options(tmp_path, 0)]) == 0
    return tmp_path


def options(folder: Path, hours: float) -> list[str]:
    state, policy = str(folder / "r.json"), str(folder / "p.toml")
    return ["--state", state, "--policy", policy, "--now-ms", str(BEGIN_MS + int(hours * HOUR_MS))]


def look(folder: Path, source: Path, hours: float) -> int:
    return main(["rollout", "look", str(source), "--apply", *options(folder, hours)])


def test_a_harmless_model_waits_for_its_time_and_goes_on(begun, capsys):
    source = records(begun / "f.jsonl", crashes=False)
    assert look(begun, source, 20) == 0
    assert "HOLD" in capsys.readouterr().out
    assert look(begun, source, 100) == 0
    assert "ADVANCE" in capsys.readouterr().out
    assert Rollout.load(begun / "r.json").stage == 1


def test_a_crashing_model_is_stopped_for_good_with_the_reason(begun, capsys):
    source = records(begun / "f.jsonl", crashes=True)
    assert look(begun, source, 41) == 1
    assert "crash: " in capsys.readouterr().out
    state = Rollout.load(begun / "r.json")
    assert state.stopped is not None
    assert state.stopped.startswith("crash")
    assert look(begun, source, 300) == 1
    assert main(["rollout", "stop", "--reason", "again", *options(begun, 301)]) == 2


def test_no_records_hold_and_then_stop(begun, capsys):
    source = begun / "f.jsonl"
    source.write_text("")
    assert look(begun, source, 50) == 0
    assert "0 of" in capsys.readouterr().out
    assert look(begun, source, 340) == 1


def test_records_that_name_another_arm_than_the_draw_do_not_count(begun):
    source = records(begun / "f.jsonl", crashes=True, labels_lie=True)
    found = look_at(
        Records.open([source], begun / "w"), POLICY, Rollout.load(begun / "r.json"), BEGIN_MS + 41 * HOUR_MS
    )
    assert found.reported_sets == 0
    crash = found.guards[0]
    assert (crash.name, crash.treated_events, crash.control_events) == ("crash", 0, 0)


def test_a_person_stops_it_at_once(begun, capsys):
    assert main(["rollout", "stop", "--reason", "complaints", *options(begun, 1)]) == 1
    assert json.loads((begun / "r.json").read_text())["stopped"] == "complaints"
