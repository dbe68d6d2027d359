"""Other projects' networks as methods: measured side by side, never stored, trained from or shipped.

A peer is a file ``<name>_x<scale>.onnx`` or ``.tflite`` of a folder with one picture in and one out: RGB or
luma, float 0..1 or integers with a quantization, NCHW or NHWC, of any size. It runs on the same engines as
our variants, on one thread. RGB peers get the RGB picture of a still, and of a clip (luma with neutral
chroma) the gray RGB that a player makes of it: luma expanded from studio range, not rounded. What they make
is rounded to bytes and scored on its BT.601 luma.

    for path in peer_files(folder, scale=2): method = stack.enter_context(open_peer(path, 2))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lumavox import backends
from lumavox.backends.base import Engine
from lumavox.bundle import Golden, TensorSpec, Variant
from lumavox.errors import EngineError

from ..errors import DatasetError
from ..resize import to_luma
from .sr_costs import onnx_costs, tflite_costs
from .sr_material import Pair, Size
from .sr_methods import Costs, Estimate, Method

ENGINES = {".onnx": ("ort", onnx_costs), ".tflite": ("litert", tflite_costs)}
_PROBE: Size = (24, 36)  # a picture that every scale enlarges to whole pixels
_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}


def peer_files(folder: Path, scale: float) -> list[Path]:
    """The peers of one scale, by name. Raises DatasetError if the folder is not there or has none."""
    if not folder.is_dir():
        raise DatasetError(f"--peers {folder}: there is no such folder")
    found = sorted(p for p in folder.iterdir() if p.suffix in ENGINES and p.stem.endswith(f"_x{scale:g}"))
    if not found:
        raise DatasetError(
            f"--peers {folder}: no file there is named *_x{scale:g}.onnx or *_x{scale:g}.tflite"
        )
    return found


def peer_name(path: Path) -> str:
    """As it is listed: the file name without its scale."""
    return path.stem.rsplit("_x", 1)[0] + (" (tflite)" if path.suffix == ".tflite" else "")


@contextmanager
def open_peer(path: Path, scale: float) -> Iterator[Method]:
    """The peer as a method, tried once on a small picture. Raises EngineError if it cannot be measured."""
    backend_name, count = ENGINES[path.suffix]
    data = path.read_bytes()
    try:
        variant = (_onnx_variant if path.suffix == ".onnx" else _tflite_variant)(data)
        engine = backends.get(backend_name).open(data, variant)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{path.name}: {' '.join(str(error).split())[:200]}") from error
    try:
        network = _Network(engine, variant.inputs[0], variant.outputs[0], scale)
        gray = np.full((*_PROBE, 3), 128, np.uint8)
        network.run(Pair(gray[..., 0], np.zeros((1, 1), np.float32), gray))
        precision = "float32" if variant.inputs[0].dtype == "float32" else "int8"
        costs = _counted(count, data)
        yield Method(
            peer_name(path), "peer", network.run, network.prepare, engine.description, "", precision, costs
        )
    finally:
        engine.close()


def _counted(count: Callable[[bytes], Costs], data: bytes) -> Costs | None:
    try:
        return count(data)
    except Exception:  # an operator that the counter does not know; the peer itself runs
        return None


@dataclass(frozen=True)
class _Network:
    """Pictures into and out of an engine."""

    engine: Engine
    fed: TensorSpec
    got: TensorSpec
    scale: float

    def run(self, pair: Pair) -> Estimate:
        """Luma of the enlarged picture. Raises EngineError, also for a picture of another size."""
        self._feed(self._planes(pair))
        self.engine.run()
        out = np.array(self.engine.output(self.got.name))
        out = _real(out, self.got)[0]
        out = out.transpose(1, 2, 0) if self.got.layout == "NCHW" else out
        wanted = tuple(round(n * self.scale) for n in pair.low.shape)
        if out.shape[:2] != wanted or out.shape[2] not in (1, 3):
            raise EngineError(
                f"made {out.shape} of a picture of {pair.low.shape}, wanted {wanted} with 1 or 3 channels"
            )
        shown = np.rint(np.clip(out, 0, 1) * 255).astype(np.float32)
        return to_luma(shown) if out.shape[2] == 3 else shown[..., 0]

    def prepare(self, low: Size) -> Callable[[], object]:
        channels = _channels(self.fed)
        self._feed(np.random.default_rng(0).random((*low, channels), np.float32))
        return self.engine.run

    def _planes(self, pair: Pair) -> NDArray[np.float32]:
        """``(height, width, channels)``, 0..1."""
        if _channels(self.fed) == 1:
            return np.asarray(pair.low[..., None] / 255, np.float32)
        if pair.rgb is not None:
            return np.asarray(pair.rgb / 255, np.float32)
        gray = np.clip((pair.low.astype(np.float32) - 16) / 219, 0, 1)
        return np.repeat(gray[..., None], 3, 2).astype(np.float32)

    def _feed(self, planes: NDArray[np.float32]) -> None:
        values = _stored(planes, self.fed)[None]
        if self.fed.layout == "NCHW":
            values = values.transpose(0, 3, 1, 2)
        self.engine.resize(self.fed.name, values.shape)
        view = self.engine.input(self.fed.name)
        view[...] = values
        del view


def _channels(spec: TensorSpec) -> int:
    return spec.shape[1] if spec.layout == "NCHW" else spec.shape[3]


def _span(spec: TensorSpec) -> float:
    """What white is: 1, or 255 where the quantization reaches beyond 2."""
    assert spec.scale is not None
    return 255.0 if 255 * spec.scale > 2 else 1.0


def _stored(planes: NDArray[np.float32], spec: TensorSpec) -> NDArray[Any]:
    if spec.dtype == "float32":
        return planes
    limits = np.iinfo(spec.dtype)
    if spec.scale is None or spec.zero_point is None:
        return np.clip(np.rint(planes * 255) + limits.min, limits.min, limits.max).astype(spec.dtype)
    steps = np.rint(planes * _span(spec) / spec.scale) + spec.zero_point
    return np.clip(steps, limits.min, limits.max).astype(spec.dtype)


def _real(stored: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """0..1."""
    if spec.dtype == "float32":
        return stored.astype(np.float32)
    if spec.scale is None or spec.zero_point is None:
        return np.asarray((stored.astype(np.float32) - np.iinfo(spec.dtype).min) / 255, np.float32)
    return np.asarray((stored.astype(np.float32) - spec.zero_point) * (spec.scale / _span(spec)), np.float32)


def _onnx_variant(data: bytes) -> Variant:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    described = []
    for tensors in (session.get_inputs(), session.get_outputs()):
        if len(tensors) != 1 or tensors[0].type not in _DTYPES:
            raise EngineError(f"needs one picture in and one out, has {[(t.name, t.type) for t in tensors]}")
        described.append(_spec(tensors[0].name, tensors[0].shape, _DTYPES[tensors[0].type]))
    return _variant("onnx", *described)


def _tflite_variant(data: bytes) -> Variant:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    described = []
    for tensors in (interpreter.get_input_details(), interpreter.get_output_details()):
        if len(tensors) != 1:
            raise EngineError(f"needs one picture in and one out, has {[t['name'] for t in tensors]}")
        scale, zero_point = tensors[0]["quantization"]
        shape = [int(tensors[0]["shape"][0]), -1, -1, int(tensors[0]["shape"][3])]
        dtype = np.dtype(tensors[0]["dtype"]).name
        described.append(_spec(tensors[0]["name"], shape, dtype, (scale, zero_point) if scale else None))
    return _variant("tflite", *described)


def _spec(
    name: str, shape: list[Any], dtype: str, quantization: tuple[float, int] | None = None
) -> TensorSpec:
    sizes = tuple(d if isinstance(d, int) and d > 0 else -1 for d in shape)
    if len(sizes) != 4:
        raise EngineError(f"tensor {name!r} of shape {shape} is no picture (NCHW or NHWC)")
    layout = "NHWC" if sizes[3] in (1, 3) and sizes[1] not in (1, 3) else "NCHW"
    scale, zero_point = quantization or (None, None)
    return TensorSpec(name, sizes, dtype, layout, scale, zero_point)  # type: ignore[arg-type]


def _variant(engine: Literal["onnx", "tflite"], fed: TensorSpec, got: TensorSpec) -> Variant:
    if _channels(fed) not in (1, 3):
        raise EngineError(f"input {fed.name!r} of shape {fed.shape} has neither 1 nor 3 channels")
    return Variant(
        "peer",
        "",
        engine,
        "float32",
        "any",
        True,
        (fed,),
        (got,),
        Golden("", max_abs=0.0),
    )
