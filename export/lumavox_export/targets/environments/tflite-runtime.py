"""Runs in the environment ``tflite-runtime``: calls of a ``.tflite`` file, and how long they take."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tflite_runtime.interpreter import Interpreter  # type: ignore[import-not-found]


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    interpreter = Interpreter(model_path=request["model"], num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs, times = interpreter.get_input_details(), {}, []
    with np.load(folder / "feeds.npz") as feeds:
        for index in range(request["calls"]):
            for detail in inputs:
                interpreter.set_tensor(detail["index"], feeds[f"{index}:{detail['name']}"])
            for _ in range(request["repeats"]):
                begin = time.perf_counter()
                interpreter.invoke()
                times.append(time.perf_counter() - begin)
            for detail in interpreter.get_output_details():
                outputs[f"{index}:{detail['name']}"] = interpreter.get_tensor(detail["index"])
    np.savez(folder / "outputs.npz", **outputs)
    return {"median_ms": statistics.median(times) * 1e3, "fastest_ms": min(times) * 1e3}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    answer = run(json.loads((place / "request.json").read_text()), place)
    (place / "answer.json").write_text(json.dumps(answer))
