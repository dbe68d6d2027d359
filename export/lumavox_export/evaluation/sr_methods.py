"""What is compared: our variants on the engine that a device uses, and the conventional filters.

Every method makes luma as it would be shown (rounded to bytes) of the same low-resolution pictures.

    with methods(bundle, scale=2) as found:
        for method in found: estimate = method.run(pair)      # (scale * height, scale * width), 0..255
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lumavox.bundle import Bundle
from lumavox.picture import Frame, PixelFormat
from lumavox.session import Session
from lumavox.video import Upscaler

from ..resize import resize, to_luma
from .sr_material import Pair, Size

Estimate = NDArray[np.floating]
PRECISIONS = ("float32", "int8", "w8a16")
FILTERS = ("bicubic", "lanczos")


@dataclass(frozen=True)
class Costs:
    """What a network is made of; multiply-accumulates are those of its convolutions."""

    parameters: int
    macs_per_pixel: float  # of the low-resolution picture

    def gmac(self, low: Size) -> float:
        """10^9 multiply-accumulates for one low-resolution picture."""
        return self.macs_per_pixel * low[0] * low[1] / 1e9


@dataclass(frozen=True, eq=False)
class Method:
    """One way to enlarge."""

    name: str
    role: Literal["filter", "ours", "peer"]
    run: Callable[[Pair], Estimate]  # luma 0..255 as shown: rounded to bytes and clipped
    prepare: Callable[[Size], Callable[[], object]]  # low-resolution size to the call that is timed
    engine: str  # library, version, threads
    content: str = ""
    precision: str = ""
    costs: Costs | None = None


@contextmanager
def methods(bundle: Bundle, scale: float, costs: Costs | None = None) -> Iterator[list[Method]]:
    """The filters, then our variants by content, floating point first; the engines live as long as this."""
    with ExitStack() as stack:
        found = [conventional(kernel, scale) for kernel in FILTERS]
        offered = {(v.content, v.precision) for v in bundle.variants}
        for content, precision in sorted(offered, key=lambda v: (v[0], PRECISIONS.index(v[1]))):
            session = stack.enter_context(Session.open(bundle, content=content, precision=precision))
            found.append(ours(session, costs))
        yield found


def conventional(kernel: str, scale: float) -> Method:
    """A resampling filter with MATLAB's weights; the time is that of OpenCV's on luma bytes."""

    def run(pair: Pair) -> Estimate:
        size = tuple(round(n * scale) for n in pair.low.shape)
        return np.rint(np.clip(resize(pair.low, (size[0], size[1]), kernel), 0, 255))

    def prepare(low: Size) -> Callable[[], object]:
        import cv2

        source = _noise(low)
        out = np.empty([round(n * scale) for n in low], np.uint8)
        flag = {"bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}[kernel]
        return lambda: cv2.resize(source, (out.shape[1], out.shape[0]), out, interpolation=flag)

    return Method(kernel, "filter", run, prepare, "OpenCV resize (its time only)")


def ours(session: Session, costs: Costs | None = None) -> Method:
    """A variant on luma bytes, as the device's engine runs it."""
    variant, engine = session.variant, session.engine
    fed, got = variant.inputs[0], variant.outputs[0]
    integer = fed.dtype == "int8"

    def feed(low: NDArray[np.uint8]) -> None:
        shape = (1, *low.shape, 1) if fed.layout == "NHWC" else (1, 1, *low.shape)
        engine.resize(fed.name, shape)
        view = engine.input(fed.name)
        view[...] = ((low ^ 0x80).view(np.int8) if integer else low.astype(np.float32) / 255).reshape(shape)
        del view  # engines refuse to run while a view is held

    def run(pair: Pair) -> Estimate:
        feed(pair.low)
        engine.run()
        out = np.array(engine.output(got.name)).squeeze()
        if integer:
            return (out.view(np.uint8) ^ 0x80).astype(np.float32)
        return np.rint(np.clip(out * 255, 0, 255))

    def prepare(low: Size) -> Callable[[], object]:
        feed(_noise(low))
        return engine.run

    name = f"{variant.content} {variant.precision}"
    return Method(name, "ours", run, prepare, engine.description, variant.content, variant.precision, costs)


@contextmanager
def in_colour(bundle: Bundle, scale: float, costs: Costs | None = None) -> Iterator[list[Method]]:
    """Our integer variants as a player uses them for pictures: RGB bytes in and out, as RGB peers work.

    Luma is taken of the shown colours, so its own rounding to bytes does not count. For pairs with colours.
    """
    with ExitStack() as stack:
        found = []
        for content in sorted({v.content for v in bundle.variants if v.precision == "int8"}):
            upscaler = stack.enter_context(Upscaler.open(bundle, scale=scale, content=content))
            found.append(_coloured(upscaler, content, costs))
        yield found


def _coloured(upscaler: Upscaler, content: str, costs: Costs | None) -> Method:
    def frame(rgb: NDArray[np.uint8]) -> Frame:
        height, width = rgb.shape[:2]
        return Frame.wrap(PixelFormat.RGB24, width, height, [np.ascontiguousarray(rgb)])

    def run(pair: Pair) -> Estimate:
        assert pair.rgb is not None
        return to_luma(upscaler.process(frame(pair.rgb)).planes[0].astype(np.float32))

    def prepare(low: Size) -> Callable[[], object]:
        source = frame(np.random.default_rng(0).integers(0, 256, (*low, 3), np.uint8))
        out = upscaler.process(source)
        return lambda: upscaler.process(source, out)

    engine = f"Upscaler, {upscaler.backend}"
    return Method(f"{content} int8 RGB", "ours", run, prepare, engine, content, "int8", costs)


def _noise(low: Size) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, low, np.uint8)
