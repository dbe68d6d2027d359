"""The training loop: resumable at any moment, and it says when it cannot go on."""

import json
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from lumavox_export.errors import StageError
from lumavox_export.training import Schedule, fit


def _loss(module: nn.Module, step: int) -> torch.Tensor:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
    return ((module(x) - x.sum(1, keepdim=True)) ** 2).mean()


def _fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights(
    optimizer: Literal["adamw", "soap"], tmp_path: Path
) -> None:
    schedule = Schedule(steps=30, optimizer=optimizer, learning_rate=0.05, checkpoint_seconds=0.0)
    whole = fit(_fresh(), _loss, schedule, tmp_path / "whole")

    def stops(module: nn.Module, step: int) -> torch.Tensor:
        if step == 17:
            raise KeyboardInterrupt
        return _loss(module, step)

    with pytest.raises(KeyboardInterrupt):
        fit(_fresh(), stops, schedule, tmp_path / "parts")
    resumed = fit(_fresh(), _loss, schedule, tmp_path / "parts", resume=True)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_training_learns_and_logs_each_validation(tmp_path: Path) -> None:
    schedule = Schedule(steps=300, learning_rate=0.05, ema_decay=0.9)
    module = _fresh()
    fit(
        module,
        _loss,
        schedule,
        tmp_path,
        validate=lambda m: {"loss": float(_loss(m, 9999))},
        validate_every=100,
    )
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    validated = [entry["loss"] for entry in entries if (entry["step"] + 1) % 100 == 0]
    assert len(validated) == 3 and validated[-1] < 0.01


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"loss is nan at step 0.*learning_rate"):
        fit(_fresh(), lambda m, s: _loss(m, s) * float("nan"), Schedule(steps=3), tmp_path)


def test_a_checkpoint_of_another_schedule_is_refused(tmp_path: Path) -> None:
    fit(_fresh(), _loss, Schedule(steps=3), tmp_path)
    with pytest.raises(StageError, match="another schedule"):
        fit(_fresh(), _loss, Schedule(steps=4), tmp_path, resume=True)


def test_the_rate_rises_to_its_peak_and_ends_at_its_share() -> None:
    schedule = Schedule(steps=100, learning_rate=1.0, warmup_share=0.1, final_share=0.01)
    rates = [schedule.rate(step) for step in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
