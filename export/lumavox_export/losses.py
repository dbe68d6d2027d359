"""The training loss of dialog enhancement, on complex spectra ``(batch, frames, bins)`` of the front-end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-8


@dataclass(frozen=True)
class DialogLoss:
    """Compressed magnitude and spectrum distance (Braun & Tashev 2020) plus a bounded SNR term.

    ``lost`` weighs bins where the estimate is below the dialog: lost speech is heard more than left
    background.
    """

    power: float = 0.3
    magnitude: float = 3.0
    spectrum: float = 3.0
    snr: float = 0.02
    lost: float = 2.0

    def __call__(self, gains: Tensor, mix: Tensor, dialog: Tensor) -> Tensor:
        """Scalar loss of bin gains ``(batch, frames, bins)`` on spectra of mix and dialog.

        The spectra must be at about unit level (divide both by the mix's RMS).
        """
        mix_magnitude = mix.abs()
        target = dialog.abs()
        estimate = gains * mix_magnitude
        compressed_estimate = (estimate + EPSILON) ** self.power
        compressed_target = (target + EPSILON) ** self.power
        error = compressed_target - compressed_estimate
        weight = torch.where(error > 0, self.lost, 1.0)
        magnitude = (weight * error**2).mean()
        # Compressed spectra: magnitude to the power, phase kept. The estimate has the phase of the mix.
        unit = mix / (mix_magnitude + EPSILON)
        difference = dialog * (compressed_target / (target + EPSILON)) - unit * compressed_estimate
        spectrum = (difference.real**2 + difference.imag**2).mean()
        residual = dialog - gains * mix
        noise = (residual.real**2 + residual.imag**2).sum((1, 2))
        energy = (target**2).sum((1, 2))
        present = energy > 1e-3
        snr = 10 * torch.log10((energy + EPSILON) / (noise + 1e-3 * energy + EPSILON))
        snr = (snr * present).sum() / present.sum().clamp_min(1)
        return self.magnitude * magnitude + self.spectrum * spectrum - self.snr * snr
