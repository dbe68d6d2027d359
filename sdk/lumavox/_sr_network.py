"""A super-resolution network as a function from one luma plane to a larger one.

It feeds the plane's own bytes: an int8 network's ``byte - 128`` is one XOR with 0x80 in each direction,
with the engine's memory as target and source. It cuts and pads pictures (`_sr_plan`), and gives 10-bit
planes 10-bit results (`_sr_ten_bit`). Chroma, deadlines and faults are elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lumavox._bundle_schema import PictureFrontEnd
from lumavox._parse import parse
from lumavox._sr_plan import Plan, Span, plan_dynamic, plan_fixed, up_to
from lumavox._sr_ten_bit import TenBitLuma
from lumavox.errors import BundleFormatError, BundleVersionError, EngineError

if TYPE_CHECKING:
    from lumavox.bundle import Bundle, TensorSpec
    from lumavox.session import Session

_SIGN_BIT = np.uint8(0x80)
_DTYPES = ("int8", "uint8", "float32")


class LumaNetwork:
    """One pass of a network. Float networks take and give luma as 0..1.

    Raises `BundleFormatError` or `BundleVersionError` if the variant's tensors are not luma in, luma out.
    """

    def __init__(self, session: Session) -> None:
        variant = session.variant
        front_end = front_end_of(session.bundle)
        where = f"bundle {session.bundle.id!r}, variant {variant.name!r}"
        if len(variant.inputs) != 1 or len(variant.outputs) != 1 or session.bundle.delay_frames:
            raise BundleVersionError(f"{where}: this version runs networks of one frame in, one out, only")
        self.session = session
        self.scale, self.cell = front_end.scale, front_end.cell
        self._engine = session.engine
        self._input, self._output = variant.inputs[0], variant.outputs[0]
        for spec in (self._input, self._output):
            _check_luma(spec, where)
        self._overlap = up_to(front_end.receptive_field // 2, front_end.multiple)
        self._fixed = None if variant.dynamic else _height_width(self._input)
        if self._fixed and min(self._fixed) <= 2 * self._overlap:
            raise BundleFormatError(
                f"{where}: a fixed input of {self._fixed} is too small for a receptive field of "
                f"{front_end.receptive_field}"
            )
        self._plan: Plan | None = None
        self._size = (0, 0)
        self._float = np.empty(0, np.float32)  # scratch of float networks
        self._ten: TenBitLuma | None = None

    def enlarge(self, source: np.ndarray, out: np.ndarray) -> None:
        """``source`` ``(h, w)`` to ``out``, whose sides are `enlarged_side` of these, both uint8, or both
        uint16 with samples of 0..1023. Raises `EngineError`.

        Sides that the network does not take are padded by repeating the edge, and ``out`` is what of the
        result covers the picture.
        """
        if source.dtype == np.uint8:
            self._enlarge8(source, out)
            return
        if self._ten is None or (self._ten.shape, self._ten.out_shape) != (source.shape, out.shape):
            self._ten = TenBitLuma(source.shape, out.shape, self.scale)
        self._ten.enlarge(source, out, self._enlarge8)

    def _enlarge8(self, source: np.ndarray, out: np.ndarray) -> None:
        plan = self._prepare(*source.shape)
        for rows in plan.rows:
            for columns in plan.columns:
                self._fill(source[rows.start : rows.stop, columns.start : columns.stop], plan)
                self._engine.run()
                self._take(out, rows, columns, plan)

    def _prepare(self, height: int, width: int) -> Plan:
        if self._plan is not None and self._size == (height, width):
            return self._plan
        self._plan = None
        if self._fixed:
            plan = plan_fixed(height, width, *self._fixed, self._overlap, self.cell[0])
        else:
            plan = plan_dynamic(height, width, self._overlap, self.cell[0])
        rows, columns = plan.tile_height, plan.tile_width
        shape = (1, rows, columns, 1) if self._input.layout == "NHWC" else (1, 1, rows, columns)
        self._engine.resize(self._input.name, shape)
        if self._output.dtype == "float32":
            self._float = np.empty((self._larger(rows), self._larger(columns)), np.float32)
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
        larger = self._larger
        whole = self._engine.output(self._output.name)
        size = (larger(plan.tile_height), larger(plan.tile_width))
        if whole.size != size[0] * size[1]:
            raise EngineError(f"the network gave {whole.shape}, wanted {size[0]}x{size[1]} luma samples")
        whole = whole.reshape(size)
        if whole.dtype == np.float32:
            whole = self._to_bytes(whole)
        # A slice ends at the picture's edge, where the plan may go beyond.
        target = out[
            larger(rows.keep_start) : larger(rows.keep_stop),
            larger(columns.keep_start) : larger(columns.keep_stop),
        ]
        top, left = larger(rows.keep_start - rows.start), larger(columns.keep_start - columns.start)
        kept = whole[top : top + target.shape[0], left : left + target.shape[1]]
        if kept.dtype == np.int8:
            np.bitwise_xor(kept.view(np.uint8), _SIGN_BIT, out=target)
        else:
            np.copyto(target, kept, casting="unsafe")

    def _larger(self, length: int) -> int:
        """What ``length`` pixels, a multiple of what the network takes, become."""
        return length // self.cell[0] * self.cell[1]

    def _to_bytes(self, values: np.ndarray) -> np.ndarray:
        # Extremes carry NaN and infinity along, without an array of flags.
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise EngineError("the network gave values that are not finite")
        np.multiply(values, np.float32(255), out=self._float)
        np.clip(self._float, 0, 255, out=self._float)
        return np.rint(self._float, out=self._float)


def front_end_of(bundle: Bundle) -> PictureFrontEnd:
    """The ``front_end`` of a bundle for task "sr"."""
    return parse(PictureFrontEnd, bundle.front_end, f"bundle {bundle.id!r}", key="front_end")


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
