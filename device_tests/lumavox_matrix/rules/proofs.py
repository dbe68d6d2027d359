"""What rules conclude from numbers: shares, losses, placement, agreement with the reference."""

from __future__ import annotations

import math

from ..evidence import Evidence

__all__ = ["delta_psnr_db", "nodes_of", "reference_agrees", "share_is_above"]

REFERENCE_STEPS = 1.0
REFERENCE_SHARE = 1 / 255
"""Two engines that run the same integer network may differ by one step."""


def nodes_of(e: Evidence) -> tuple[int, int] | None:
    """(operators on the accelerator, all), None if the engine does not say."""
    telemetry = e.record.telemetry if e.record else None
    if telemetry is not None and telemetry.nodes_total is not None:
        return telemetry.nodes_on_ep or 0, telemetry.nodes_total
    found = e.seen("nodes_on_accelerator")
    return None if found is None else (int(found.value or 0), int(found.limit or 0))


def delta_psnr_db(model_db: float, distance_db: float) -> float:
    """PSNR that a model of ``model_db`` loses when an independent error of ``distance_db`` is added: errors
    add as squares."""
    return 10 * math.log10(1 + 10 ** ((model_db - distance_db) / 10))


def share_is_above(count: float, of: int, share: float, confidence: float) -> bool:
    """Whether ``count`` of ``of`` prove, at that confidence, that the share is above ``share``: binomial."""
    mean = of * share
    if count <= mean:
        return False
    if count > mean + 8 * math.sqrt(mean + 1) + 8:
        return True
    below = math.fsum(
        math.exp(
            math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
            + k * math.log(share) + (of - k) * math.log1p(-share)
        )
        for k in range(math.ceil(count))
    )  # fmt: skip
    return 1 - below <= 1 - confidence


def reference_agrees(e: Evidence) -> bool | None:
    """Whether the CPU variant computes the same, None if it was not run."""
    found = e.seen("reference_max_diff")
    if found is None or found.value is None:
        return None
    return found.value <= (REFERENCE_STEPS if found.unit == "steps" else REFERENCE_SHARE)
