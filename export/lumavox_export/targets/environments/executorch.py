"""Runs in the environment ``executorch``.

"compile": a network of ``npu.portable`` as a ``.pte`` file, for XNNPACK also timed. "run": calls of it.

The program is drawn with the quantize and dequantize operators of our own plan, in the form that PyTorch's
PT2E flow ends in; so no quantizer has a say, and the engine gets the same integers as every other.
Tensors are NCHW here; inputs and outputs are int8 where the network has a plan.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.exir import (  # type: ignore[import-not-found]
    EdgeCompileConfig,
    to_edge_transform_and_lower,
)
from torch.ao.quantization.fx import _decomposed  # noqa: F401  (registers the operators of _Q)
from torch.nn import functional

_Q = torch.ops.quantized_decomposed
_AXES = (0, 2, 3, 1)  # where the axes of NHWC are in NCHW
_RUNS = 15


class Program(torch.nn.Module):
    """``bias_as_integers``: the bias is dequantized too (Arm), or real (XNNPACK rounds it itself)."""

    def __init__(self, drawn: dict[str, Any], arrays: Any, *, bias_as_integers: bool) -> None:
        super().__init__()
        self.drawn, self.bias_as_integers = drawn, bias_as_integers
        self.tensors_: dict[str, Any] | None = drawn.get("tensors")
        for op in drawn["ops"]:
            for part in ("weight", "bias", "scale", "value"):
                name = f"{op['output']}/{part}"
                if name in arrays:
                    self._keep(name, arrays[name], part)
            if self.tensors_ is not None and op["kind"] == "Conv2D":
                self._keep_bias(op, arrays)

    def _keep(self, name: str, value: np.ndarray, part: str) -> None:
        if value.ndim == 4:
            value = value.transpose(0, 3, 1, 2)
        real = part == "scale" or self.tensors_ is None
        dtype = np.float32 if real else (np.int32 if part == "bias" else np.int8)
        self.register_buffer(_slot(name), torch.from_numpy(np.array(value, dtype, order="C")))

    def _keep_bias(self, op: dict[str, Any], arrays: Any) -> None:
        assert self.tensors_ is not None
        output, scale = op["output"], arrays[f"{op['output']}/scale"] * self.tensors_[op["inputs"][0]][0]
        self.register_buffer(_slot(f"{output}/bias_scale"), torch.from_numpy(scale.astype(np.float32)))
        self.register_buffer(_slot(f"{output}/zeros"), torch.zeros(len(scale), dtype=torch.int64))
        bias = (arrays[f"{output}/bias"] * scale).astype(np.float32)
        self.register_buffer(_slot(f"{output}/real_bias"), torch.from_numpy(bias))

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = {port["name"]: value for port, value in zip(self.drawn["inputs"], inputs)}
        for op in self.drawn["ops"]:
            made[op["output"]] = self._op(op, made)
        return tuple(made[name] for name in self.drawn["outputs"])

    def _op(self, op: dict[str, Any], made: dict[str, torch.Tensor]) -> torch.Tensor:
        kind, output = op["kind"], op["output"]
        if kind == "Constant":
            return self._kept(f"{output}/value")
        if kind == "DepthToSpace":  # integers pass as they are
            return _depth_to_space(made[op["inputs"][0]], op["block"])
        xs = [self._real(name, made[name]) for name in op["inputs"]]
        if kind == "Conv2D":
            y = self._conv(op, xs[0])
        elif kind == "Concat":
            y = torch.cat(xs, _AXES[op["axis"]])
        else:
            function: Any = {"Add": torch.add, "Mul": torch.mul, "Sigmoid": torch.sigmoid}[kind]
            y = function(*xs)
        return self._stored(output, y)

    def _conv(self, op: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        output, (rows, columns) = op["output"], op["pads"]
        padding = (rows[0], columns[0])
        if rows[0] != rows[1] or columns[0] != columns[1]:
            x, padding = functional.pad(x, (*columns, *rows)), (0, 0)
            x = self._real(op["inputs"][0], self._stored(op["inputs"][0], x))
        weight, bias = self._kept(f"{output}/weight"), self._kept(f"{output}/bias")
        if self.tensors_ is not None:
            zeros = self._kept(f"{output}/zeros")
            scale, bias_scale = self._kept(f"{output}/scale"), self._kept(f"{output}/bias_scale")
            weight = _Q.dequantize_per_channel(weight, scale, zeros, 0, -127, 127, torch.int8)
            if self.bias_as_integers:
                limits = (-(2**31), 2**31 - 1)
                bias = _Q.dequantize_per_channel(bias, bias_scale, zeros, 0, *limits, torch.int32)
            else:
                bias = self._kept(f"{output}/real_bias")
        y = functional.conv2d(x, weight, bias, op["stride"], padding, op["dilation"], op["groups"])
        if op["relu"] and self.tensors_ is not None and self.tensors_[output][1] != -128:
            y = self._real(output, self._stored(output, y))  # engines fuse a ReLU only at the lowest integer
        return functional.relu(y) if op["relu"] else y

    def _real(self, name: str, q: torch.Tensor) -> torch.Tensor:
        if self.tensors_ is None:
            return q
        return _Q.dequantize_per_tensor(q, *self.tensors_[name], -128, 127, torch.int8)

    def _stored(self, name: str, y: torch.Tensor) -> torch.Tensor:
        if self.tensors_ is None:
            return y
        return _Q.quantize_per_tensor(y, *self.tensors_[name], -128, 127, torch.int8)

    def _kept(self, name: str) -> torch.Tensor:
        return self.get_buffer(_slot(name))


def _slot(name: str) -> str:
    return name.replace("/", "__").replace(".", "_")


def _depth_to_space(x: torch.Tensor, block: int) -> torch.Tensor:
    """Order DCR; `pixel_shuffle` has CRD, which is the same where one channel comes out."""
    _, depth, _, _ = x.shape
    channels = depth // block**2
    if channels > 1:
        x = x[:, [cell * channels + c for c in range(channels) for cell in range(block**2)]]
    return functional.pixel_shuffle(x, block)


def compile(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    xnnpack = request["backend"] == "xnnpack"
    with np.load(request["arrays"]) as arrays:
        program = Program(request["network"], dict(arrays), bias_as_integers=not xnnpack).eval()
    dtype = torch.float32 if program.tensors_ is None else torch.int8
    shapes = [port["shape"] for port in request["network"]["inputs"]]
    examples = tuple(torch.zeros(n, c, h, w, dtype=dtype) for n, h, w, c in shapes)
    with torch.no_grad():
        exported = torch.export.export(program, examples)
    if not xnnpack:
        _mark_quantized(exported)
    config = EdgeCompileConfig(_check_ir_validity=False, preserve_ops=[torch.ops.aten.pixel_shuffle.default])
    try:
        lowered = to_edge_transform_and_lower(
            exported, partitioner=[_partitioner(request)], compile_config=config
        )
        nodes = [n for n in lowered.exported_program().graph.nodes if n.op == "call_function"]
        named = [getattr(n.target, "__name__", str(n.target)) for n in nodes]
        left = Counter(name for name in named if name not in ("executorch_call_delegate", "getitem"))
        data = lowered.to_executorch().buffer
    except (RuntimeError, ValueError) as cause:
        return {"failed": str(cause).strip().splitlines()[-1]}
    Path(request["pte"]).write_bytes(data)
    answer = {"left": dict(left), "delegates": named.count("executorch_call_delegate")}
    return answer | ({"median_ms": _median_ms(request["pte"], examples)} if xnnpack else {})


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    method, _ = _opened(request["pte"])
    outputs = {}
    with np.load(folder / "feeds.npz") as feeds:
        for index in range(request["calls"]):
            inputs = [torch.from_numpy(feeds[f"{index}:{name}"]) for name in request["inputs"]]
            for name, value in zip(request["outputs"], method.execute(inputs)):
                outputs[f"{index}:{name}"] = value.numpy().copy()
    np.savez(folder / "outputs.npz", **outputs)
    return {}


def _partitioner(request: dict[str, Any]) -> Any:
    backend = request["backend"]
    if backend == "xnnpack":
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # type: ignore[import-not-found]
            XnnpackPartitioner,
        )

        return XnnpackPartitioner()
    from executorch.backends.arm.ethosu import (  # type: ignore[import-not-found]
        EthosUCompileSpec,
        EthosUPartitioner,
    )

    flags = ["--arena-cache-size", str(request["cache_kib"] * 1024), "--verbose-cycle-estimate"]
    spec = EthosUCompileSpec(backend, request["system"], request["memory"], extra_flags=flags)
    return EthosUPartitioner(spec)


def _mark_quantized(exported: Any) -> None:
    """As Arm's own quantizer marks operators; without the mark its partitioner takes them for float."""
    from executorch.backends.arm.common.annotation_meta import (  # type: ignore[import-not-found]
        ArmAnnotationInfo,
    )

    for node in exported.graph.nodes:
        if node.op == "call_function":
            mark = {ArmAnnotationInfo.CUSTOM_META_KEY: ArmAnnotationInfo(quantized=True)}
            node.meta["custom"] = node.meta.get("custom", {}) | mark


def _opened(pte: str) -> Any:
    from executorch.extension.pybindings.portable_lib import (  # type: ignore[import-not-found]
        _unsafe_reset_threadpool,
    )
    from executorch.runtime import Runtime  # type: ignore[import-not-found]

    _unsafe_reset_threadpool(1)
    program = Runtime.get().load_program(pte)
    return program.load_method("forward"), program  # the method does not keep its program alive


def _median_ms(pte: str, examples: tuple[torch.Tensor, ...]) -> float:
    method, _ = _opened(pte)
    method.execute(examples)
    times = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        method.execute(examples)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asked = json.loads((place / "request.json").read_text())
    answered = {"compile": compile, "run": run}[asked["command"]](asked, place)
    (place / "answer.json").write_text(json.dumps(answered))
