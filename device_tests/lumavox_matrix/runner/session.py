"""``run_job``: the phases of a run, one after the other.

probe      what device, runtime and engine this is
open       the bundle is verified, the variant opened, its golden vector compared
engine     the bare engine on the test content: what it computes, and how fast
quality    the bare engine on content whose truth is known: what is lost against the float32 reference
reference  another variant (of the CPU), for comparison
stream     lumavox as a player uses it, on the same content
"""

from __future__ import annotations

import dataclasses
import os
import platform
from pathlib import Path

from lumavox import __version__, backends
from lumavox._system import text_of
from lumavox.bundle import Bundle
from lumavox.session import Session

from .engine import engine_phase, observe_golden, reference_phase
from .job import Job
from .load import Load
from .quality import quality_phase
from .record import Device, Memory, Record
from .recorder import PhaseFailed, Recorder
from .stream import rss_kib
from .stream_de import stream_de
from .stream_sr import stream_sr

__all__ = ["only", "run_job"]


def run_job(job: Job, bundle_path: Path, record_path: Path) -> Record:
    """Run the job; the record is complete, or says where it ended."""
    recorder = Recorder(job, record_path)
    try:
        with recorder.phase("probe"):
            recorder.set(device=probe(job.cell.engine), memory=Memory(start_kib=rss_kib()))
        with recorder.phase("open"):
            bundle = Bundle.open(bundle_path, task=job.cell.task, allow_unsigned=job.allow_unsigned)
            session = _open(job, bundle, job.variant)
            observe_golden(session, recorder)
            recorder.set(memory=Memory(start_kib=recorder.record.memory.start_kib, opened_kib=rss_kib()))
        with session:
            with recorder.phase("engine"):
                first = engine_phase(job, session, recorder)
            if job.quality:
                with recorder.phase("quality"):
                    quality_phase(job, session, recorder)
        if job.reference_variant is not None:
            with recorder.phase("reference"), _open(job, bundle, job.reference_variant) as reference:
                reference_phase(job, reference, recorder, first)
        with recorder.phase("stream"), Load(job.loaded):
            stream = stream_sr if job.cell.task == "sr" else stream_de
            stream(job, only(bundle, job.variant), recorder)
        recorder.set(complete=True)
    except PhaseFailed:
        pass
    recorder.flush()
    return recorder.record


def only(bundle: Bundle, variant: str) -> Bundle:
    """The bundle with that one variant, so that nothing else can be chosen. The planner has matched its
    target with the chipset; the runtime by itself would only take what is for any CPU."""
    only = dataclasses.replace(bundle.variant(variant), target="cpu")
    return dataclasses.replace(bundle, variants=(only,))


def _open(job: Job, bundle: Bundle, variant: str) -> Session:
    return Session.open(only(bundle, variant), backend=job.cell.engine, threads=job.threads)


def probe(engine: str) -> Device:
    """What the device says about itself."""
    model, features = _cpu()
    library = backends.get(engine).probe()
    return Device(
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        runtime=__version__,
        engine_version=library.version,
        engine_library=library.reason if library.usable else None,
        cpu=model,
        features=features,
        cores=os.cpu_count(),
        memory_mib=_memory_mib(),
    )


def _cpu() -> tuple[str | None, tuple[str, ...]]:
    entries: dict[str, str] = {}
    for line in text_of("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        entries.setdefault(name.strip().lower(), value.strip())
    named = entries.get("model name") or entries.get("cpu part") or platform.processor()
    return named or None, tuple((entries.get("features") or entries.get("flags") or "").split())


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError, AttributeError):
        return None
