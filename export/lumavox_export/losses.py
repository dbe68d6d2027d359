"""The training loss of dialog enhancement, on complex spectra ``(batch, frames, bins)`` of the front-end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-8


@dataclass(frozen=True)
class DialogLoss:
    """Compressed magnitude and spectrum distance (Braun & Tashev 2020), a bounded SNR term, and kept speech.

    ``lost`` weighs bins where the estimate is below the dialog: lost speech is heard more than left
    background. ``kept`` weighs stretches of dialog that the gains leave more than ``kept_within_db`` down,
    squared in units of 10 dB: a dialog that is switched off for a moment costs little in the other terms.
    Stretches in which the background is stronger count less.
    """

    power: float = 0.3
    magnitude: float = 3.0
    spectrum: float = 3.0
    snr: float = 0.05
    lost: float = 2.5
    kept: float = 0.3
    kept_within_db: float = 5.0
    stretch: int = 10  # frames

    def __call__(self, gains: Tensor, mix: Tensor, dialog: Tensor) -> Tensor:
        """Scalar loss of bin gains ``(batch, frames, bins)`` on spectra of mix and dialog.

        The spectra must be at about unit level (divide both by the mix's RMS). Gains are real, so all terms
        follow from the two magnitudes and the real part of the cross spectrum.
        """
        total, energy = _power(mix), _power(dialog)
        cross = mix.real * dialog.real + mix.imag * dialog.imag
        agreement = cross / (torch.sqrt(total * energy) + EPSILON)  # cosine between mix and dialog
        target = energy ** (self.power / 2)
        estimate = (gains * torch.sqrt(total) + EPSILON) ** self.power
        error = target - estimate
        magnitude = (torch.where(error > 0, self.lost, 1.0) * error**2).mean()
        spectrum = (error**2 + 2 * target * estimate * (1 - agreement)).mean()

        squares = gains**2
        spoken = energy.sum((1, 2))
        noise = (energy + squares * total - 2 * gains * cross).sum((1, 2))
        present = spoken > 1e-3
        snr = 10 * torch.log10((spoken + EPSILON) / (noise + 1e-3 * spoken + EPSILON))
        snr = (snr * present).sum() / present.sum().clamp_min(1)
        loss = self.magnitude * magnitude + self.spectrum * spectrum - self.snr * snr
        return loss + self.kept * self._switched_off(squares, energy, total) if self.kept else loss

    def _switched_off(self, squares: Tensor, energy: Tensor, total: Tensor) -> Tensor:
        spoken, whole, left = (self._stretches(x) for x in (energy, total, squares * energy))
        active = spoken > 3e-3 * spoken.amax(1, keepdim=True).clamp_min(1e-3)
        weight = active * (spoken / (whole + EPSILON)).clamp(max=1.0)
        down_db = -10 * torch.log10((left + EPSILON) / (spoken + EPSILON))
        excess = torch.relu(down_db - self.kept_within_db) / 10
        return (weight * excess**2).sum() / weight.sum().clamp_min(1.0)

    def _stretches(self, x: Tensor) -> Tensor:
        """Sums over bins and stretches of frames: ``(batch, stretches)``."""
        frames = x.sum(2)
        whole = frames.shape[1] // self.stretch * self.stretch
        return frames[:, :whole].unflatten(1, (-1, self.stretch)).sum(2)


def _power(spectra: Tensor) -> Tensor:
    return spectra.real**2 + spectra.imag**2
