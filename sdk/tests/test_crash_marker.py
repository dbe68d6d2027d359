"""What is remembered of crashes: per exact configuration, across processes, through power cuts."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumavox import crash_marker
from lumavox.crash_marker import Configuration, CrashMarker, state_folder
from lumavox.device_identity import DeviceIdentity

HERE = Configuration("d" * 64, "any-int8", "litert", "2.3", "npu 1.0", "2026.1", "chip-a")


def test_crashes_add_up_across_processes_and_set_the_model_aside(tmp_path):
    for expected in range(1, 4):
        marker = CrashMarker(tmp_path, HERE, 3)
        assert marker.set_aside is None
        marker.begin()
        marker.crashed("SIGSEGV")
        assert marker.crashes == expected
    reason = CrashMarker(tmp_path, HERE, 3).set_aside
    assert "set aside after 3 crashes (SIGSEGV)" in reason
    assert "chip-a" in reason
    assert str(marker.path) in reason
    assert CrashMarker(tmp_path, HERE, None).set_aside is None


@pytest.mark.parametrize("member", [f.name for f in dataclasses.fields(Configuration)])
def test_any_change_of_the_configuration_begins_anew(tmp_path, member):
    CrashMarker(tmp_path, HERE, 1).crashed("SIGKILL")
    other = dataclasses.replace(HERE, **{member: "another"})
    assert CrashMarker(tmp_path, other, 1).set_aside is None
    assert CrashMarker(tmp_path, HERE, 1).set_aside


def test_a_long_healthy_run_forgives_and_leaves_no_file(tmp_path):
    marker = CrashMarker(tmp_path, HERE, 2)
    marker.crashed("SIGSEGV")
    marker.begin()
    marker.forgive()
    assert list(tmp_path.iterdir()) == []
    assert CrashMarker(tmp_path, HERE, 2).crashes == 0


def test_a_load_that_took_the_whole_system_down_counts(tmp_path, monkeypatch):
    """The note of a process that is gone without a word, of this boot or another."""
    program = (
        "import sys; from pathlib import Path; from lumavox.crash_marker import *; "
        f"CrashMarker(Path(sys.argv[1]), Configuration(*{dataclasses.astuple(HERE)!r}), 9).begin()"
    )
    path = os.pathsep.join(sys.path)
    subprocess.run(
        [sys.executable, "-c", program, tmp_path], check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert CrashMarker(tmp_path, HERE, 9).crashes == 1
    marker = CrashMarker(tmp_path, HERE, 9)
    marker.begin()
    assert CrashMarker(tmp_path, HERE, 9).crashes == 1  # this process lives: another player, no crash
    monkeypatch.setattr(crash_marker, "_boot_id", lambda: "another boot")
    assert CrashMarker(tmp_path, HERE, 9).crashes == 2


def test_a_load_that_succeeded_leaves_nothing(tmp_path):
    marker = CrashMarker(tmp_path, HERE, 9)
    marker.begin()
    assert marker.path.exists()
    marker.settle()
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=200))
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("state")
    marker = CrashMarker(folder, HERE, 1)
    marker.path.write_bytes(data)
    assert CrashMarker(folder, HERE, 1).set_aside is None


def test_a_folder_that_cannot_be_written_costs_the_memory_only(tmp_path):
    (tmp_path / "file").write_text("in the way")
    marker = CrashMarker(tmp_path / "file" / "below", HERE, 2)
    marker.crashed("SIGSEGV")
    marker.crashed("SIGSEGV")
    assert marker.set_aside
    assert "not remembered" in marker.problem


def test_the_folder_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LUMAVOX_STATE", str(tmp_path))
    assert state_folder() == tmp_path / "crashes"
    monkeypatch.delenv("LUMAVOX_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder() == tmp_path / "xdg" / "lumavox" / "crashes"


def test_this_machine_is_named_and_no_member_is_empty():
    here = DeviceIdentity.here()
    assert here.soc
    assert os.uname().release in here.firmware
    assert here == DeviceIdentity.here()
