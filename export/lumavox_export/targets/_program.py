"""Calls the program of an isolated environment: `call`.

Beside ``environments/<name>.txt`` stands ``<name>.py``: what is done in that environment, the only file
that imports its packages. It is started as ``python -I <name>.py FOLDER``; the folder holds ``request.json``
and ``feeds.npz`` (arrays named ``<call>:<tensor>``), the program leaves ``answer.json`` and, when it ran
the network, ``outputs.npz`` there. What the tool refuses is an answer; a traceback is a `ToolError`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ToolError
from ..npu.environments import FILES
from ..npu.tool import run_tool
from .base import Job

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Answer:
    """``said`` is all that the tool printed; ``outputs`` one mapping per call of the network."""

    values: Mapping[str, Any]
    outputs: Sequence[dict[str, NDArray[Any]]]
    said: str


def call(
    job: Job, environment: str, request: Mapping[str, Any], feeds: Sequence[Arrays] = (), *, keep_log: bool
) -> Answer:
    """Run the program of ``environment``. ``keep_log`` leaves what it said in the job's folder.

    Raises `ToolError` if it fails, is too slow, or gives no answer, and `TargetUnavailableError`.
    """
    python = job.environments.python(environment)
    program = FILES / f"{environment}.py"
    with tempfile.TemporaryDirectory(prefix=f"lumavox-{environment}-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps(request))
        named = {f"{index}:{key}": value for index, feed in enumerate(feeds) for key, value in feed.items()}
        np.savez(folder / "feeds.npz", **named)  # type: ignore[arg-type]
        said = run_tool(
            [python, "-I", program, folder],
            timeout_s=job.timeout_s,
            folder=job.folder if keep_log else folder,
        )
        try:
            values = json.loads((folder / "answer.json").read_text())
        except (OSError, ValueError) as cause:
            raise ToolError(f"{program.name}: ended without an answer ({cause})") from cause
        return Answer(values, _outputs(folder / "outputs.npz", len(feeds)), said)


def _outputs(path: Path, calls: int) -> list[dict[str, NDArray[Any]]]:
    outputs: list[dict[str, NDArray[Any]]] = [{} for _ in range(calls)]
    if path.is_file():
        with np.load(path) as arrays:
            for name in arrays.files:
                index, _, key = name.partition(":")
                outputs[int(index)][key] = arrays[name]
    return outputs
