"""Tiny real model files for tests of the engines. Not a test itself.

    tflite_int8(DOUBLE)      int8 NHWC "luma" -> "enlarged", any size
    onnx_float32(DOUBLE)     float32 NCHW "luma" -> "enlarged", any size

A network is some convolutions and a DepthToSpace. `DOUBLE` is one 3x3 convolution that repeats each pixel
twice in each direction, exactly: input and output have the same quantization, and the only non-zero weight is
1.0, in the middle. `HALF_MORE` (x1.5, even sizes only) is a 4x4 convolution of stride 2, two of 3x3, and
cells of 3x3 pixels. Its weights are random averages, so that each output depends on all that it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import bundles
from lumavox.bundle import Golden, TensorSpec, Variant

SCALE, ZERO_POINT = 1 / 255, -128


@dataclass(frozen=True)
class Network:
    """``widths`` are the channels after each convolution; the first has a stride of ``multiple``."""

    stored: Path
    scale: float
    multiple: int
    widths: tuple[int, ...]
    receptive_field: int

    @property
    def block(self) -> int:
        """Of the DepthToSpace."""
        return int(self.scale * self.multiple)


DATA = Path(__file__).parent / "data"
DOUBLE = Network(DATA / "tiny_int8.tflite", 2, 1, (4,), 3)
HALF_MORE = Network(DATA / "tiny_int8_x1.5.tflite", 1.5, 2, (4, 5, 9), 12)


@lru_cache(maxsize=2)
def kernels(network: Network) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Of each convolution: int8 weights ``(out, rows, columns, in)``, and each output channel's scale."""
    random, inputs, found = np.random.default_rng(15), 1, []
    for index, outputs in enumerate(network.widths):
        side = 4 if index == 0 and network.multiple == 2 else 3
        weight = np.zeros((outputs, side, side, inputs))
        if network is DOUBLE:
            weight[:, 1, 1, :] = 1.0
        else:
            weight = random.random(weight.shape) ** 4
            weight /= weight.sum((1, 2, 3), keepdims=True)
        scales = weight.max((1, 2, 3)) / 127
        found.append((np.rint(weight / scales[:, None, None, None]).astype(np.int8), scales))
        inputs = outputs
    return tuple(found)


def reference(network: Network, luma: np.ndarray) -> np.ndarray:
    """The network in numpy: ``(h, w)`` of 0..1 to the enlarged plane, floating point."""
    planes = luma[:, :, None]
    for index, (weight, scales) in enumerate(kernels(network)):
        side, stride = weight.shape[1], network.multiple if index == 0 else 1
        padded = np.pad(planes, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (0, 1))[::stride, ::stride]
        planes = np.einsum("yxirc,orci->yxo", windows, weight * scales[:, None, None, None])
    rows, columns, block = *planes.shape[:2], network.block
    cells = planes.reshape(rows, columns, block, block).transpose(0, 2, 1, 3)
    return np.clip(cells.reshape(rows * block, columns * block), 0, 1)


def tflite_variant(name: str = "any-int8-tflite", max_lsb: int = 0) -> Variant:
    """The contract of `tflite_int8`."""
    tensor: dict[str, Any] = {
        "shape": (1, -1, -1, 1), "dtype": "int8", "layout": "NHWC", "scale": SCALE, "zero_point": ZERO_POINT,
    }  # fmt: skip
    return Variant(
        name=name, file=f"variants/{name}.tflite", engine="tflite", precision="int8", content="any",
        dynamic=True, inputs=(TensorSpec(name="luma", **tensor),),
        outputs=(TensorSpec(name="enlarged", **tensor),),
        golden=Golden(file=f"golden/{name}.npz", max_lsb=max_lsb),
    )  # fmt: skip


def onnx_variant(name: str = "any-float32-onnx") -> Variant:
    """The contract of `onnx_float32`."""
    tensor: dict[str, Any] = {"shape": (1, 1, -1, -1), "dtype": "float32", "layout": "NCHW"}
    return Variant(
        name=name, file=f"variants/{name}.onnx", engine="onnx", precision="float32", content="any",
        dynamic=True, inputs=(TensorSpec(name="luma", **tensor),),
        outputs=(TensorSpec(name="enlarged", **tensor),),
        golden=Golden(file=f"golden/{name}.npz", max_abs=1e-6),
    )  # fmt: skip


