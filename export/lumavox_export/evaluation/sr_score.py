"""Scores of methods on groups of pictures, and what follows from them: means, worst cases, gains.

A group (a still, a clip) counts once however many frames it has: figures are means over groups of the mean
over a group's frames. ``*_by_frame`` count every frame once instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..metrics import psnr, ssim
from ..progress import progress
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
        for method in methods:
            if method.name in failed:
                continue
            try:
                shown = [(method.run(pair), pair.high) for pair in group.pairs]
            except Exception as error:
                if method.role != "peer":  # others' files may do anything; ours must work
                    raise
                failed[method.name] = f"{group.name}: {' '.join(str(error).split())[:200]}"
                continue
            found[method.name].append(
                GroupScore(
                    group.name,
                    group.kind,
                    tuple(psnr(estimate, truth, edge) for estimate, truth in shown),
                    tuple(ssim(estimate, truth, edge) for estimate, truth in shown),
                )
            )
    return Scores({name: values for name, values in found.items() if name not in failed}, failed)


def figures(scores: Scores, clips: bool = False) -> dict[str, dict[str, Any]]:
    """By method what ``measured.json`` holds of it; with ``clips`` also by frame."""
    return {name: _figures(groups, clips) for name, groups in scores.by_method.items() if groups}


def _figures(groups: Sequence[GroupScore], clips: bool) -> dict[str, Any]:
    worst_db, worst = min((min(g.psnr_y_db), f"{g.name}") for g in groups)
    out: dict[str, Any] = {
        "psnr_y_db": _rounded([np.mean(g.psnr_y_db) for g in groups], 3),
        "ssim_y": _rounded([np.mean(g.ssim_y) for g in groups], 4),
        "worst_psnr_y_db": round(worst_db, 3),
    }
    if not clips:
        return out | {"worst_picture": worst}
    group = next(g for g in groups if g.name == worst)
    return out | {
        "psnr_y_db_by_frame": _rounded([p for g in groups for p in g.psnr_y_db], 3),
        "ssim_y_by_frame": _rounded([s for g in groups for s in g.ssim_y], 4),
        "worst_frame": {"clip": worst, "frame": int(np.argmin(group.psnr_y_db))},
    }


def gains(scores: Scores, methods: Sequence[Method]) -> dict[str, dict[str, Any]]:
    """By network, dB over the filters, and for ours over the best peer of no more multiply-accumulates."""
    out: dict[str, dict[str, Any]] = {}
    for method in methods:
        if method.role == "filter" or not scores.by_method.get(method.name):
            continue
        own = scores.mean_db(method.name)
        row: dict[str, Any] = {
            f"over_{m.name}_db": round(own - scores.mean_db(m.name), 3) for m in methods if m.role == "filter"
        }
        peer = _best_peer(scores, method, methods) if method.role == "ours" else None
        if peer is not None:
            row |= {"best_peer": peer, "over_best_peer_db": round(own - scores.mean_db(peer), 3)}
        out[method.name] = row
    return out


def _best_peer(scores: Scores, own: Method, methods: Sequence[Method]) -> str | None:
    if own.costs is None:
        return None
    limit = own.costs.macs_per_pixel
    rivals = [
        m.name
        for m in methods
        if m.role == "peer" and m.costs and m.costs.macs_per_pixel <= limit and scores.by_method.get(m.name)
    ]
    return max(rivals, key=scores.mean_db, default=None)


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
            "mean_db": _rounded([d for d, _ in differences], 3),
            "worst_db": round(worst_db, 3),
            "worst": worst,
        }
    return out


def _rounded(values: Sequence[Any], digits: int) -> float:
    return round(float(np.mean(values)), digits)
