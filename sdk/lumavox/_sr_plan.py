"""How a picture is cut into pieces that a network takes: pure arithmetic, no pixels.

Pieces overlap by the network's reach, so that the part kept of each is what the whole picture would
have given. Where a network takes multiples of a size only, the picture is planned as if it were padded to
such a multiple, and every piece begins, ends and is kept at one: the network's grid lies everywhere as it
would on the whole picture.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_TILE_PIXELS = 1 << 21
"""Most input pixels (about 1920 x 1088) given to a network at once; larger pictures go in bands of rows.

It bounds the engine's memory: 32 int8 channels in and out take 128 MiB at this size.
"""


@dataclass(frozen=True)
class Span:
    """Rows or columns ``start:stop`` are read, of which ``keep_start:keep_stop`` are kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Plan:
    """The pieces of a picture: every row span with every column span. Each fits ``tile_height`` by
    ``tile_width``, the network's input size; a smaller one is padded by repeating its edge. Spans may end
    beyond the picture, at the next multiple."""

    tile_height: int
    tile_width: int
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]


def spans(length: int, tile: int, overlap: int) -> tuple[Span, ...]:
    """Pieces of at most ``tile`` that cover ``length``; inner edges are ``overlap`` away from what is kept.

    Raises `ValueError` if ``tile`` is too short to keep anything.
    """
    if length <= tile:
        return (Span(0, length, 0, length),)
    step = tile - 2 * overlap
    if step < 1:
        raise ValueError(f"tiles of {tile} keep nothing with an overlap of {overlap}")
    pieces: list[Span] = []
    kept = 0
    while kept < length:
        start = min(max(kept - overlap, 0), length - tile)
        stop = start + tile
        keep_stop = length if stop == length else stop - overlap
        pieces.append(Span(start, stop, kept, keep_stop))
        kept = keep_stop
    return tuple(pieces)


def plan_fixed(
    height: int, width: int, tile_height: int, tile_width: int, overlap: int, multiple: int = 1
) -> Plan:
    """For a network of fixed input size, which is of multiples of ``multiple``."""
    height, width, overlap = (up_to(n, multiple) for n in (height, width, overlap))
    rows, columns = spans(height, tile_height, overlap), spans(width, tile_width, overlap)
    return Plan(tile_height, tile_width, rows, columns)


def plan_dynamic(
    height: int, width: int, overlap: int, multiple: int = 1, max_pixels: int = MAX_TILE_PIXELS
) -> Plan:
    """For a network of any input size: the whole picture, or equal bands of rows if it is large."""
    height, width, overlap = (up_to(n, multiple) for n in (height, width, overlap))
    most = max(max_pixels // width // multiple * multiple, 2 * overlap + multiple)
    if height <= most:
        return Plan(height, width, (Span(0, height, 0, height),), (Span(0, width, 0, width),))
    step = most - 2 * overlap
    bands = -(-(height - 2 * overlap) // step)
    tile_height = up_to(-(-(height - 2 * overlap) // bands), multiple) + 2 * overlap
    return Plan(tile_height, width, spans(height, tile_height, overlap), (Span(0, width, 0, width),))


def up_to(length: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that is not below ``length``."""
    return -(-length // multiple) * multiple
