"""The runner's entry: ``runner.pyz job.json record.json``. Exit code 0 if a complete record was written."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Sequence
from pathlib import Path

from .clock import ScriptedClock
from .job import Job
from .load import ARGUMENT, decode_like
from .session import run_job

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; whatever the product raises is in the record."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == [ARGUMENT]:
        decode_like()
        return 0
    if len(arguments) != 2:
        print("use: runner.pyz job.json record.json", file=sys.stderr)
        return 2
    faulthandler.enable()  # a crash leaves on standard error whose code it was in
    job_path, record_path = map(Path, arguments)
    job = Job.read(job_path)
    with ScriptedClock(job.clock == "scripted"):
        record = run_job(job, job_path.parent / job.bundle, record_path)
    return 0 if record.complete else 1
