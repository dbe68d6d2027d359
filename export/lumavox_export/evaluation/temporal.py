"""How steady an enlarged clip is in time: flicker, temporal-difference PSNR, quality by frame type.

    found = temporal(estimates, truths)
    found.by_type(frame_types), i_frame_pulse_db(gains_db, frame_types)

There is no standard for it; each figure means something only beside that of bicubic on the same frames.
Pictures are luma 0..255 ``(height, width)``, the frames of one clip in the order of display.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import LumavoxError

from ..metrics import psnr

Picture = NDArray[np.generic]
STATIC_BELOW = 1.0  # luma steps between two frames of the source


@dataclass(frozen=True)
class Temporal:
    """Steadiness of one clip. ``None``: there was nothing to measure it on (no static pixel, one frame)."""

    flicker: float | None  # luma steps, standard deviation in time of the residual where the truth is static
    static_share: float  # of the pixels of all frames but the first
    difference_psnr_db: float | None  # PSNR of the change from frame to frame
    psnr_y_db: tuple[float, ...]  # of every frame

    def by_type(self, frame_types: Sequence[str]) -> dict[str, float]:
        """Mean PSNR-Y of the frames of each type (``I``, ``P``, ``B``)."""
        kinds = np.array(frame_types)
        return {str(k): float(np.mean(np.array(self.psnr_y_db)[kinds == k])) for k in np.unique(kinds)}


def temporal(estimates: Sequence[Picture], truths: Sequence[Picture], border: int = 0) -> Temporal:
    """Measure one clip, ``border`` pixels left out all round. Raises LumavoxError for unequal sequences.

    Flicker pools the variance of estimate - truth about its mean over each run of frames in which a pixel of
    the truth changes by less than ``STATIC_BELOW``: a lasting error is not flicker. The difference PSNR pools
    the mean square error of the changes over the clip, peak 255.
    """
    if len(estimates) != len(truths) or {e.shape for e in estimates} != {t.shape for t in truths}:
        raise LumavoxError(
            f"a clip and its truth have frames of one size and number, got {len(estimates)} of "
            f"{sorted({e.shape for e in estimates})} and {len(truths)} of {sorted({t.shape for t in truths})}"
        )
    inner = slice(border, -border or None), slice(border, -border or None)
    cut = [
        (np.clip(np.asarray(e, np.float32), 0, 255)[inner], np.asarray(t, np.float32)[inner])
        for e, t in zip(estimates, truths, strict=True)
    ]
    runs = _Runs(cut[0][0] - cut[0][1])
    changes, static_shares = [], []
    for (estimate_before, before), (estimate, truth) in zip(cut, cut[1:]):
        static = np.abs(truth - before) < STATIC_BELOW
        runs.add(estimate - truth, static)
        static_shares.append(float(np.mean(static)))
        changes.append(float(np.mean(((estimate - estimate_before) - (truth - before)) ** 2)))
    return Temporal(
        flicker=runs.deviation(),
        static_share=float(np.mean(static_shares)) if static_shares else 0.0,
        difference_psnr_db=_decibels(changes) if changes else None,
        psnr_y_db=tuple(psnr(e, t) for e, t in cut),
    )


def _decibels(square_errors: Sequence[float]) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean(square_errors)), 1e-10)))


def i_frame_pulse_db(gains_db: Sequence[float], frame_types: Sequence[str]) -> float | None:
    """How much more (or less) a method gains at I frames than at the frames beside them, in dB.

    ``gains_db`` is the PSNR-Y of each frame less bicubic's. A method that treats I frames as it treats others
    gives 0; a viewer sees the rest as a beat of the group of pictures. ``None`` without an I frame that has a
    frame of another type beside it.
    """
    steps = []
    for index, kind in enumerate(frame_types):
        beside = [n for n in (index - 1, index + 1) if 0 <= n < len(frame_types) and frame_types[n] != "I"]
        if kind == "I" and beside:
            steps.append(gains_db[index] - float(np.mean([gains_db[n] for n in beside])))
    return float(np.mean(steps)) if steps else None


class _Runs:
    """Pooled variance over runs: for every pixel the count, sum and sum of squares of its present run."""

    def __init__(self, residual: NDArray[np.float32]) -> None:
        self._run = self._begun(residual)
        self._squares = self._freedom = 0.0

    def add(self, residual: NDArray[np.float32], static: NDArray[np.bool_]) -> None:
        """Go on with the runs that are ``static``, end the others and begin new ones."""
        self._end(~static)
        for kept, begun in zip(self._run, self._begun(residual)):
            kept *= static
            kept += begun

    def deviation(self) -> float | None:
        """The standard deviation over all runs, which this ends."""
        self._end(np.ones(self._run[0].shape, bool))
        return float(np.sqrt(self._squares / self._freedom)) if self._freedom else None

    @staticmethod
    def _begun(residual: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        first = residual.astype(np.float64)
        return [np.ones(first.shape), first, first**2]

    def _end(self, ended: NDArray[np.bool_]) -> None:
        count, total, square = (kept[ended] for kept in self._run)
        self._squares += float(np.sum(np.maximum(square - total**2 / count, 0)))
        self._freedom += float(np.sum(count - 1))
