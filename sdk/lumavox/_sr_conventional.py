"""The conventional filter as if it were an `Upscaler`: the lowest rung of every ladder."""

from __future__ import annotations

from ._sr_surface import Surface
from .errors import FrameError
from .picture import Frame


class Conventional:
    """Enlarges frames of any format and size by ``scale``, without a network."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._surface: Surface | None = None

    def process(self, frame: Frame, out: Frame | None = None) -> Frame:
        """As `Upscaler.process`."""
        if not isinstance(frame, Frame):
            raise FrameError(f"process() takes a lumavox.Frame, got {type(frame).__name__}")
        if self._surface is None or not self._surface.fits(frame):
            self._surface = Surface(frame.format, frame.width, frame.height, self._scale)
        surface = self._surface
        out = surface.out(frame, out)
        surface.bypass(surface.luma(frame), surface.target(out))
        surface.chroma(frame, out)
        surface.finish(frame, out)
        return out
