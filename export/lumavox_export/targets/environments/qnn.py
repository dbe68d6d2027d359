"""Runs in the environment ``qnn``: ONNX Runtime with Qualcomm's QNN plugin, HTP backend.

"compile": the context binary of an ONNX file, all of it on the HTP or refused; its HTP operators counted.
"run": calls of such a context binary in the HTP simulator.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped, unused-ignore]
import onnxruntime_qnn  # type: ignore[import-not-found]

_ERRORS = 3  # of log severity: above it, the plugin talks of Windows


def compile(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    config = {
        "ep.context_enable": "1",
        "ep.context_file_path": request["context"],
        "ep.context_embed_mode": "0",
    }
    dump = {"dump_json_qnn_graph": "1", "json_qnn_graph_dir": str(folder)}
    try:
        _session(request["model"], request["provider"] | dump, config)
    except Exception as error:  # its errors have no common class; the caller reads the log for reasons
        return {"failed": str(error)}
    graphs = [path for path in folder.glob("*.json") if "op_types" in (text := path.read_text()) and text]
    nodes = [node for path in graphs for node in json.loads(path.read_text())["graph"]["nodes"].values()]
    return {"graphs": len(graphs), "operators": collections.Counter(node["type"] for node in nodes)}


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    session = _session(request["model"], request["provider"], {})
    names = [output.name for output in session.get_outputs()]
    outputs: dict[str, Any] = {}
    with np.load(folder / "feeds.npz") as feeds:
        for index in range(request["calls"]):
            inputs = {item.name: feeds[f"{index}:{item.name}"] for item in session.get_inputs()}
            for name, value in zip(names, session.run(names, inputs)):
                outputs[f"{index}:{name}"] = value
    np.savez(folder / "outputs.npz", **outputs)
    return {}


def _session(model: str, provider: dict[str, str], config: dict[str, str]) -> Any:
    onnxruntime.register_execution_provider_library("QNN", onnxruntime_qnn.get_library_path())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == "QNN"]
    backend = {"backend_path": onnxruntime_qnn.get_qnn_htp_path()}
    options.add_provider_for_devices(devices, backend | provider)
    return onnxruntime.InferenceSession(model, options)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asked = json.loads((place / "request.json").read_text())
    answer = {"compile": compile, "run": run}[asked["command"]](asked, place)
    (place / "answer.json").write_text(json.dumps(answer))
