"""A super-resolution network as a function from one luma plane to a larger one.

It feeds the plane's own bytes: an int8 network's ``byte - 128`` is one XOR with 0x80 in each direction,
with the engine's memory as target and source. It cuts and pads pictures (`_sr_plan`), and gives 10-bit
planes 10-bit results. Chroma, deadlines and faults are elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lumavox._sr_plan import Plan, Span, plan_dynamic, plan_fixed
from lumavox.errors import BundleFormatError, BundleVersionError, EngineError

if TYPE_CHECKING:
    from lumavox.bundle import TensorSpec
    from lumavox.session import Session

_SIGN_BIT = np.uint8(0x80)
_DTYPES = ("int8", "uint8", "float32")


class LumaNetwork:
    """One pass of a network. Float networks take and give luma as 0..1.

    Raises `BundleFormatError` or `BundleVersionError` if the variant's tensors are not luma in, luma out.
    """

    def __init__(self, session: Session) -> None:
        variant = session.variant
        front_end: Mapping[str, Any] = session.bundle.front_end
        where = f"bundle {session.bundle.id!r}, variant {variant.name!r}"
        if len(variant.inputs) != 1 or len(variant.outputs) != 1 or session.bundle.delay_frames:
            raise BundleVersionError(f"{where}: this version runs networks of one frame in, one out, only")
        self.session = session
        self.scale = int(front_end["scale"])
        self._engine = session.engine
        self._input, self._output = variant.inputs[0], variant.outputs[0]
        for spec in (self._input, self._output):
            _check_luma(spec, where)
        self._overlap = int(front_end["receptive_field"]) // 2
        self._fixed = None if variant.dynamic else _height_width(self._input)
        if self._fixed and min(self._fixed) <= 2 * self._overlap:
            raise BundleFormatError(
                f"{where}: a fixed input of {self._fixed} is too small for a receptive field of "
                f"{front_end['receptive_field']}"
            )
        self._plan: Plan | None = None
        self._size = (0, 0)
        self._float = np.empty(0, np.float32)  # scratch of float networks
        self._ten = _TenBitBuffers(0, 0, self.scale)

    def enlarge(self, source: np.ndarray, out: np.ndarray) -> None:
        """``source`` ``(h, w)`` to ``out`` ``(h * scale, w * scale)``, both uint8, or both uint16 with
        samples of 0..1023. Raises `EngineError`."""
        if source.dtype == np.uint8:
            self._enlarge8(source, out)
        else:
            self._enlarge10(source, out)

    def _enlarge8(self, source: np.ndarray, out: np.ndarray) -> None:
        plan = self._prepare(*source.shape)
        for rows in plan.rows:
            for columns in plan.columns:
                self._fill(source[rows.start : rows.stop, columns.start : columns.stop], plan)
                self._engine.run()
                self._take(out, rows, columns, plan)

    def _enlarge10(self, source: np.ndarray, out: np.ndarray) -> None:
        """The network's 8-bit residual over the nearest-repeat anchor, added to the 10-bit anchor:

            out = repeat(y10) + 4 * (network(y8) - repeat(y8)),  y8 = y10 >> 2

        which is ``4 * network(y8) + repeat(y10 & 3)``: exact, and never outside 0..1023. Where the network
        adds nothing, all 10 bits of the input come out.
        """
        import cv2

        if self._ten.small.shape != source.shape:
            rows, columns = source.shape
            self._ten = _TenBitBuffers(rows, columns, self.scale)
        ten = self._ten
        np.minimum(source, 1023, out=ten.word)
        np.bitwise_and(ten.word, 3, out=ten.low, casting="unsafe")
        np.right_shift(ten.word, 2, out=ten.small, casting="unsafe")
        self._enlarge8(ten.small, ten.large)
        height, width = ten.large.shape
        low = cv2.resize(ten.low, (width, height), dst=ten.low_large, interpolation=cv2.INTER_NEAREST)
        np.left_shift(ten.large, 2, out=out, dtype=np.uint16)
        np.bitwise_or(out, low.reshape(out.shape), out=out)

    def _prepare(self, height: int, width: int) -> Plan:
        if self._plan is not None and self._size == (height, width):
            return self._plan
        self._plan = None
        if self._fixed:
            plan = plan_fixed(height, width, *self._fixed, self._overlap)
        else:
            plan = plan_dynamic(height, width, self._overlap)
        rows, columns = plan.tile_height, plan.tile_width
        shape = (1, rows, columns, 1) if self._input.layout == "NHWC" else (1, 1, rows, columns)
        self._engine.resize(self._input.name, shape)
        if self._output.dtype == "float32":
            self._float = np.empty((rows * self.scale, columns * self.scale), np.float32)
        self._plan, self._size = plan, (height, width)
        return plan

    def _fill(self, piece: np.ndarray, plan: Plan) -> None:
        view = self._engine.input(self._input.name).reshape(plan.tile_height, plan.tile_width)
        height, width = piece.shape
        inside = view[:height, :width]
        if view.dtype == np.int8:
            np.bitwise_xor(piece, _SIGN_BIT, out=inside.view(np.uint8))
        elif view.dtype == np.uint8:
            np.copyto(inside, piece)
        else:
            np.multiply(piece, np.float32(1 / 255), out=inside, dtype=np.float32)
        if width < plan.tile_width:
            view[:height, width:] = view[:height, width - 1 : width]
        if height < plan.tile_height:
            view[height:] = view[height - 1]

    def _take(self, out: np.ndarray, rows: Span, columns: Span, plan: Plan) -> None:
        scale = self.scale
        whole = self._engine.output(self._output.name)
        size = (plan.tile_height * scale, plan.tile_width * scale)
        if whole.size != size[0] * size[1]:
            raise EngineError(f"the network gave {whole.shape}, wanted {size[0]}x{size[1]} luma samples")
        whole = whole.reshape(size)
        if whole.dtype == np.float32:
            whole = self._to_bytes(whole)
        kept = whole[
            (rows.keep_start - rows.start) * scale : (rows.keep_stop - rows.start) * scale,
            (columns.keep_start - columns.start) * scale : (columns.keep_stop - columns.start) * scale,
        ]
        target = out[
            rows.keep_start * scale : rows.keep_stop * scale,
            columns.keep_start * scale : columns.keep_stop * scale,
        ]
        if kept.dtype == np.int8:
            np.bitwise_xor(kept.view(np.uint8), _SIGN_BIT, out=target)
        else:
            np.copyto(target, kept, casting="unsafe")

    def _to_bytes(self, values: np.ndarray) -> np.ndarray:
        # Extremes carry NaN and infinity along, without an array of flags.
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise EngineError("the network gave values that are not finite")
        np.multiply(values, np.float32(255), out=self._float)
        np.clip(self._float, 0, 255, out=self._float)
        return np.rint(self._float, out=self._float)


class _TenBitBuffers:
    def __init__(self, height: int, width: int, scale: int) -> None:
        self.word = np.empty((height, width), np.uint16)  # the 10 bits
        self.small = np.empty((height, width), np.uint8)  # the upper 8 of them
        self.low = np.empty((height, width), np.uint8)  # the lower 2
        self.large = np.empty((height * scale, width * scale), np.uint8)
        self.low_large = np.empty((height * scale, width * scale), np.uint8)


def _height_width(spec: TensorSpec) -> tuple[int, int]:
    return (spec.shape[1], spec.shape[2]) if spec.layout == "NHWC" else (spec.shape[2], spec.shape[3])


def _check_luma(spec: TensorSpec, where: str) -> None:
    channels = spec.shape[3 if spec.layout == "NHWC" else 1] if len(spec.shape) == 4 else 0
    if spec.dtype not in _DTYPES or channels != 1:
        raise BundleFormatError(
            f"{where}: tensor {spec.name!r} is {spec.dtype}{list(spec.shape)} {spec.layout}; a luma tensor "
            f"has 4 dimensions, 1 channel, and one of {', '.join(_DTYPES)}"
        )
    wanted = {"int8": -128, "uint8": 0}.get(spec.dtype)
    if wanted is not None and spec.zero_point not in (None, wanted):
        raise BundleFormatError(
            f"{where}: tensor {spec.name!r} has zero point {spec.zero_point}; luma bytes need {wanted}"
        )
