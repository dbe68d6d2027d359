"""A trained plain network in another shape: Net2Net (Chen, Goodfellow, Shlens, ICLR 2016), and narrower.

What a larger shape can keep of the function it keeps to the last bit of arithmetic: a further convolution
begins as the identity, which ReLU lets pass, and a further channel is read by nobody yet. A narrower shape
costs quality: of every layer go the channels whose kernels, before and behind them, are smallest together.
Sub-pixels of another scale begin on the line through the ones there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

Layers = tuple[list[Tensor], list[Tensor]]  # kernels (outputs, inputs, height, width) and biases


@torch.no_grad()
def reshaped(layers: Layers, fresh: Layers, kept: int) -> Layers:
    """``layers`` in the shapes of ``fresh``, whose numbers begin what is new.

    The first convolutions of both have one input; the last ``kept`` hidden channels stay the last ones.
    ``fresh`` has no fewer layers.
    """
    weights, biases = ([t.detach().clone() for t in part] for part in layers)
    channels = len(fresh[0][0])
    for index in range(len(weights) - 1):
        _drop(weights, biases, index, channels, kept)
        _add(weights, biases, index, fresh, kept)
    count = len(fresh[0][-1])
    weights[-1], biases[-1] = _subpixels(weights[-1], count), _subpixels(biases[-1], count)
    while len(weights) < len(fresh[0]):
        identity = torch.zeros_like(fresh[0][1])
        identity[:, :, 1, 1] = torch.eye(channels)
        weights.insert(-1, identity)
        biases.insert(-1, torch.zeros(channels))
    return weights, biases


def _drop(weights: list[Tensor], biases: list[Tensor], index: int, channels: int, kept: int) -> None:
    """Narrow the outputs of convolution ``index`` to at most ``channels``."""
    surplus = len(weights[index]) - channels
    if surplus <= 0:
        return
    felt = weights[index].flatten(1).norm(dim=1) * weights[index + 1].transpose(0, 1).flatten(1).norm(dim=1)
    felt[len(felt) - kept :] = torch.inf
    stay = felt.argsort()[surplus:].sort().values
    weights[index], biases[index] = weights[index][stay], biases[index][stay]
    weights[index + 1] = weights[index + 1][:, stay]


def _add(weights: list[Tensor], biases: list[Tensor], index: int, fresh: Layers, kept: int) -> None:
    """Widen the outputs of convolution ``index`` to those of ``fresh``; nothing reads the new ones yet."""
    new = len(fresh[0][index]) - len(weights[index])
    if new <= 0:
        return
    at, behind = len(weights[index]) - kept, weights[index + 1]
    rows = fresh[0][index][at : at + new, : weights[index].shape[1]].detach()
    weights[index] = torch.cat([weights[index][:at], rows, weights[index][at:]])
    biases[index] = torch.cat([biases[index][:at], torch.zeros(new), biases[index][at:]])
    silent = behind.new_zeros(len(behind), new, *behind.shape[2:])
    weights[index + 1] = torch.cat([behind[:, :at], silent, behind[:, at:]], dim=1)


def _subpixels(rows: Tensor, count: int) -> Tensor:
    """Rows of ``n * n`` sub-pixels as rows of ``m * m`` ones, in the same places of a pixel."""
    old, new = (round(number**0.5) for number in (len(rows), count))
    if old == new or old == 1:
        return rows if old == new else rows.expand(count, *rows.shape[1:]).clone()
    places = ((torch.arange(new) + 0.5) / new) * old - 0.5
    left = places.floor().clamp(0, old - 2)
    line = torch.zeros(new, old)
    for row, (place, first) in enumerate(zip(places, left, strict=True)):
        line[row, int(first)], line[row, int(first) + 1] = 1 - (place - first), place - first
    return torch.tensordot(torch.kron(line, line), rows, dims=1)
