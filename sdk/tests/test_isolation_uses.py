"""Isolation where people meet it: the example player, the command line, capabilities, doctor, the soak."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

import bundles
import lumavox
from clips import frames_of, make_clip
from lumavox._isolation_errors import CRASH, HANG, MEMORY, SHARED, START
from lumavox._isolation_forkserver import Forkserver
from lumavox.crash_marker import Configuration, CrashMarker, state_folder
from lumavox.doctor import diagnose
from lumavox.errors import OptionError
from lumavox.fault_injection import KINDS
from lumavox.isolation import Isolation, probe
from lumavox.media import EnhanceOptions, enhance
from media_fixtures import options

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not probe().usable, reason=f"no workers here: {probe().reason}")


@pytest.fixture(autouse=True)
def _markers_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMAVOX_STATE", str(tmp_path / "state"))


@pytest.fixture(autouse=True, scope="module")
def _one_server_for_all_tests():
    server = Forkserver.acquire()
    yield
    server.release()


def script(path: Path) -> ModuleType:
    name = f"script_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


def test_the_example_player_plays_the_clip_through_faults_and_says_so(tmp_path, sr_path, de_path, capsys):
    """The clip of 174 frames at four times its pace: all in order, as many samples out as in."""
    player = script(ROOT / "examples" / "player.py")
    played = player.main(
        [str(ROOT / "examples" / "clip.mp4"), "--pace", "4", "--sr", str(sr_path), "--de", str(de_path),
         "--fault", "30:kill", "--fault", "60:sound:segv", "--fault", "100:exception"],
        trusted_keys=bundles.trusted(),
    )  # fmt: skip
    assert (played.frames, played.in_order) == (174, True)
    assert played.samples_in == played.samples_out
    out = capsys.readouterr().out
    assert "fault on demand: kill of the picture's worker" in out
    assert "E_WORKER_CRASH: the worker ended by SIGKILL; the next one was ready after" in out
    assert any("active" in line for line in played.picture.log)
    assert played.picture.opened.record().frames_enhanced


def test_the_example_player_names_what_it_does_not_understand():
    player = script(ROOT / "examples" / "player.py")
    assert player.KEYS["k"] == "kill"
    assert sorted(player.KEYS.values()) == sorted(KINDS)
    with pytest.raises(SystemExit, match="such as 30:kill"):
        player.main(["clip.mp4", "--fault", "kill"])
    with pytest.raises(SystemExit, match="did you mean 'segv'"):
        player.main(["clip.mp4", "--fault", "3:segvv"])


def test_files_are_enhanced_the_same_in_worker_processes(tmp_path, sr_path, de_path):
    """No deadline: no frame passes by, and the sound equals that of this process sample by sample."""
    source = make_clip(tmp_path / "in.mp4")
    reports = [
        enhance(source, tmp_path / f"{isolation}.mkv", options(sr_path, de_path, isolation=isolation))
        for isolation in ("none", "process")
    ]
    for report in reports:
        assert report.warnings == reports[0].warnings
        assert all(record.frames_bypassed == 0 for record in report.telemetry if record.task == "sr")
    assert "in a worker process" in reports[1].telemetry[0].ep_version
    here, there = (frames_of(tmp_path / f"{isolation}.mkv") for isolation in ("none", "process"))
    assert len(here) == len(there)
    assert all((a.to_ndarray() == b.to_ndarray()).all() for a, b in zip(here, there))
    with pytest.raises(OptionError, match="did you mean 'process'"):
        EnhanceOptions(isolation="proces")


def test_capabilities_and_doctor_say_what_the_kernel_offers_and_what_crashed(tmp_path):
    assert lumavox.capabilities().isolation == probe()
    configuration = Configuration("d" * 64, "any-int8", "litert", "2.3", "npu 1.0", "2026.1", "chip-a")
    CrashMarker(state_folder(), configuration, 5).crashed("E_WORKER_CRASH: SIGSEGV")
    found = diagnose()
    assert probe().text in found.text()
    assert "1 crash(es) of any-int8 on litert 2.3, the last by E_WORKER_CRASH: SIGSEGV" in found.text()
    assert json.loads(next(tmp_path.rglob("*.json")).read_text())["crashes"] == 1


def check_soak(seconds: float, model: Path, allowed_kib: int) -> None:
    soak = script(ROOT / "benchmarks" / "bench_isolation.py").soak
    grown = soak(str(model), "auto", (192, 108), seconds, 60.0, trusted_keys=bundles.trusted())
    assert grown.frames > 10 * seconds
    assert (grown.descriptors, grown.threads) == (0, 0)
    assert grown.player_kib <= allowed_kib
    assert grown.worker_kib <= allowed_kib


def test_a_short_stream_keeps_descriptors_and_threads(sr_path):
    """Memory is judged by the long one: in seconds, caches still fill."""
    check_soak(4.0, sr_path, allowed_kib=8192)


@pytest.mark.slow
def test_ten_minutes_grow_by_no_more_than_a_mebibyte(sr_path):
    check_soak(600.0, sr_path, allowed_kib=1024)


def test_the_documentation_states_the_defaults_and_codes_there_are():
    text = (ROOT / "docs" / "isolation.md").read_text()
    policy = Isolation()
    assert f"`crash_limit` ({policy.crash_limit}) without `healthy_calls` ({policy.healthy_calls:,}" in text
    codes = (CRASH, HANG, MEMORY, SHARED, START)
    assert all(f"`{code.removeprefix('E_WORKER')}`" in text for code in codes if code != CRASH)
    assert f"`SR.{CRASH}`" in text
