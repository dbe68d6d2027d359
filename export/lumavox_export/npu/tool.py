"""Calls a vendor's tool: with a time limit, its output kept, and one clear error when it goes wrong.

    said = run_tool([python, "-m", "ethosu.vela", ...], timeout_s=300, folder=job.folder)

The tool runs in a process group of its own, which is ended as a whole when the time is up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import ToolError

LOG = "tool.log"  # in the folder of the call: everything that its tools said
_TAIL_LINES = 12
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # a tool in its own environment must not see ours


def run_tool(
    command: Sequence[str | os.PathLike[str]],
    *,
    timeout_s: float,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run ``command`` in ``folder``; returns what it said (stdout and stderr), also kept in ``LOG``.

    ``environment`` adds to this process's variables. Raises `ToolError` that ends in the tool's last lines
    if it cannot be started, fails, crashes, or takes longer than ``timeout_s``.
    """
    words = [os.fspath(word) for word in command]
    shown = " ".join([Path(words[0]).name, *words[1:3]])
    log = folder / LOG
    with log.open("ab+") as sink:
        begin = sink.seek(0, os.SEEK_END)
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={k: v for k, v in os.environ.items() if k not in _OURS} | dict(environment or {}),
                start_new_session=True,
            )
        except OSError as cause:
            raise ToolError(f"{shown}: cannot be started: {cause}") from cause
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            raise ToolError(
                f"{shown}: not finished after {timeout_s:g} s, ended; allow more with --timeout"
                + _tail(sink, begin)
            ) from None
        except BaseException:
            _end(process)
            raise
        if status != 0:
            how = (
                f"crashed ({signal.Signals(-status).name})" if status < 0 else f"failed (exit code {status})"
            )
            raise ToolError(f"{shown}: {how}{_tail(sink, begin)}")
        return _said(sink, begin)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(sink: object, begin: int) -> str:
    sink.seek(begin)  # type: ignore[attr-defined]
    return str(sink.read().decode(errors="replace"))  # type: ignore[attr-defined]


def _tail(sink: object, begin: int) -> str:
    lines = _said(sink, begin).strip().splitlines()[-_TAIL_LINES:]
    return "; it said nothing" if not lines else "; it said last:\n  " + "\n  ".join(lines)
