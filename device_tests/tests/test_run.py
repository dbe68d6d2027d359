"""Runs: in parallel, one cell at a time per device, resumable, and not ended by what a cell does."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import lumavox
from cells import GLANCE, virtual_cell, virtual_cells
from lumavox_matrix import payload
from lumavox_matrix.cell import Status
from lumavox_matrix.cli import main
from lumavox_matrix.execute import execute, failed_outside, job_for
from lumavox_matrix.lab import read_lab
from lumavox_matrix.plan import plan
from lumavox_matrix.run import run
from lumavox_matrix.runner.record import Record
from lumavox_matrix.store import Store
from lumavox_matrix.virtual import virtual_models

HERE = Path(__file__).parent


def many(count: int, devices: int):
    """Cells of one kind on several devices."""
    planned = virtual_cell("sr")
    made = []
    for n in range(count):
        device = dataclasses.replace(planned.device, name=f"board-{n % devices}")
        cell = dataclasses.replace(planned.cell, firmware=str(n))
        made.append(dataclasses.replace(planned, device=device, cell=cell))
    return made


def pretended(planned, tier, *, run_id, loaded, timeout_s):
    return failed_outside(planned, tier, run_id, RuntimeError("pretended"))


def test_a_device_runs_one_cell_at_a_time_and_devices_run_beside_each_other(tmp_path):
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    together = [0]
    lock = threading.Lock()

    def measured(planned, *arguments, **options):
        name = planned.device.name
        with lock:
            now[name] += 1
            most[name] = max(most[name], now[name])
            together[0] = max(together[0], sum(now.values()))
        time.sleep(0.02)
        with lock:
            now[name] -= 1
        return pretended(planned, *arguments, **options)

    summary = run(many(24, 4), Store.open(tmp_path), GLANCE, workers=8, execute=measured)
    assert summary.ran == 24
    assert set(most.values()) == {1}
    assert 2 <= together[0] <= 4


def test_what_the_store_has_is_not_run_again_and_what_is_no_result_is(tmp_path):
    store = Store.open(tmp_path)
    cells = many(4, 2)
    calls: list[str] = []

    def half(planned, tier, **options):
        calls.append(planned.cell.firmware)
        made = pretended(planned, tier, run_id="x", loaded=False, timeout_s=None)
        settled = planned.cell.firmware in ("0", "1")
        return dataclasses.replace(made, status=Status.DONE if settled else Status.ERROR)

    assert run(cells, store, GLANCE, execute=half).ran == 4
    again = run(cells, store, GLANCE, execute=half)
    assert (again.ran, again.skipped) == (2, 2)
    assert Counter(calls) == {"0": 1, "1": 1, "2": 2, "3": 2}
    assert run(cells, store, GLANCE, execute=half, again=True).ran == 4
    assert run(cells, store, GLANCE, execute=half, loaded=True).ran == 4


def test_an_exception_of_the_matrix_itself_is_an_error_of_that_cell_only(tmp_path):
    def broken(planned, *arguments, **options):
        if planned.cell.firmware == "1":
            raise ZeroDivisionError("oops")
        return pretended(planned, *arguments, **options)

    store = Store.open(tmp_path)
    assert run(many(3, 3), store, GLANCE, execute=broken).statuses == {Status.ERROR: 3}
    assert any("ZeroDivisionError: oops" in r.reason for r in store.results())


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from test_run import GLANCE, Store, many, pretended, run
calls = []
def deadly(planned, *arguments, **options):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return pretended(planned, *arguments, **options)
run(many(6, 1), Store.open({store!r}), GLANCE, workers=1, execute=deadly)
"""


def test_a_kill_loses_nothing_that_had_finished(tmp_path):
    store = tmp_path / "store"
    folders = [str(Path(lumavox.__file__).parents[1]), str(HERE.parent)]
    program = KILLED.format(here=str(HERE), store=str(store))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    kept = Store.open(store)
    assert len(kept.digests()) == 3
    assert kept.damaged() == []


