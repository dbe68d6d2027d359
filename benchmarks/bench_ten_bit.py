"""What of ten bits comes out of a picture model of eight: gradients without bands, and PSNR at 10 bits.

    python benchmarks/bench_ten_bit.py [--model base] [--content clean streamed] [--pictures FOLDER]

Gradients: a row of luma that rises by some levels per pixel. Shown are the levels in the enlarged row, its
longest run of one level, how often it falls back, and its largest error against the ideal row. A band is a
long run; a step back shows as a line.

PSNR: against a 10-bit original, reduced by an antialiased bicubic and enlarged again. "smooth" is ramps and
slow waves, "texture" gratings and edges, both without noise; FOLDER holds photographs, which are halved, so
that their 8 bits become 10. Three ways: the 10-bit path of `Upscaler`, the same network on the upper 8 bits
with the result shifted up, and a 10-bit bicubic.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk"))

from lumavox import Frame, PixelFormat, Upscaler
from lumavox.catalog import DEFAULT_SR

SLOPES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # levels per pixel of the small picture
BORDER = 16


@dataclass(frozen=True)
class Gradient:
    """One row. ``steps_back`` counts falls of a rising row; ``max_error`` is in 10-bit levels."""

    levels: int
    longest_run: int
    steps_back: int
    max_error: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_SR)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--content", nargs="+", default=["clean", "streamed"])
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    originals = {"smooth": smooth(), "texture": texture()} | (
        photographs(args.pictures) if args.pictures else {}
    )
    for content in args.content:
        with Upscaler.open(args.model, scale=args.scale, content=content) as upscaler:
            print(f"{upscaler.bundle.id} {content}, x{upscaler.scale:g}")
            print("  levels/pixel  way         levels  longest run  steps back  max error")
            for slope in SLOPES:
                for way, found in gradients(upscaler, slope).items():
                    print(
                        f"  {slope:12.4f}  {way:10}  {found.levels:6d}  {found.longest_run:11d}  "
                        f"{found.steps_back:10d}  {found.max_error:9d}"
                    )
            print("  PSNR at 10 bits, dB           10-bit path   8-bit path   bicubic")
            for name, original in originals.items():
                ten, eight, cubic = psnr_db(upscaler, original)
                print(f"  {name[:28]:28}  {ten:11.2f}  {eight:11.2f}  {cubic:8.2f}")


def gradients(upscaler: Upscaler, slope: float, columns: int = 640) -> dict[str, Gradient]:
    """The ways that a ramp of ``slope`` levels per pixel comes out."""
    scale = upscaler.scale
    low = np.tile(np.rint(200 + slope * np.arange(columns)), (32, 1)).astype(np.uint16)
    places = (np.arange(int(columns * scale)) + 0.5) / scale - 0.5
    ideal = np.rint(200 + slope * places).astype(int)[BORDER:-BORDER]
    rows = {
        "ideal": ideal,
        "10-bit path": ten_bit(upscaler, low)[16, BORDER:-BORDER].astype(int),
        "8-bit path": eight_bit(upscaler, low)[16, BORDER:-BORDER].astype(int),
    }
    return {way: gradient(row, ideal) for way, row in rows.items()}


def gradient(row: np.ndarray, ideal: np.ndarray) -> Gradient:
    """The figures of one rising row."""
    steps = np.diff(row)
    edges = np.concatenate([[-1], np.flatnonzero(steps), [len(row) - 1]])
    return Gradient(
        levels=len(np.unique(row)),
        longest_run=int(np.diff(edges).max()),
        steps_back=int((steps < 0).sum()),
        max_error=int(np.abs(row - ideal).max()),
    )


def psnr_db(upscaler: Upscaler, original: np.ndarray) -> tuple[float, float, float]:
    """PSNR at 10 bits of the 10-bit path, of the 8-bit path, and of a 10-bit bicubic.

    ``original`` ``(h, w)`` is 0..1023, any real number; its sides are multiples of 12.
    """
    high = original.astype(np.float32)
    rows, columns = (reducing(side, upscaler.scale) for side in high.shape)
    low = levels(rows @ high @ columns.T)
    cubic = cv2.resize(low.astype(np.float32), high.shape[::-1], interpolation=cv2.INTER_CUBIC)
    wanted = levels(high).astype(float)[BORDER:-BORDER, BORDER:-BORDER]
    ways = (ten_bit(upscaler, low), eight_bit(upscaler, low), levels(cubic))
    errors = [np.mean((way[BORDER:-BORDER, BORDER:-BORDER] - wanted) ** 2) for way in ways]
    ten, eight, bicubic = (float(10 * np.log10(1023**2 / max(error, 1e-9))) for error in errors)
    return ten, eight, bicubic


def reducing(side: int, scale: float) -> np.ndarray:
    """The matrix ``(side / scale, side)`` of an antialiased bicubic (Keys, a = -0.5), edges repeated."""
    beyond = math.ceil(2 * scale)
    places = (np.arange(round(side / scale)) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(-beyond, side + beyond) - places[:, None]) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance <= 2, far, 0))
    weights[:, beyond] += weights[:, :beyond].sum(1)
    weights[:, -beyond - 1] += weights[:, -beyond:].sum(1)
    weights = weights[:, beyond:-beyond]
    return np.asarray(weights / weights.sum(1, keepdims=True))


def ten_bit(upscaler: Upscaler, low: np.ndarray) -> np.ndarray:
    """``low`` ``(h, w)``, 10 bits in uint16, enlarged."""
    return _luma(upscaler, PixelFormat.I010, low)


def eight_bit(upscaler: Upscaler, low: np.ndarray) -> np.ndarray:
    """The same through 8 bits, shifted up."""
    return _luma(upscaler, PixelFormat.GRAY8, (low >> 2).astype(np.uint8)).astype(np.uint16) << 2


def _luma(upscaler: Upscaler, format: PixelFormat, plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    frame = Frame.empty(format, width, height)
    for part in frame.planes[1:]:
        part[...] = 512
    frame.planes[0][...] = plane
    out = upscaler.process(frame)
    if upscaler.record().frames_bypassed:
        raise SystemExit(f"a frame came out without the network: {upscaler.record().state_reason}")
    return out.planes[0]


def levels(picture: np.ndarray) -> np.ndarray:
    """Rounded to 10 bits."""
    return np.clip(np.rint(picture), 0, 1023).astype(np.uint16)


def smooth(height: int = 360, width: int = 720) -> np.ndarray:
    """Ramps and slow waves, as in a sky."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    ramps = 180 + 0.11 * x + 0.05 * y
    waves = 500 + 120 * np.sin(x / 170) * np.cos(y / 140)
    return np.where(y < height / 2, ramps, waves)


def texture(height: int = 360, width: int = 720) -> np.ndarray:
    """Woven gratings on a ramp, and slanted bars with sharp edges."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    woven = 420 + 0.2 * x + 150 * np.sin(0.9 * x + 0.3 * y) * np.sin(0.7 * y - 0.1 * x)
    bars = 512 + 160 * np.tanh(8 * np.sin((x + 0.5 * y) / 9)) + 40 * np.sin(y / 30)
    return np.where(y < height / 2, woven, bars)


def photographs(folder: Path) -> dict[str, np.ndarray]:
    """Luma of the pictures in ``folder``, halved: averages of four bytes have ten bits."""
    found: dict[str, np.ndarray] = {}
    for path in sorted(folder.iterdir()):
        known = path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if known else None
        if picture is not None and min(picture.shape) >= 300:
            height, width = (side // 24 * 24 for side in picture.shape)
            cells = picture[:height, :width].reshape(height // 2, 2, width // 2, 2)
            found[path.name] = cells.sum((1, 3)).astype(np.float64)
    return found


if __name__ == "__main__":
    main()
