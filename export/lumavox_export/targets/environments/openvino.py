"""Runs in the environment ``openvino``.

"compile": an ONNX file as OpenVINO IR, for the NPU also its compiled blob, timed on the device.
"run": calls of such an IR on the device.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino  # type: ignore[import-not-found]

_RUNS = 15
# Not pinned to a core: on a busy machine a pinned thread waits for that core while others idle.
_ONE_THREAD = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}


def compile(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    core = openvino.Core()
    device = request["device"]
    if device not in core.available_devices:
        return {"failed": f"no device {device}; here: {', '.join(core.available_devices)}"}
    model = core.read_model(request["model"])
    openvino.save_model(model, request["ir"], compress_to_fp16=False)
    compiled = _compiled(core, request["ir"], device)
    if request["blob"]:
        Path(request["blob"]).write_bytes(compiled.export_model().getbuffer())
    feeds = {
        item.any_name: np.zeros(tuple(item.shape), item.element_type.to_dtype()) for item in model.inputs
    }
    call = compiled.create_infer_request()
    call.infer(feeds)
    times = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        call.infer(feeds)
        times.append(time.perf_counter() - begin)
    answer: dict[str, Any] = {"median_ms": statistics.median(times) * 1e3, "least_ms": min(times) * 1e3}
    if device == "CPU":
        layers = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
        kinds = [(_text(layer, "layerType"), _text(layer, "primitiveType")) for layer in layers]
        convolutions = [primitive for kind, primitive in kinds if kind == "Convolution"]
        answer["convolutions"] = len(convolutions)
        answer["integer"] = sum(primitive.endswith(("I8", "i8", "u8")) for primitive in convolutions)
    return answer


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    core = openvino.Core()
    compiled = _compiled(core, request["ir"], request["device"])
    names = [(output, output.any_name) for output in compiled.outputs]
    outputs: dict[str, Any] = {}
    with np.load(folder / "feeds.npz") as feeds:
        for index in range(request["calls"]):
            result = compiled({i.any_name: feeds[f"{index}:{i.any_name}"] for i in compiled.inputs})
            outputs |= {f"{index}:{name}": result[output] for output, name in names}
    np.savez(folder / "outputs.npz", **outputs)
    return {}


def _compiled(core: Any, ir: str, device: str) -> Any:
    return core.compile_model(ir, device, _ONE_THREAD if device == "CPU" else {})


def _text(info: Any, key: str) -> str:
    return str(info[key].astype(str)) if key in info else ""


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asked = json.loads((place / "request.json").read_text())
    answered = {"compile": compile, "run": run}[asked["command"]](asked, place)
    (place / "answer.json").write_text(json.dumps(answered))
