"""``run_job``: the phases of a run, one after the other.

probe      what device, runtime and engine this is
open       the bundle is verified, the variant opened, its golden vector compared
engine     the bare engine on the test content: what it computes, and how fast
reference  another variant (of the CPU), for comparison
stream     lumavox as a player uses it, on the same content
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from lumavox import __version__, backends

from .job import Job
from .record import Device, Record
from .recorder import PhaseFailed, Recorder

__all__ = ["run_job"]


def run_job(job: Job, bundle: Path, record_path: Path) -> Record:
    """Run the job; the record is complete, or says where it ended."""
    recorder = Recorder(job, record_path)
    try:
        with recorder.phase("probe"):
            recorder.set(device=probe(job.cell.engine))
        recorder.set(complete=True)
    except PhaseFailed:
        pass
    recorder.flush()
    return recorder.record


def probe(engine: str) -> Device:
    """What the device says about itself."""
    model, features = _cpu()
    return Device(
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        runtime=__version__,
        engine_version=backends.get(engine).probe().version,
        cpu=model,
        features=features,
        cores=os.cpu_count(),
        memory_mib=_memory_mib(),
    )


def _cpu() -> tuple[str | None, tuple[str, ...]]:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor() or None, ()
    entries: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        entries.setdefault(name.strip().lower(), value.strip())
    named = entries.get("model name") or entries.get("cpu part") or platform.processor()
    return named or None, tuple((entries.get("features") or entries.get("flags") or "").split())


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError, AttributeError):
        return None
