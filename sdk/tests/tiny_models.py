"""Tiny real model files for tests of the engines. Not a test itself.

Both are one 3x3 convolution and a DepthToSpace that repeat each pixel twice in each direction, exactly:
input and output have the same quantization, and the only non-zero weight is 1.0, in the middle.

    tflite_int8()          int8 NHWC "luma" -> "enlarged", any size
    onnx_float32()         float32 NCHW "luma" -> "enlarged", any size
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import bundles
from lumavox.bundle import Golden, TensorSpec, Variant

SCALE, ZERO_POINT = 1 / 255, -128
STORED = Path(__file__).parent / "data" / "tiny_int8.tflite"


def tflite_variant(name: str = "any-int8-tflite") -> Variant:
    """The contract of `tflite_int8`."""
    tensor: dict[str, Any] = {
        "shape": (1, -1, -1, 1), "dtype": "int8", "layout": "NHWC", "scale": SCALE, "zero_point": ZERO_POINT,
    }  # fmt: skip
    return Variant(
        name=name, file=f"variants/{name}.tflite", engine="tflite", precision="int8", content="any",
        dynamic=True, inputs=(TensorSpec(name="luma", **tensor),),
        outputs=(TensorSpec(name="enlarged", **tensor),),
        golden=Golden(file=f"golden/{name}.npz", max_lsb=0),
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


def bundle(folder: Path, backend: str) -> Path:
    """A signed bundle with the one model that ``backend`` ("litert" or "ort") runs."""
    variant = tflite_variant() if backend == "litert" else onnx_variant()
    model = tflite_int8() if backend == "litert" else onnx_float32()
    plane = np.random.default_rng(0).integers(-128, 128, (8, 8))
    shape = (1, 8, 8, 1) if backend == "litert" else (1, 1, 8, 8)
    luma = (plane if backend == "litert" else (plane + 128) / 255).astype(variant.inputs[0].dtype)
    enlarged = luma.repeat(2, axis=0).repeat(2, axis=1).reshape([1 if n == 1 else 2 * n for n in shape])
    golden = bundles.npz(luma=luma.reshape(shape), enlarged=enlarged)
    return bundles.write_bundle(
        folder / backend,
        id="sr/real",
        version="0.1.0",
        provenance=bundles.Provenance(),
        card=bundles.CARD,
        front_end=bundles.SR_FRONT_END | {"receptive_field": 3},
        variants=[variant],
        files={variant.file: model, variant.golden.file: golden},
        key=bundles.signing_key(),
        delay_frames=0,
    )


def onnx_float32() -> bytes:
    """The ONNX file; needs the package onnx."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((4, 1, 3, 3), np.float32)
    weight[:, :, 1, 1] = 1.0
    nodes = [
        helper.make_node("Conv", ["luma", "weight"], ["cells"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["cells"], ["enlarged"], blocksize=2, mode="DCR"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("luma", TensorProto.FLOAT, [1, 1, "height", "width"])],
        [helper.make_tensor_value_info("enlarged", TensorProto.FLOAT, [1, 1, "height2", "width2"])],
        [numpy_helper.from_array(weight, "weight")],
    )
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString())


def tflite_int8() -> bytes:
    """The TFLite file, as stored."""
    return STORED.read_bytes()


def written_tflite_int8() -> bytes:
    """The TFLite file, written anew; needs ai-edge-litert (for the schema) and flatbuffers.

    To store it: ``python -c "import tiny_models as t; t.STORED.write_bytes(t.written_tflite_int8())"``
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
    weight = np.zeros((4, 3, 3, 1), np.int8)
    weight[:, 1, 1, :] = 127
    luma = tensor("luma", [1, -1, -1, 1], int8, [SCALE], ZERO_POINT)
    kernel = tensor("weight", [4, 3, 3, 1], int8, [1 / 127] * 4, 0, weight)
    bias = tensor("bias", [4], int32, [SCALE / 127] * 4, 0, np.zeros(4, np.int32))
    cells = tensor("cells", [1, -1, -1, 4], int8, [SCALE], ZERO_POINT)
    enlarged = tensor("enlarged", [1, -1, -1, 1], int8, [SCALE], ZERO_POINT)

    convolution = schema.Conv2DOptionsT()
    convolution.padding, convolution.strideH, convolution.strideW = schema.Padding.SAME, 1, 1
    convolution.dilationHFactor = convolution.dilationWFactor = 1
    kinds, codes = schema.BuiltinOptions, schema.BuiltinOperator
    operator(codes.CONV_2D, 3, [luma, kernel, bias], cells, kinds.Conv2DOptions, convolution)
    blocks = schema.DepthToSpaceOptionsT()
    blocks.blockSize = 2
    operator(codes.DEPTH_TO_SPACE, 1, [cells], enlarged, kinds.DepthToSpaceOptions, blocks)

    graph.inputs, graph.outputs, graph.name = [luma], [enlarged], "main"
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
