"""The training loop: resumable at any moment, and it says when it cannot go on."""

import functools
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from lumavox.errors import OptionError
from lumavox_export.errors import StageError
from lumavox_export.machine import Machine, Network
from lumavox_export.ranks import Batch
from lumavox_export.stopping import Stopped
from lumavox_export.training import Schedule, fit
from training_runs import Optimizer, batch, fresh, loss, run, schedule, started


def _entries(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights(
    optimizer: Optimizer, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", optimizer)

    def stops(step: int) -> Batch:
        if step == 17:
            raise KeyboardInterrupt
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", optimizer, batch=stops)
    with (tmp_path / "parts" / "log.jsonl").open("a") as log:
        log.write('{"step": 25, "loss": 9.0}\n{"step": 2')  # logged after the checkpoint, and by half
    assert _same(whole, run(tmp_path / "parts", optimizer, resume=True))
    assert [entry["step"] for entry in _entries(tmp_path / "parts")] == list(range(40))


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(tmp_path: Path) -> None:
    whole, folder, save = run(tmp_path / "whole", "adamw"), tmp_path / "parts", torch.save

    def half(state: Any, file: Any) -> None:
        save(state, file)
        if state["step"] == 5:
            file.truncate(1000)
            os.kill(os.getpid(), signal.SIGKILL)

    def killed() -> None:
        with patch("torch.save", half):
            run(folder, "adamw")

    assert started(killed, 1, tmp_path)[0][0] == -signal.SIGKILL
    assert (folder / "checkpoint.partial").stat().st_size == 1000
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 4
    assert _same(whole, run(folder, "adamw", resume=True))
    assert not (folder / "checkpoint.partial").exists()


def test_a_run_killed_at_any_moment_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, folder = run(tmp_path / "whole", "soap"), tmp_path / "parts"

    def killed(after: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, after)  # SIGALRM ends the process wherever it is
        run(folder, "soap", resume=True, loss=lambda n, rows: (time.sleep(0.005), loss(n, rows))[1])

    signal_before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    codes = [started(functools.partial(killed, after), 1, tmp_path)[0][0] for after in (0.15, 0.25, 0.2)]
    signal.signal(signal.SIGALRM, signal_before)
    assert -signal.SIGALRM in codes
    assert _same(whole, run(folder, "soap", resume=True))
    assert [entry["step"] for entry in _entries(folder)] == list(range(40))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_and_leaves_a_checkpoint_of_it(number: signal.Signals, tmp_path: Path) -> None:
    whole, patient = run(tmp_path / "whole", "adamw"), replace(schedule("adamw"), checkpoint_seconds=1e9)
    steps: list[int] = []

    def signalled(network: Network, rows: Batch) -> torch.Tensor:
        steps.append(len(steps))
        if len(steps) == 12:
            os.kill(os.getpid(), number)
        return loss(network, rows)

    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(Stopped) as stop:
        fit(fresh(), batch, signalled, patient, tmp_path / "parts")
    assert stop.value.signal is number and len(steps) == 12
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 12
    resumed = fit(fresh(), batch, loss, patient, tmp_path / "parts", resume=True)
    assert _same(whole, resumed) and threading.active_count() == 1


def test_training_learns_and_logs_each_validation_and_the_wait_for_data(tmp_path: Path) -> None:
    plan = Schedule(steps=300, learning_rate=0.02, ema_decay=0.9)
    figures = {"validate": lambda n: {"error": float(loss(n, batch(9999)))}, "validate_every": 100}
    fit(fresh(), batch, loss, plan, tmp_path, **figures)  # type: ignore[arg-type]
    entries = _entries(tmp_path)
    validated = [entry["error"] for entry in entries if "error" in entry]
    assert len(validated) == 3 and validated[-1] < 0.05
    assert all(0 <= entry["data_seconds"] <= entry["seconds"] for entry in entries)


def test_mixed_precision_learns_what_float32_learns(tmp_path: Path) -> None:
    """bfloat16 has 8 bits: products and gradients are off by at most 2**-8 of their size."""
    run(tmp_path / "float32", "adamw")
    run(tmp_path / "mixed", "adamw", machine=Machine(mixed=True))
    exact, mixed = ([e["loss"] for e in _entries(tmp_path / name)] for name in ("float32", "mixed"))
    assert exact != mixed
    assert mixed == pytest.approx(exact, rel=0.05)


def test_validation_is_in_float32_and_weights_stay_so_under_mixed_precision(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []

    def validate(network: Network) -> dict[str, float]:
        seen.append(network(torch.ones(1, 3)).dtype)
        return {}

    weights = run(tmp_path, "soap", machine=Machine(mixed=True), validate=validate, validate_every=20)
    assert {*seen, *(value.dtype for value in weights.values())} == {torch.float32}


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    """Compiled kernels sum in another order: float32 rounding over 40 steps."""
    run(tmp_path / "eager", "adamw")
    run(tmp_path / "compiled", "adamw", machine=Machine(compile=True))
    eager, compiled = ([e["loss"] for e in _entries(tmp_path / name)] for name in ("eager", "compiled"))
    assert compiled == pytest.approx(eager, rel=1e-3)


def test_a_loss_that_is_not_finite_stops_with_advice_and_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"loss is nan at step 0.*learning_rate"):
        run(tmp_path, "adamw", loss=lambda n, rows: loss(n, rows) * float("nan"))
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_of_another_schedule_or_network_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    run(tmp_path, "adamw")
    with pytest.raises(StageError, match="another schedule"):
        run(tmp_path, "soap", resume=True)
    with pytest.raises(StageError, match="another network"):
        fit(torch.nn.Linear(3, 1), batch, loss, schedule("adamw"), tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes((tmp_path / "checkpoint.pt").read_bytes()[:-900])
    with pytest.raises(StageError, match="cannot be read"):
        run(tmp_path, "adamw", resume=True)


def test_a_run_begun_anew_leaves_no_earlier_checkpoint_to_resume_from(tmp_path: Path) -> None:
    run(tmp_path, "adamw")
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, "adamw", loss=lambda n, rows: 1 / 0)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_rate_rises_to_its_peak_and_ends_at_its_share() -> None:
    plan = Schedule(steps=100, learning_rate=1.0, warmup_share=0.1, final_share=0.01)
    rates = [plan.rate(step) for step in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_at_a_restart_the_rate_rises_again_to_a_share_of_its_peak() -> None:
    once = Schedule(steps=100, learning_rate=1.0, warmup_share=0.1)
    plan = Schedule(steps=150, restarts=(100,), restart_share=0.5, learning_rate=1.0, warmup_share=0.1)
    assert [plan.rate(step) for step in range(100)] == [once.rate(step) for step in range(100)]
    assert max(plan.rate(step) for step in range(100, 150)) == plan.rate(105) == 0.5


@pytest.mark.parametrize("restarts", [(0,), (100,), (60, 40)])
def test_restarts_that_are_not_between_the_steps_are_refused(restarts: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="restarts rise between 0 and 100 steps"):
        Schedule(steps=100, restarts=restarts)


def _cycles(folder: Path, steps: int, averaged_cycles: int | None = None, **options: Any) -> dict[str, Any]:
    plan = Schedule(
        steps=steps,
        restarts=tuple(range(10, steps, 10)),
        averaged_cycles=averaged_cycles,
        optimizer="soap",
        learning_rate=0.02,
        ema_decay=0.9,
        checkpoint_seconds=0.0,
    )
    options = {"batch": batch} | options
    return fit(fresh(), loss=loss, schedule=plan, out_dir=folder, **options)


@pytest.mark.parametrize("averaged", [2, 3])
def test_the_result_can_be_the_mean_of_what_the_last_cycles_ended_with(averaged: int, tmp_path: Path) -> None:
    ends = [_cycles(tmp_path / str(steps), steps) for steps in (10, 20, 30)][-averaged:]
    mean = _cycles(tmp_path / "mean", 30, averaged)
    for key, value in mean.items():
        assert torch.allclose(value, torch.stack([end[key] for end in ends]).mean(0), atol=1e-6)


def test_a_resumed_run_knows_how_its_earlier_cycles_ended(tmp_path: Path) -> None:
    def stops(step: int) -> Batch:
        if step == 17:
            raise KeyboardInterrupt
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        _cycles(tmp_path / "parts", 20, 2, batch=stops)
    resumed = _cycles(tmp_path / "parts", 20, 2, resume=True)
    assert _same(resumed, _cycles(tmp_path / "whole", 20, 2))


@pytest.mark.parametrize("averaged_cycles", [0, 3])
def test_no_more_cycles_are_averaged_than_there_are(averaged_cycles: int) -> None:
    with pytest.raises(OptionError, match="averaged_cycles is 1 to 2"):
        Schedule(steps=20, restarts=(10,), averaged_cycles=averaged_cycles)
