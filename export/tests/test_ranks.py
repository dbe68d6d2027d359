"""Processes that train together take the steps of a single one, and none waits for a dead one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lumavox.errors import OptionError
from lumavox_export.cli import main
from lumavox_export.data.debug import make_debug_data
from lumavox_export.errors import StageError
from lumavox_export.machine import Machine
from lumavox_export.ranks import Batch, Ranks
from lumavox_export.stopping import Stopped
from training_runs import Optimizer, batch, doubles, run, started

RECIPE = """
id = "sr/tiny"
version = "0.1.0"
task = "sr"
family = "sr_plain"
summary = "Trained by two processes."
[network]
channels = 4
layers = 2
[[contents]]
name = "clean"
[contents.data]
datasets = ["debug-pictures"]
validation = ["debug-pictures"]
batch = 5
patch = 16
[contents.train]
steps = 20
learning_rate = 3e-3
[quantize.qat]
steps = 5
"""


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_two_processes_take_the_steps_of_a_single_one(tmp_path: Path) -> None:
    """Nine rows divide into four and five, whose sums differ from the whole's by rounding.

    In float64, and with square layers: SOAP's bases are arbitrary where a covariance is degenerate, so that
    the last bit decides there.
    """
    optimizers: tuple[Optimizer, ...] = ("adamw", "soap")
    weights = {name: run(tmp_path / "one" / name, name, batch=doubles) for name in optimizers}

    def both() -> None:
        machine = Machine.choose("cpu")
        for optimizer in optimizers:
            run(tmp_path / "two" / optimizer, optimizer, machine=machine, batch=doubles)
        machine.ranks.leave()

    found = started(both, 2, tmp_path)
    assert [code for code, _ in found] == [0, 0], found
    for optimizer in optimizers:
        one, two = (_losses(tmp_path / n / optimizer) for n in ("one", "two"))
        assert len(one) == 40 and two == pytest.approx(one, rel=1e-5)
        together = torch.load(tmp_path / "two" / optimizer / "checkpoint.pt", weights_only=True)["average"]
        assert all(torch.allclose(weights[optimizer][key], together[key], atol=1e-6) for key in together)


def test_a_process_whose_partner_died_says_so(tmp_path: Path) -> None:
    def dies(step: int) -> Batch:
        if step == 7:
            os._exit(9)
        return batch(step)

    def trained() -> None:
        machine = Machine.choose("cpu")
        with pytest.raises(StageError) as error:
            run(tmp_path / "two", "adamw", machine=machine, batch=batch if machine.ranks.first else dies)
        print(error.value)

    (code, said), (died, _) = started(trained, 2, tmp_path)
    assert died == 9 and code == 0
    assert "process 0 of 2: another one has ended or cannot be reached" in said and "--resume" in said


def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path: Path) -> None:
    def signalled(step: int) -> Batch:
        if step == 11:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(step)

    def trained() -> None:
        machine = Machine.choose("cpu")
        with pytest.raises(Stopped):
            run(tmp_path / "two", "adamw", machine=machine, batch=batch if machine.ranks.first else signalled)

    assert [code for code, _ in started(trained, 2, tmp_path)] == [0, 0]
    step = torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)["step"]
    assert 1 <= step <= 12 and len(_losses(tmp_path / "two")) == step


def test_the_command_in_two_processes_makes_the_artifact_of_a_single_one(tmp_path: Path) -> None:
    make_debug_data(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    places = {"--data": "", "--manifests": "datasets", "--cache": "cache"}
    common = ["quantize", str(tmp_path / "recipe.toml"), "--device", "cpu", "--threads", "1"]
    common += [word for option, name in places.items() for word in (option, str(tmp_path / name))]
    for name, count in (("two", 2), ("one", 1)):
        command = [*common, "--out", str(tmp_path / name)]
        found = started(lambda command=command: main(command), count, tmp_path)  # type: ignore[misc]
        assert [code for code, _ in found] == [0] * count, found
        assert "quantize is in" in found[0][1]
        assert all(not said for _, said in found[1:])
    for stage in ("train", "quantize"):
        one, two = (load_file(tmp_path / n / stage / "weights.safetensors") for n in ("one", "two"))
        assert one.keys() == two.keys()
        assert all(torch.allclose(one[key], two[key], atol=1e-3) for key in one)
    assert "psnr_y_db" in (tmp_path / "two" / "train" / "clean" / "log.jsonl").read_text()


@pytest.mark.slow
def test_torchrun_starts_the_command(tmp_path: Path) -> None:
    make_debug_data(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "lumavox_export", "train", "recipe.toml", "--device", "cpu"]
    command += ["--data", ".", "--manifests", "datasets", "--cache", "cache", "--out", "out"]
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train is in") == 1


def test_rows_are_divided_without_gap_or_overlap() -> None:
    whole = batch(3)
    parts = [Ranks(rank, 4).rows(whole) for rank in range(4)]
    assert torch.equal(torch.cat([rows[0] for rows, _ in parts]), whole[0])
    assert sum(share for _, share in parts) == pytest.approx(1.0)
    with pytest.raises(StageError, match=r"a batch of 9 is too small for 10 processes"):
        Ranks(0, 10).rows(whole)


def test_a_device_that_is_not_there_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match=r"sees no GPU.*--device cpu"):
        Machine.choose("cuda")
    with pytest.raises(OptionError, match="cuda"):
        Machine.choose("cud")


def test_auto_is_a_gpu_in_bfloat16_compiled_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Machine.choose("cpu") == Machine()
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    machine = Machine.choose("auto")
    assert machine == Machine(torch.device("cuda", 1), mixed=True, compile=True) and chosen == [1]
    assert not machine.in_float32().mixed and machine.look_every > 1
    assert Machine.choose("auto", "float32", compile=False) == Machine(torch.device("cuda", 1))
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(OptionError, match="has no GPU of its own: there are 2"):
        Machine.choose("auto")
