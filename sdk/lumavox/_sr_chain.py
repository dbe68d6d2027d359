"""From a scale to a chain: as many network passes as reach it, then a conventional step to the exact size.

``x1.5`` with a x2 network is one pass and a reduction; ``x3`` is two passes (x4) and a reduction. Making a
sharp picture smaller keeps it sharp, the other way round does not; a second pass costs ``scale**2`` times
the first. Each pass has its own engine, since an engine changes its size slowly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lumavox._sr_guard import implausible
from lumavox._sr_network import LumaNetwork
from lumavox.errors import EngineError
from lumavox.resample_picture import PlaneResizer, enlarged_side


class LumaChain:
    """The passes for one kind of content, and the step to ``scale`` if they go beyond."""

    def __init__(self, networks: Sequence[LumaNetwork], scale: float) -> None:
        self.networks = tuple(networks)
        self._step = scale
        for network in networks:
            self._step /= network.scale
        self._resizer: PlaneResizer | None = None
        self._between: list[np.ndarray] = []
        self._key: tuple[object, ...] = ()

    def enlarge(self, source: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out``, whose sides are `enlarged_side` of ``source``'s; luma planes as in `LumaNetwork`.

        Raises `EngineError`, also for an output that cannot be right.
        """
        self._prepare(source, out)
        for network, enlarged in zip(self.networks, [*self._between, out]):
            network.enlarge(source, enlarged)
            fault = implausible(source, enlarged, network.cell)
            if fault:
                raise EngineError(f"{network.session.variant.name}: {fault}")
            source = enlarged
        if self._resizer is not None:
            self._resizer.resize(source, out)

    def _prepare(self, source: np.ndarray, out: np.ndarray) -> None:
        key = (source.shape, out.shape, source.dtype)
        if key == self._key:
            return
        self._between, self._resizer = [], None
        height, width = source.shape
        for network in self.networks:
            height, width = (enlarged_side(side, network.scale) for side in (height, width))
            self._between.append(np.empty((height, width), source.dtype))
        if (height, width) == out.shape:
            self._between.pop()  # the last pass writes into ``out`` itself
        else:
            self._resizer = PlaneResizer((height, width), (out.shape[0], out.shape[1]), self._step)
        self._key = key

    def close(self) -> None:
        """Free the engines."""
        for network in self.networks:
            network.session.close()