def test_a_virtual_cell_runs_from_push_to_record(tmp_path):
    planned = virtual_cell("sr")
    result = execute(planned, GLANCE, run_id="r")
    assert result.status is Status.DONE, result.reason
    assert result.rung.value == "simulated"
    assert result.record is not None
    assert result.record.clock == "scripted"
    assert result.record.frames_strip == "." * 96
    assert result.record.telemetry.latency_us.p99 == pytest.approx(200, rel=0.02)  # what its script says
    assert planned.cell.digest in result.command
    again = execute(planned, GLANCE, run_id="r")
    assert again.record.output_sha256 == result.record.output_sha256


def test_another_version_of_the_engine_than_planned_is_an_error_of_the_lab():
    planned = virtual_cell("sr")
    other = dataclasses.replace(planned, cell=dataclasses.replace(planned.cell, engine_version="2.0"))
    result = execute(other, GLANCE, run_id="r")
    assert result.status is Status.ERROR
    assert "the device has virtual 1, the plan says 2.0" in result.reason


def test_the_runner_that_is_pushed_is_one_file_that_needs_the_runtime_only(tmp_path):
    """As on a device: a fresh interpreter, a folder with runtime, bundle, job and runner, nothing else."""
    from lumavox_matrix.execute import _bundle

    planned = virtual_cell("sr")
    job = job_for(planned, GLANCE)
    folder = payload.stage(job, _bundle(planned, tmp_path, None), tmp_path)
    assert (folder / "runner.pyz").stat().st_size < 100_000
    command = payload.command(sys.executable)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | payload.environment(None)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    record = Record.from_json((tmp_path / payload.RECORD).read_bytes())
    assert record.complete
    assert record.nonce == job.nonce
    assert "lumavox_matrix" not in {p.name for p in folder.iterdir()}


def test_the_command_plans_runs_and_resumes(tmp_path, capsys):
    options = ["--chipset", "virtual-steady", "--tier", "glance", "--store", str(tmp_path / "store")]
    only = virtual_cells()[0].cell.digest
    assert main(["plan", *options, "--cells"]) == 0
    planned = capsys.readouterr().out
    assert only in planned
    assert "p99.9 6636" in planned
    assert main(["run", *options, "--cell", only]) == 0
    assert "ran 1 cells (1 DONE), 0 were there" in capsys.readouterr().out
    assert main(["run", *options, "--cell", only]) == 0
    assert "ran 0 cells (nothing), 1 were there" in capsys.readouterr().out


def test_the_command_names_exactly_what_a_firmware_update_changed(tmp_path, capsys):
    lab = tmp_path / "lab.toml"
    text = "".join(
        f'[[devices]]\nname = "board-{n}"\nchipset = "virtual-fast"\nlink = "virtual"\nfirmware = "1.{n}"\n'
        'driver = "1"\nengines = { virtual = "1" }\n'
        for n in range(2)
    )
    lab.write_text(text)
    store = Store.open(tmp_path / "store")
    made = plan(read_lab(lab), virtual_models(), tier=GLANCE, full=True)
    run(made.cells, store, GLANCE, execute=pretended)
    options = [
        "--chipset",
        "virtual-fast",
        "--lab",
        str(lab),
        "--tier",
        "glance",
        "--store",
        str(store.folder),
    ]
    lab.write_text(text.replace('"1.1"', '"2.0"'))
    assert main(["plan", *options, "--changed", "--cells"]) == 0
    told = capsys.readouterr().out
    updated = [line for line in told.splitlines() if "-> 2.0" in line]
    assert len(updated) == len(virtual_models())
    assert main(["plan", "--changed"]) == 2
    assert "name their folder with --store" in capsys.readouterr().err


def test_wrong_use_of_the_command_names_the_nearest(capsys):
    for arguments, words in (
        (["pln"], "did you mean 'plan'"),
        (["plan", "--chipset", "virtual-stedy"], "did you mean 'virtual-steady'"),
        (["plan", "--tier", "smok"], "did you mean 'smoke'"),
        (["run", "--chipset", "virtual-steady", "--cell", "00"], "unknown cell '00'"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
