"""Pictures as Lumavox takes and gives them: planes of samples, with strides, without copies.

A `Frame` is a description of memory that someone else may own, plus what must travel with it (colour
tags, timestamp). It converts nothing and reads no file. 4:2:0 formats round their chroma size up.

    frame = Frame.wrap(PixelFormat.NV12, 960, 540, (y, uv))        # views, never copies
    out = Frame.empty(PixelFormat.NV12, 1920, 1080)

| format | planes | dtype |
|---|---|---|
| NV12 | Y ``(h, w)``, UV ``(ch, cw, 2)`` | uint8 |
| I420 | Y ``(h, w)``, U and V ``(ch, cw)`` | uint8 |
| P010 | as NV12; 10 bits in the high bits of each word | uint16 |
| I010 | as I420; 10 bits in the low bits of each word | uint16 |
| GRAY8 | Y ``(h, w)`` | uint8 |
| RGB24, BGR24 | ``(h, w, 3)`` | uint8 |

``ch = ceil(h / 2)``, ``cw = ceil(w / 2)``. An interleaved UV plane may also be given as ``(ch, 2 * cw)``.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lumavox.errors import FrameError

__all__ = ["MAX_SIDE", "ColourTags", "Frame", "PixelFormat"]

MAX_SIDE = 32_767
"""Largest width or height of a frame, in pixels (the limit of OpenCV's resampling)."""


class PixelFormat(enum.Enum):
    """How the samples of a `Frame` lie in memory."""

    NV12 = "nv12"
    I420 = "i420"
    P010 = "p010"
    I010 = "i010"
    GRAY8 = "gray8"
    RGB24 = "rgb24"
    BGR24 = "bgr24"

    @property
    def bit_depth(self) -> int:
        """Significant bits of a sample: 8 or 10."""
        return 10 if self in _TEN_BIT else 8

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The numpy type of a sample."""
        return np.uint16 if self in _TEN_BIT else np.uint8

    @property
    def packed_rgb(self) -> bool:
        """True for RGB24 and BGR24, which have one plane of three colours."""
        return self in (PixelFormat.RGB24, PixelFormat.BGR24)

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, ...], ...]:
        """The shape of each plane of a picture of that size."""
        luma, half = (height, width), ((height + 1) // 2, (width + 1) // 2)
        if self in (PixelFormat.NV12, PixelFormat.P010):
            return luma, (*half, 2)
        if self in (PixelFormat.I420, PixelFormat.I010):
            return luma, half, half
        return ((height, width, 3),) if self.packed_rgb else (luma,)


_TEN_BIT = (PixelFormat.P010, PixelFormat.I010)


@dataclass(frozen=True)
class ColourTags:
    """What a player needs to show the samples; carried along, never acted upon.

    ``range`` is ``"limited"``, ``"full"`` or ``None`` (not known); the others are the names or the code
    points of ITU-T H.273.
    """

    range: str | None = None
    matrix: int | str | None = None
    primaries: int | str | None = None
    transfer: int | str | None = None

    def __post_init__(self) -> None:
        if self.range not in ("limited", "full", None):
            raise FrameError(f"colour range {self.range!r}: use 'limited', 'full' or None")


@dataclass
class Frame:
    """One picture. Building one checks it: `FrameError` says which plane, what was wanted, what came.

    ``planes`` are views with any row stride; within a row samples are adjacent. ``pts`` is a timestamp
    in the caller's unit; it and ``colour`` are copied to the enhanced frame.
    """

    format: PixelFormat
    width: int
    height: int
    planes: tuple[np.ndarray, ...]
    colour: ColourTags = field(default_factory=ColourTags)
    pts: int | None = None

    def __post_init__(self) -> None:
        shapes = _checked_shapes(self.format, self.width, self.height)
        if len(self.planes) != len(shapes):
            raise FrameError(f"{self.format.name} has {len(shapes)} plane(s), got {len(self.planes)}")
        self.planes = tuple(
            _checked_plane(f"{self.format.name} plane {index}", plane, shape, self.format.dtype)
            for index, (plane, shape) in enumerate(zip(self.planes, shapes))
        )

    @classmethod
    def empty(cls, format: PixelFormat, width: int, height: int) -> Frame:
        """A frame of new, uninitialized memory. Raises `FrameError` for an impossible size."""
        shapes = _checked_shapes(format, width, height)
        return cls(format, width, height, tuple(np.empty(shape, format.dtype) for shape in shapes))

    @classmethod
    def wrap(
        cls,
        format: PixelFormat,
        width: int,
        height: int,
        planes: Sequence[np.ndarray],
        colour: ColourTags | None = None,
        pts: int | None = None,
    ) -> Frame:
        """A frame over existing arrays, without a copy. Raises `FrameError`."""
        return cls(format, width, height, tuple(planes), colour or ColourTags(), pts)

    def copy(self) -> Frame:
        """The same picture in memory of its own."""
        planes = tuple(np.ascontiguousarray(plane).copy() for plane in self.planes)
        return Frame(self.format, self.width, self.height, planes, self.colour, self.pts)

    def check_like(self, format: PixelFormat, width: int, height: int, what: str) -> None:
        """Raise `FrameError` unless this frame has that format and size and can be written to."""
        if (self.format, self.width, self.height) != (format, width, height):
            raise FrameError(
                f"{what} must be {format.name} {width}x{height}, "
                f"got {self.format.name} {self.width}x{self.height}"
            )
        for index, plane in enumerate(self.planes):
            if not plane.flags.writeable:
                raise FrameError(f"{what}: plane {index} is read-only; give writable memory")


def _checked_shapes(format: PixelFormat, width: int, height: int) -> tuple[tuple[int, ...], ...]:
    if not isinstance(format, PixelFormat):
        known = ", ".join(f.name for f in PixelFormat)
        raise FrameError(f"pixel format {format!r} is not a PixelFormat (known: {known})")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise FrameError(f"a frame of {width}x{height}: each side must be 1..{MAX_SIDE}")
    return format.plane_shapes(width, height)


def _checked_plane(what: str, plane: np.ndarray, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    if not isinstance(plane, np.ndarray):
        raise FrameError(f"{what} must be a numpy array, got {type(plane).__name__}")
    if plane.dtype != dtype:
        raise FrameError(f"{what} must be {np.dtype(dtype).name}, got {plane.dtype.name}")
    if len(shape) == 3 and plane.ndim == 2 and plane.shape == (shape[0], shape[1] * shape[2]):
        plane = plane.reshape(shape)  # splitting an axis is always a view
    if plane.shape != shape:
        raise FrameError(f"{what} must have shape {shape}, got {plane.shape}")
    row = plane.itemsize
    for size, stride in zip(reversed(shape[1:]), reversed(plane.strides[1:])):
        if size > 1 and stride != row:
            raise FrameError(f"{what}: samples of a row must be adjacent, strides {plane.strides}; copy it")
        row *= size
    if shape[0] > 1 and plane.strides[0] < row:
        raise FrameError(
            f"{what}: a row stride of {plane.strides[0]} bytes is less than its {row} bytes (flipped or "
            "overlapping rows); copy it"
        )
    return plane
