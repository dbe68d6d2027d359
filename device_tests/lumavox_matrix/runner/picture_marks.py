"""The frame's number, burnt into the picture so that a machine can read it from the output alone.

Two strips of 2 x 16 cells, at the top and at the bottom, hold 24 bits of the frame's number and 8 of a CRC,
dark or bright. Each cell is a sixteenth of the width and a sixteenth of the height, so it is found by
proportion at any magnification; only its inner half is read, so that filters of any kind, 4:2:0 and coding
leave it readable. Both strips must say the same, else the picture is torn.

    picture = Picture(96, 64)
    luma = picture.luma(17)                          # (h, w) uint8
    read(enlarged_luma).number                       # 17
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumavox.errors import OptionError

__all__ = ["Marks", "Picture", "read"]

Plane = NDArray[np.uint8]

COLUMNS, STRIP_ROWS = 16, 2
ROW_SHARE = 16  # a strip's row is a sixteenth of the height
NUMBER_BITS, CRC_BITS = 24, 8
DARK, BRIGHT = 48, 208  # inside of limited range
MIN_CONTRAST = 48  # between the darkest and the brightest cell
SMALLEST = (64, 48)  # width, height
_WHITENING = 0xA5C396  # so that small numbers are not all dark


@dataclass(frozen=True)
class Marks:
    """``number`` is None if the picture cannot be read or is torn; then ``top`` and ``bottom`` say more."""

    top: int | None
    bottom: int | None

    @property
    def number(self) -> int | None:
        """The frame's number, if both strips say the same."""
        return self.top if self.top == self.bottom else None

    @property
    def torn(self) -> bool:
        """Both strips are readable and differ: parts of two frames."""
        return None not in (self.top, self.bottom) and self.top != self.bottom


class Picture:
    """Frames of one size: the strips, and between them a texture that moves with the number, with very
    bright and very dark places (a missing clamp wraps there) and no edge in the middle (a seam shows)."""

    def __init__(self, width: int, height: int) -> None:
        if width < SMALLEST[0] or height < SMALLEST[1]:
            raise OptionError(
                f"marks need pictures of at least {SMALLEST[0]}x{SMALLEST[1]}, got {width}x{height}"
            )
        self.width, self.height = width, height
        self._texture = _texture(2 * width, height)
        self._rows = _bounds(height, ROW_SHARE)
        self._columns = np.repeat(np.arange(COLUMNS), np.diff(_bounds(width, COLUMNS)))

    def luma(self, number: int) -> Plane:
        """The luma plane of frame ``number`` (its lower 24 bits are burnt in); the caller's own."""
        shift = (number * 3) % self.width
        plane = self._texture[:, shift : shift + self.width].copy()
        cells = np.where(_bits(number), BRIGHT, DARK).astype(np.uint8)
        for first in (0, ROW_SHARE - STRIP_ROWS):
            for row in range(STRIP_ROWS):
                start, stop = self._rows[first + row], self._rows[first + row + 1]
                plane[start:stop] = cells[row][self._columns]
        return plane

    def chroma(self, number: int) -> Plane:
        """Interleaved chroma ``(ceil(h/2), ceil(w/2), 2)``: two slow waves that move with the number."""
        rows, columns = (self.height + 1) // 2, (self.width + 1) // 2
        across = np.arange(columns) / columns
        wave = 128 + 40 * np.sin(2 * np.pi * (across + number / 50))
        plane = np.empty((rows, columns, 2), np.uint8)
        plane[..., 0], plane[..., 1] = np.rint(wave), np.rint(256 - wave)
        return plane


def read(luma: NDArray[np.uint8] | NDArray[np.uint16]) -> Marks:
    """The marks in a luma plane of any size and of 8 bits, or of more (only differences matter)."""
    height, width = luma.shape
    if height < ROW_SHARE * 2 or width < COLUMNS * 2:
        return Marks(None, None)
    rows, columns = _bounds(height, ROW_SHARE), _bounds(width, COLUMNS)
    scale = 4.0 if luma.dtype == np.uint16 and int(luma.max()) > 255 else 1.0
    found = []
    for first in (0, ROW_SHARE - STRIP_ROWS):
        means = [_means(luma, rows[first + r], rows[first + r + 1], columns) for r in range(STRIP_ROWS)]
        found.append(_number(np.array(means) / scale))
    return Marks(found[0], found[1])


def _bounds(size: int, parts: int) -> NDArray[np.intp]:
    return np.rint(np.arange(parts + 1) * size / parts).astype(np.intp)


def _means(luma: np.ndarray, top: int, bottom: int, columns: NDArray[np.intp]) -> np.ndarray:
    """The mean of the middle half of each cell of a row of cells."""
    quarter = (bottom - top) // 4
    line = luma[top + quarter : bottom - quarter].mean(axis=0, dtype=np.float32)
    sums = np.concatenate(([0.0], np.cumsum(line, dtype=np.float64)))
    inset = np.diff(columns) // 4
    left, right = columns[:-1] + inset, columns[1:] - inset
    means: np.ndarray = (sums[right] - sums[left]) / (right - left)
    return means


def _number(means: np.ndarray) -> int | None:
    low, high = float(means.min()), float(means.max())
    if not high - low >= MIN_CONTRAST:
        return None
    bits = (means > (low + high) / 2).reshape(-1)
    number, crc = _integer(bits[:NUMBER_BITS]) ^ _WHITENING, _integer(bits[NUMBER_BITS:])
    return number if crc == _crc(number) else None


def _bits(number: int) -> NDArray[np.bool_]:
    """The cells of a strip, (STRIP_ROWS, COLUMNS)."""
    number &= (1 << NUMBER_BITS) - 1
    word = ((number ^ _WHITENING) << CRC_BITS) | _crc(number)
    total = NUMBER_BITS + CRC_BITS
    bits = [(word >> (total - 1 - i)) & 1 for i in range(total)]
    return np.array(bits, bool).reshape(STRIP_ROWS, COLUMNS)


def _integer(bits: np.ndarray) -> int:
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _crc(number: int) -> int:
    """CRC-8 (polynomial 0x07, start 0xFF) of the three bytes of the number."""
    crc = 0xFF
    for byte in number.to_bytes(NUMBER_BITS // 8, "big"):
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


def _texture(width: int, height: int) -> Plane:
    """Sums of waves of many directions, periodic in half of the width, spread over 0..255."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    total = np.zeros((height, width), np.float32)
    half = width // 2
    for across, down, phase in ((1, 2, 0.1), (3, -1, 1.3), (5, 4, 2.1), (9, -7, 0.7), (13, 11, 4.0)):
        total += np.sin(2 * np.pi * (across * x / half + down * y / height) + phase) / (1 + across / 4)
    total /= np.abs(total).max()
    return np.rint(127.5 + 127.5 * np.clip(1.2 * total, -1, 1)).astype(np.uint8)
