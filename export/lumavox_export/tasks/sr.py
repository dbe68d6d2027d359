"""Super-resolution of luma: pairs of pictures, L1 loss, PSNR-Y."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..data.sr_pairs import PairSettings, pairs, pictures, reduce, whole
from ..errors import RecipeError
from ..exporter import VARIANTS as VARIANTS  # the integer network first: it is several times as quick
from ..graph import Graph
from ..machine import Network
from ..metrics import psnr
from ..progress import progress
from ..qat import FakeQuantGraph
from ..recipe import Content, Recipe
from ..work import Work

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Data:
    """Section ``[contents.data]``."""

    datasets: tuple[str, ...]
    validation: tuple[str, ...] = ()
    batch: int = 16
    loss: Literal["l1", "l2"] = "l1"  # l2 for material where much cannot be restored
    patch: int = 40  # low-resolution pixels; 32-40 is quickest on CPUs
    candidates: int = 1  # crops drawn for every one that is kept, the one with the most detail
    pairs: PairSettings = field(default_factory=PairSettings)


class Material:
    """Batches and validation pictures of one content."""

    workers = 0  # crops are made in a fraction of a step

    def __init__(self, recipe: Recipe, content: Content, work: Work) -> None:
        self.data: Data = content.data  # type: ignore[assignment]
        self.seed = recipe.seed
        self.scale: int | float = recipe.network.scale  # type: ignore[attr-defined]
        sets = [work.dataset(name) for name in self.data.datasets]
        self.pairs = pairs(self.data.pairs, self.scale, sets, work.cache)
        if self.data.patch > self.pairs.least_side:
            raise RecipeError(
                f"{recipe.id}: contents.data.patch {self.data.patch} does not fit into the smallest picture, "
                f"{self.pairs.least_side} pixels after reduction by {self.scale:g}"
            )
        self._validation: list[tuple[np.ndarray, np.ndarray]] = []
        for name in self.data.validation:
            for picture in pictures(work.dataset(name), clips=False):
                high = whole(picture[:400, :600], self.scale, recipe.network.multiple)  # type: ignore[attr-defined]
                self._validation.append((reduce(high, self.scale, "bicubic"), high))

    def remember(self, teacher: Network) -> None:
        """Make the teacher's picture of every pair once; batches bring their part of it from now on."""
        self.pairs.guides = []
        with torch.no_grad():
            for low, _ in progress(self.pairs.items, "pictures of the teacher", len(self.pairs.items)):
                x = torch.from_numpy(low)[None, None].float().div_(255)
                picture = teacher(x)[0, 0].mul_(255 * 256).round_().clamp_(0, 65535)
                self.pairs.guides.append(picture.numpy().astype(np.uint16))

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Low and high resolution luma bytes of a step, ``(batch, 1, height, width)``.

        After `remember`, also the teacher's high resolution, in 1/256 level.
        """
        rng = np.random.default_rng([self.seed, step])
        planes = self.pairs.batch(rng, self.data.batch, self.data.patch, self.data.candidates)
        return tuple(torch.from_numpy(plane)[:, None] for plane in planes)

    def loss(
        self,
        network: Network,
        batch: tuple[Tensor, ...],
        teacher: Network | None = None,
        share: float = 0.0,
    ) -> Tensor:
        """Distance to the truth, ``share`` of it to the teacher's picture (asked for, or remembered)."""
        low, high = (x.float().div_(255) for x in batch[:2])
        low = low.contiguous(memory_format=torch.channels_last)
        estimate = network(low)
        loss = self._distance(estimate, high)
        if teacher is not None:
            with torch.no_grad():
                guide = teacher(low)
        elif share:
            guide = batch[2].float().div_(255 * 256)
        else:
            return loss
        return (1 - share) * loss + share * self._distance(estimate, guide)

    def _distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        difference = estimate - target
        return difference.abs().mean() if self.data.loss == "l1" else (difference**2).mean()

    def validate(self, network: Network) -> dict[str, float]:
        """Mean PSNR-Y over the validation pictures, dB."""
        values = []
        for low, high in self._validation:
            x = torch.from_numpy(low)[None, None].float().div_(255)
            values.append(psnr(network(x)[0, 0].numpy() * 255, high, ceil(self.scale)))
        return {"psnr_y_db": float(np.mean(values))} if values else {}


def network_of(graph: FakeQuantGraph) -> FakeQuantGraph:
    """What `Material.loss` takes, for quantization-aware training."""
    return graph


def calibration(recipe: Recipe, material: Material, graph: Graph) -> Iterator[Feeds]:
    """Low-resolution patches as the network meets them."""
    for step in range(max(1, recipe.quantize.calibration_samples // 16)):
        rng = np.random.default_rng([recipe.seed, 1 << 20, step])
        low = material.pairs.batch(rng, 16, min(64, material.pairs.least_side))[0]
        for patch in low:
            yield {graph.inputs[0].name: patch[None, :, :, None].astype(np.float32) / 255}


def golden(recipe: Recipe, graph: Graph) -> list[dict[str, np.ndarray]]:
    """A picture with edges, texture and a slope, real values 0..1."""
    rng = np.random.default_rng(recipe.seed)
    y, x = np.mgrid[0:24, 0:40]
    picture = (
        0.5
        + 0.3 * np.sin(x / 3.0) * np.cos(y / 2.0)
        + 0.2 * ((x + y) % 13 < 4)
        + rng.normal(0, 0.05, x.shape)
    )
    picture[:6, :10] = 0.0  # black and white saturate
    picture[-6:, -10:] = 1.0
    luma = np.rint(np.clip(picture, 0, 1) * 255) / 255
    return [{graph.inputs[0].name: luma[None, :, :, None].astype(np.float32)}]


def ranges(recipe: Recipe, graph: Graph) -> dict[str, tuple[float, float]]:
    """Every tensor on the grid of luma bytes: the anchor passes without error and the output saturates."""
    return dict.fromkeys(graph.shapes, (0.0, 1.0))


def front_end(recipe: Recipe) -> dict[str, Any]:
    """The bundle's ``front_end``."""
    network: Any = recipe.network
    found = {"scale": network.scale, "plane": "luma", "bit_depth": 8}
    found["receptive_field"] = network.receptive_field
    return found if network.multiple == 1 else found | {"multiple": network.multiple}


def delay(recipe: Recipe) -> dict[str, int]:
    """A single-frame network waits for nothing."""
    return {"frames": 0}
