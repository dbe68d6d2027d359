"""Which network, and how large: `plan_scale` picks a bundle and a scale for what is wanted.

Networks come in tiers (how much they may cost), each with some scales: ``sr/base-x1.5``, ``sr/base-x2``. A
model is named in full, by its path, or by its tier alone: then the scale picks the bundle. What is wanted is
a scale, or a size to reach, or neither:

    plan_scale("base", scale=3)                                     # sr/base-x3
    plan_scale("base", size=(1280, 720), target=(1920, 1080))       # sr/base-x1.5
    plan_scale("base", size=(720, 576), target=(1920, 1080))        # sr/base-x2, then a step to 1350x1080
    plan_scale("base", size=(7680, 4320))                           # scale None: that is large enough

It enlarges nothing and looks at no picture.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lumavox.bundle import Bundle
from lumavox.catalog import find_bundle, tiers
from lumavox.errors import BundleNotFoundError, OptionError

if TYPE_CHECKING:
    from lumavox.signing import TrustedKeys

__all__ = ["MAX_AUTO_PIXELS", "ScalePlan", "passes_for", "plan_scale"]

MAX_PASSES = 2
MAX_AUTO_PIXELS = 3840 * 2400
"""The largest picture that is made unless asked for: the 4K class (3840x2160, 4096x2160, 3840x2400)."""

_PREFERRED = 2.0  # the scale of a tier, where nothing says another
_NEAR = 0.01  # as much as a scale may miss a target: nobody sees it, and a larger network costs twice


@dataclass(frozen=True)
class ScalePlan:
    """A verified bundle, and the scale of each side that it is used for.

    ``scale`` None: the picture is as large as wanted, nothing is to be done.
    """

    bundle: Bundle
    scale: float | None


def plan_scale(
    model: str | Path | Bundle,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    target: tuple[int, int] | None = None,
    trusted_keys: TrustedKeys | None = None,
    allow_unsigned: bool = False,
) -> ScalePlan:
    """Open the bundle to use. ``size`` and ``target`` are width and height.

    ``scale`` is taken as it is. ``target`` is a box that the picture fills without being cut: the network
    that reaches it in the fewest steps is used, and a scale of a network that misses it by up to 1 % counts
    as reaching it. With ``size`` alone, pictures are doubled (or enlarged by the model's own scale), or by
    less where the result would be beyond `MAX_AUTO_PIXELS`. With nothing, it is the model's own scale.

    Raises `OptionError` for what goes not together or is out of reach, and `BundleError`.
    """
    if target is not None and (size is None or scale is not None):
        raise OptionError("a target needs the size of the pictures, and stands in place of a scale")
    for name, sides in (("size", size), ("target", target)):
        if sides is not None and not (len(sides) == 2 and all(side >= 1 for side in sides)):
            raise OptionError(f"{name} {sides!r} is not a width and a height in pixels")
    networks = tiers().get(model, {}) if isinstance(model, str) else {}
    if networks:
        scale = _wanted(scale, size, target, networks)
        nearest = _PREFERRED if scale is None else scale
        model = networks[_network_for(nearest, networks)]
        opened = Bundle.open(model, task="sr", trusted_keys=trusted_keys, allow_unsigned=allow_unsigned)
        return ScalePlan(opened, scale)
    if isinstance(model, Bundle):
        opened = model
    else:
        _check_name(model)
        opened = Bundle.open(model, task="sr", trusted_keys=trusted_keys, allow_unsigned=allow_unsigned)
    own = float(str(opened.front_end["scale"]))
    return ScalePlan(opened, _wanted(scale, size, target, [own]))


def passes_for(scale: float, network_scale: float) -> int:
    """How many passes of a network reach ``scale``. Raises `OptionError` beyond ``MAX_PASSES``."""
    most = network_scale**MAX_PASSES
    if not (isinstance(scale, (int, float)) and math.isfinite(scale) and 1 < scale <= most):
        raise OptionError(
            f"scale {scale!r}: a x{network_scale:g} network reaches scales above 1 and up to {most:g}"
        )
    return 1 if scale <= network_scale else MAX_PASSES


def _wanted(
    scale: float | None,
    size: tuple[int, int] | None,
    target: tuple[int, int] | None,
    networks: Collection[float],
) -> float | None:
    """The scale to use; None if the picture is large enough already."""
    own = _PREFERRED if _PREFERRED in networks else min(networks)
    if scale is not None:
        return scale
    if size is None:
        return own
    width, height = size
    if target is None:
        smaller = [s for s in (2.0, 1.5) if s < own]
        fitting = [s for s in (own, *smaller) if width * height * s * s <= MAX_AUTO_PIXELS]
        return fitting[0] if fitting else None
    ratio = min(target[0] / width, target[1] / height)
    if ratio <= 1 + _NEAR:
        return None
    near = [s for s in networks if abs(s / ratio - 1) <= _NEAR]
    return near[0] if near else min(ratio, max(networks) ** MAX_PASSES)


def _network_for(scale: float, networks: Collection[float]) -> float:
    """The least network that reaches ``scale`` in one pass, else in two; the largest where none does."""
    ordered = sorted(networks)
    for passes in range(1, MAX_PASSES + 1):
        for network in ordered:
            if isinstance(scale, (int, float)) and network**passes >= scale:
                return network
    return ordered[-1]


def _check_name(model: str | Path) -> None:
    """Say which tiers there are, if this is the name of none and of nothing else."""
    try:
        find_bundle(model)
    except BundleNotFoundError as error:
        if tiers() and isinstance(model, str) and "/" not in model:
            known = "; tiers of picture models: " + ", ".join(sorted(tiers()))
            raise BundleNotFoundError(f"{error}{known}") from None
        raise
