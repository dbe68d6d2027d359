"""From a scale to a chain: as many network passes as reach it, then a conventional step to the exact size.

``x1.5`` with a x2 network is one pass and a reduction; ``x3`` is two passes (x4) and a reduction. Making a
sharp picture smaller keeps it sharp, the other way round does not; a second pass costs ``scale**2`` times
the first. Each pass has its own engine, since an engine changes its size slowly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lumavox._sr_guard import implausible
from lumavox._sr_network import LumaNetwork
from lumavox.errors import EngineError, OptionError
from lumavox.resample_picture import resize_luma

MAX_PASSES = 2


def passes_for(scale: float, network_scale: int) -> int:
    """How many passes of a network reach ``scale``. Raises `OptionError` beyond ``MAX_PASSES``."""
    most = network_scale**MAX_PASSES
    if not (isinstance(scale, (int, float)) and math.isfinite(scale) and 1 < scale <= most):
        raise OptionError(
            f"scale {scale!r}: a x{network_scale} network reaches scales above 1 and up to {most}"
        )
    return 1 if scale <= network_scale else MAX_PASSES


class LumaChain:
    """The passes for one kind of content."""

    def __init__(self, networks: Sequence[LumaNetwork]) -> None:
        self.networks = tuple(networks)
        self._between: list[np.ndarray] = []
        self._key: tuple[object, ...] = ()

    def enlarge(self, source: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out`` (any size up to the passes' reach) from ``source``; luma planes as in `LumaNetwork`.

        Raises `EngineError`, also for an output that cannot be right.
        """
        self._prepare(source, out)
        for network, enlarged in zip(self.networks, [*self._between, out]):
            network.enlarge(source, enlarged)
            fault = implausible(source, enlarged)
            if fault:
                raise EngineError(f"{network.session.variant.name}: {fault}")
            source = enlarged
        if source is not out:
            resize_luma(source, out)

    def _prepare(self, source: np.ndarray, out: np.ndarray) -> None:
        key = (source.shape, out.shape, source.dtype)
        if key == self._key:
            return
        self._between = []
        height, width = source.shape
        for network in self.networks:
            height, width = height * network.scale, width * network.scale
            self._between.append(np.empty((height, width), source.dtype))
        if (height, width) == out.shape:
            self._between.pop()  # the last pass writes into ``out`` itself
        self._key = key

    def close(self) -> None:
        """Free the engines."""
        for network in self.networks:
            network.session.close()