def bundle(folder: Path, backend: str, network: Network = DOUBLE) -> Path:
    """A signed bundle with the one model that ``backend`` ("litert" or "ort") runs."""
    quantized = backend == "litert"
    variant = tflite_variant(max_lsb=0 if network is DOUBLE else 2) if quantized else onnx_variant()
    model = tflite_int8(network) if quantized else onnx_float32(network)
    luma = np.random.default_rng(0).integers(0, 256, (8, 8)) / 255
    shapes = {"luma": luma, "enlarged": reference(network, luma)}
    golden = {}
    for name, plane in shapes.items():
        stored = np.rint(plane * 255 - 128).astype(np.int8) if quantized else plane.astype(np.float32)
        golden[name] = stored[None, :, :, None] if quantized else stored[None, None]
    return bundles.write_bundle(
        folder / backend,
        id="sr/real",
        version="0.1.0",
        provenance=bundles.Provenance(),
        card=bundles.CARD,
        front_end=bundles.sr_front_end(network.scale, network.receptive_field),
        variants=[variant],
        files={variant.file: model, variant.golden.file: bundles.npz(**golden)},
        key=bundles.signing_key(),
        delay_frames=0,
    )


def onnx_float32(network: Network = DOUBLE) -> bytes:
    """The ONNX file; needs the package onnx."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, name = [], [], "luma"
    for index, (weight, scales) in enumerate(kernels(network)):
        real = (weight * scales[:, None, None, None]).transpose(0, 3, 1, 2).astype(np.float32)
        constants.append(numpy_helper.from_array(np.ascontiguousarray(real), f"weight{index}"))
        strides = [network.multiple if index == 0 else 1] * 2
        inputs, output = [name, f"weight{index}"], f"cells{index}"
        nodes.append(helper.make_node("Conv", inputs, [output], pads=[1, 1, 1, 1], strides=strides))
        name = output
    block = {"blocksize": network.block, "mode": "DCR"}
    nodes.append(helper.make_node("DepthToSpace", [name], ["enlarged"], **block))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("luma", TensorProto.FLOAT, [1, 1, "height", "width"])],
        [helper.make_tensor_value_info("enlarged", TensorProto.FLOAT, [1, 1, "height2", "width2"])],
        constants,
    )
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString())


def tflite_int8(network: Network = DOUBLE) -> bytes:
    """The TFLite file, as stored."""
    return network.stored.read_bytes()


def written_tflite_int8(network: Network) -> bytes:
    """The TFLite file, written anew; needs ai-edge-litert (for the schema) and flatbuffers.

    To store them: ``python -c "import tiny_models as t; t.store()"``
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description, model.buffers = 3, "tiny", [schema.BufferT()]
    graph.tensors, graph.operators = [], []

    def tensor(
        name: str, shape: list[int], kind: int, scales: list[float], zero: int, data: Any = None
    ) -> int:
        made = schema.TensorT()
        made.name, made.type, made.hasRank, made.buffer = name, kind, True, 0
        made.shape = [max(size, 1) for size in shape]
        if -1 in shape:
            made.shapeSignature = shape
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = scales, [zero] * len(scales)
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            made.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operator(code: int, version: int, inputs: list[int], output: int, kind: int, options: Any) -> None:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
        model.operatorCodes = [*(model.operatorCodes or []), entry]
        node = schema.OperatorT()
        node.opcodeIndex = len(model.operatorCodes) - 1
        node.inputs, node.outputs = inputs, [output]
        node.builtinOptionsType, node.builtinOptions = kind, options
        graph.operators.append(node)

    int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
    kinds, codes = schema.BuiltinOptions, schema.BuiltinOperator
    name = tensor("luma", [1, -1, -1, 1], int8, [SCALE], ZERO_POINT)
    graph.inputs = [name]
    for index, (weight, scales) in enumerate(kernels(network)):
        outputs = len(scales)
        kernel = tensor(f"weight{index}", list(weight.shape), int8, list(scales), 0, weight)
        steps, zeros = list(scales * SCALE), np.zeros(outputs, np.int32)
        bias = tensor(f"bias{index}", [outputs], int32, steps, 0, zeros)
        cells = tensor(f"cells{index}", [1, -1, -1, outputs], int8, [SCALE], ZERO_POINT)
        convolution = schema.Conv2DOptionsT()
        stride = network.multiple if index == 0 else 1
        convolution.padding, convolution.strideH, convolution.strideW = schema.Padding.SAME, stride, stride
        convolution.dilationHFactor = convolution.dilationWFactor = 1
        operator(codes.CONV_2D, 3, [name, kernel, bias], cells, kinds.Conv2DOptions, convolution)
        name = cells
    enlarged = tensor("enlarged", [1, -1, -1, 1], int8, [SCALE], ZERO_POINT)
    blocks = schema.DepthToSpaceOptionsT()
    blocks.blockSize = network.block
    operator(codes.DEPTH_TO_SPACE, 1, [name], enlarged, kinds.DepthToSpaceOptions, blocks)

    graph.outputs, graph.name = [enlarged], "main"
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def store() -> None:
    """Write the stored TFLite files anew."""
    for network in (DOUBLE, HALF_MORE):
        network.stored.write_bytes(written_tflite_int8(network))
