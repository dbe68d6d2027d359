"""Scores of methods on groups of pictures, and what follows from them: means, worst cases, gains.

A group (a still, a clip) counts once however many frames it has: figures are means over groups of the mean
over a group's frames. ``*_by_frame`` count every frame once instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..metrics import psnr, ssim_to
from ..progress import progress
from . import mean
from .sr_material import Group, border
from .sr_methods import Method


@dataclass(frozen=True)
class GroupScore:
    """PSNR-Y in dB and SSIM-Y of each frame of one group, by one method."""

    name: str
    kind: str
    psnr_y_db: tuple[float, ...]
    ssim_y: tuple[float, ...]


@dataclass(frozen=True)
class Scores:
    """By method, the scores of all groups (in the same order for every method)."""

    by_method: Mapping[str, Sequence[GroupScore]]
    failed: Mapping[str, str] = field(default_factory=dict)  # method to the reason

    def of_kind(self, kind: str) -> Scores:
        """The groups of one kind only."""
        return Scores(
            {name: [g for g in groups if g.kind == kind] for name, groups in self.by_method.items()}
        )

    @property
    def kinds(self) -> list[str]:
        """Kinds that groups have."""
        return sorted({g.kind for groups in self.by_method.values() for g in groups if g.kind})

    @property
    def names(self) -> list[str]:
        """Of the groups, in their order."""
        return [g.name for g in next(iter(self.by_method.values()), ())]

    def joined(self, other: Scores) -> Scores:
        """The groups of both, by the methods that measured both."""
        both = [name for name in self.by_method if name in other.by_method]
        return Scores({name: [*self.by_method[name], *other.by_method[name]] for name in both})

    def mean_db(self, method: str) -> float:
        """Mean over groups of the mean PSNR-Y of a group, dB."""
        return float(np.mean([np.mean(g.psnr_y_db) for g in self.by_method[method]]))


def score(methods: Iterable[Method], groups: Iterable[Group], scale: float, what: str) -> Scores:
    """Run every method over every group. A peer that fails is left out, with the reason in ``failed``."""
    methods = list(methods)
    found: dict[str, list[GroupScore]] = {m.name: [] for m in methods}
    failed: dict[str, str] = {}
    edge = border(scale)
    for group in progress(groups, f"measuring {what}"):
        similarity = [ssim_to(pair.high, edge) for pair in group.pairs]
        for method in methods:
            if method.name in failed:
                continue
            try:
                shown = [method.run(pair) for pair in group.pairs]
            except Exception as error:
                if method.role != "peer":  # others' files may do anything; ours must work
                    raise
                failed[method.name] = f"{group.name}: {' '.join(str(error).split())[:200]}"
                continue
            found[method.name].append(
                GroupScore(
                    group.name,
                    group.kind,
                    tuple(psnr(estimate, pair.high, edge) for estimate, pair in zip(shown, group.pairs)),
                    tuple(similar(estimate) for estimate, similar in zip(shown, similarity)),
                )
            )
    return Scores({name: values for name, values in found.items() if name not in failed}, failed)


def figures(scores: Scores, methods: Sequence[Method], clips: bool = False) -> dict[str, dict[str, Any]]:
    """By method what ``measured.json`` holds of it; with ``clips`` also by frame.

    Networks have their gain over each filter, ours also that over the best peer of no more
    multiply-accumulates.
    """
    return {
        m.name: _figures(groups, clips) | _gains(scores, m, methods)
        for m in methods
        if (groups := scores.by_method.get(m.name))
    }


def _figures(groups: Sequence[GroupScore], clips: bool) -> dict[str, Any]:
    worst = min(groups, key=lambda g: min(g.psnr_y_db))
    out: dict[str, Any] = {
        "psnr_y_db": mean([np.mean(g.psnr_y_db) for g in groups], 3),
        "ssim_y": mean([np.mean(g.ssim_y) for g in groups], 4),
        "worst_psnr_y_db": round(min(worst.psnr_y_db), 3),
    }
    if not clips:
        return out | {"worst_picture": worst.name}
    return out | {
        "psnr_y_db_by_frame": mean([p for g in groups for p in g.psnr_y_db], 3),
        "ssim_y_by_frame": mean([s for g in groups for s in g.ssim_y], 4),
        "worst_frame": {"clip": worst.name, "frame": int(np.argmin(worst.psnr_y_db))},
    }


def _gains(scores: Scores, own: Method, methods: Sequence[Method]) -> dict[str, Any]:
    if own.role == "filter":
        return {}
    mean = scores.mean_db(own.name)
    out: dict[str, Any] = {
        f"over_{m.name}_db": round(mean - scores.mean_db(m.name), 3) for m in methods if m.role == "filter"
    }
    rivals = [
        m.name
        for m in methods
        if m.role == "peer" and own.costs and m.costs and scores.by_method.get(m.name)
        and m.costs.macs_per_pixel <= own.costs.macs_per_pixel
    ]  # fmt: skip
    if own.role == "ours" and rivals:
        best = max(rivals, key=scores.mean_db)
        out |= {"best_peer": best, "over_best_peer_db": round(mean - scores.mean_db(best), 3)}
    return out


def quantization(scores: Scores, methods: Sequence[Method]) -> dict[str, dict[str, Any]]:
    """By our integer variants, PSNR-Y minus that of the floating point one of the same content, dB."""
    out: dict[str, dict[str, Any]] = {}
    for method in methods:
        base = f"{method.content} float32"
        if method.role != "ours" or method.precision == "float32" or not scores.by_method.get(base):
            continue
        differences = [
            (float(np.mean(a.psnr_y_db) - np.mean(b.psnr_y_db)), a.name)
            for a, b in zip(scores.by_method[method.name], scores.by_method[base], strict=True)
        ]
        worst_db, worst = min(differences)
        out[method.name] = {
            "mean_db": mean([d for d, _ in differences], 3),
            "worst_db": round(worst_db, 3),
            "worst": worst,
        }
    return out
