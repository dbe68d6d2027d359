"""The loss of dialog enhancement: its formulas against complex arithmetic, and what it punishes."""

import numpy as np
import torch

from lumavox_export.losses import DialogLoss
from lumavox_export.metrics import lost_share


def _spectra(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    dialog, background = (rng.normal(size=(2, 40, 9)) + 1j * rng.normal(size=(2, 40, 9)) for _ in range(2))
    return torch.from_numpy(dialog + background), torch.from_numpy(dialog)


def test_its_terms_are_those_of_the_complex_spectra() -> None:
    mix, dialog = _spectra(1)
    gains = torch.rand(2, 40, 9, dtype=torch.float64)
    loss = DialogLoss(lost=1.0, kept=0.0)
    estimate = gains * mix

    def compressed(x: torch.Tensor) -> torch.Tensor:
        return x.abs() ** 0.3 * x / x.abs()

    magnitude = ((estimate.abs() ** 0.3 - dialog.abs() ** 0.3) ** 2).mean()
    spectrum = ((compressed(estimate) - compressed(dialog)).abs() ** 2).mean()
    energy, noise = (dialog.abs() ** 2).sum((1, 2)), ((dialog - estimate).abs() ** 2).sum((1, 2))
    snr = (10 * torch.log10(energy / (noise + 1e-3 * energy))).mean()
    oracle = 3 * magnitude + 3 * spectrum - 0.05 * snr
    assert torch.allclose(loss(gains, mix, dialog), oracle, atol=1e-5)


def test_lost_dialog_costs_more_than_left_background_and_silence_is_finite() -> None:
    mix, dialog = _spectra(2)
    loss = DialogLoss(snr=0.0)
    off = torch.full((2, 40, 9), 1e-3, dtype=torch.float64)
    assert loss(off, mix, dialog) > 2 * loss(torch.ones_like(off), mix, dialog)
    gains = off.clone().requires_grad_()
    value = DialogLoss()(gains, mix, torch.zeros_like(dialog))
    value.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(value) and gains.grad is not None and torch.isfinite(gains.grad).all()


def test_a_dialog_that_is_off_for_a_stretch_costs_and_one_that_is_6_db_down_hardly() -> None:
    mix, dialog = _spectra(3)
    only = DialogLoss(magnitude=0.0, spectrum=0.0, snr=0.0, kept=1.0)
    ones = torch.ones(2, 40, 9, dtype=torch.float64)
    interrupted = ones.clone()
    interrupted[:, 10:20] = 0.03  # one of four stretches 30 dB down: ((30 - 5) / 10)² / 4
    assert abs(float(only(interrupted, mix, dialog)) - 2.5**2 / 4) < 0.2
    assert float(only(0.5 * ones, mix, dialog)) < 0.02


def test_the_lost_share_counts_seconds_of_dialog_only() -> None:
    rate, rng = 1000, np.random.default_rng(1)
    dialog = rng.normal(size=10 * rate)
    dialog[: 5 * rate] *= 1e-3  # a pause
    kept = dialog.copy()
    kept[6 * rate : 7 * rate] *= 0.1  # 20 dB down
    kept[8 * rate : 9 * rate] *= 0.5  # 6 dB down
    assert lost_share(kept, dialog, rate) == 0.2
