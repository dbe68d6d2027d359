"""The fixed input sizes that networks are compiled for: NPU compilers take no open shapes.

Other sizes are padded to the next preset and cropped at run time. A sound network has the one preset
"hop": its shapes are fixed already.

    for_scale(2)      # 360p-720p, 540p-1080p, 1080p-4k
    parse("96x64")    # any other size, width x height
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lumavox.errors import OptionError

_PICTURES = {"360p": (360, 640), "540p": (540, 960), "720p": (720, 1280), "1080p": (1080, 1920)}
_ENLARGED = {"720p": (720, 1280), "1080p": (1080, 1920), "4k": (2160, 3840)}
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


@dataclass(frozen=True)
class Preset:
    """A name, and what the open height and width of the network's inputs become (0: nothing is open)."""

    name: str
    height: int = 0
    width: int = 0


HOP = Preset("hop")  # one frame of sound per call


def for_scale(scale: float) -> tuple[Preset, ...]:
    """The picture presets of a network that enlarges ``scale`` times, smallest first."""
    return tuple(
        Preset(f"{small}-{large}", height, width)
        for small, (height, width) in _PICTURES.items()
        for large, size in _ENLARGED.items()
        if (height * scale, width * scale) == size
    )


def parse(name: str, known: tuple[Preset, ...]) -> Preset:
    """The preset ``name`` among ``known``, or "WIDTHxHEIGHT" where pictures are. Raises `OptionError`."""
    for preset in known:
        if preset.name == name:
            return preset
    size = _SIZE.fullmatch(name)
    if size is None or HOP in known:
        raise OptionError.unknown("preset", name, [p.name for p in known], "--preset (or WIDTHxHEIGHT)")
    return Preset(name, int(size[2]), int(size[1]))
