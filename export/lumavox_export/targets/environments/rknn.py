"""Runs in the environment ``rknn``: an ONNX file built for a Rockchip NPU, and run in the simulator.

The simulator runs only what the same process has built, so every command builds. "ways" are tried in order:
a QDQ file, whose scales the toolkit takes over ("plan"), a float file with calibration calls ("toolkit"),
or a float file to be computed in float16 ("float"). "compile" also exports, "run" makes calls,
"layers" makes one call of each of several networks.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rknn.api import RKNN  # type: ignore[import-not-found]


def compile(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    toolkit, how = _built(request, folder)
    if toolkit is None:
        return how
    _checked("export_rknn", toolkit.export_rknn(request["rknn"]))
    if not request["accuracy"] or how["scales"] != "toolkit":  # it analyses what it quantized itself only
        return how
    inputs = _call(request, folder, 1)
    paths = [_saved(value, folder / f"accuracy-{index}.npy") for index, value in enumerate(inputs)]
    place = folder / "accuracy"
    _checked("accuracy_analysis", toolkit.accuracy_analysis(inputs=paths, output_dir=str(place)))
    tables = sorted(place.glob("*error_analysis*.txt"))
    return how | {"accuracy": tables[0].read_text(errors="replace") if tables else ""}


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    toolkit, how = _built(request, folder)
    if toolkit is None:
        return how
    _checked("init_runtime", toolkit.init_runtime())
    outputs: dict[str, Any] = {}
    layouts = ["nchw"] * len(request["inputs"])
    for index in range(request["calls"]):
        values = toolkit.inference(inputs=_call(request, folder, index), data_format=layouts)
        outputs |= {f"{index}:{name}": value for name, value in zip(request["outputs"], values)}
    np.savez(folder / "outputs.npz", **outputs)
    return how


def layers(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The one output of each of several networks; those that the toolkit refuses are left out."""
    outputs = {}
    for way in request["ways"]:
        toolkit, _ = _built(request | {"ways": [way]}, folder)
        if toolkit is not None:
            _checked("init_runtime", toolkit.init_runtime())
            inputs, layouts = _call(request, folder, 0), ["nchw"] * len(request["inputs"])
            outputs[f"0:{way['output']}"] = toolkit.inference(inputs=inputs, data_format=layouts)[0]
            toolkit.release()
    np.savez(folder / "outputs.npz", **outputs)
    return {}


def _built(request: dict[str, Any], folder: Path) -> tuple[Any, dict[str, Any]]:
    """The toolkit with the network in it, and which way it went and what it said of the ways before."""
    refused = None
    for way in request["ways"]:
        model, *calibration = way["files"]
        toolkit = RKNN(verbose=True)
        try:
            toolkit.config(target_platform=request["platform"])
            _checked("load_onnx", toolkit.load_onnx(model))
            dataset = _dataset(request, calibration[0], folder) if calibration else None
            _checked("build", toolkit.build(do_quantization=dataset is not None, dataset=dataset))
            return toolkit, {"scales": way["scales"], "refused": refused}
        except Exception as cause:  # the toolkit lets the errors of its passes through
            refused = (str(cause).strip().splitlines() or [type(cause).__name__])[-1]
            toolkit.release()
    return None, {"failed": refused}


def _dataset(request: dict[str, Any], calibration: str, folder: Path) -> str:
    """Calls as the toolkit wants them: a text file with a line of ``.npy`` paths per call."""
    lines = []
    with np.load(calibration) as feeds:
        calls = len(feeds.files) // len(request["inputs"])
        for index in range(calls):
            names = enumerate(request["inputs"])
            paths = [_saved(feeds[f"{index}:{name}"], folder / f"{index}-{n}.npy") for n, name in names]
            lines.append(" ".join(paths) + "\n")
    (folder / "dataset.txt").write_text("".join(lines))
    return str(folder / "dataset.txt")


def _call(request: dict[str, Any], folder: Path, index: int) -> list[np.ndarray]:
    with np.load(folder / "feeds.npz") as feeds:
        return [feeds[f"{index}:{name}"] for name in request["inputs"]]


def _saved(value: np.ndarray, path: Path) -> str:
    np.save(path, value)
    return str(path)


def _checked(step: str, status: Any) -> None:
    if status != 0:
        raise RuntimeError(f"{step} gave {status}")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    os.chdir(place)  # the toolkit leaves files where it stands
    asked = json.loads((place / "request.json").read_text())
    answered = {"compile": compile, "run": run, "layers": layers}[asked["command"]](asked, place)
    (place / "answer.json").write_text(json.dumps(answered))
