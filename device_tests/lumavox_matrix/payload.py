"""What is pushed to a device: the bundle, the runtime, and one self-contained runner.

folder = stage(job, bundle_path, work)          # a folder with everything, to push as "payload"
command(link.python)                            # the command to run in it
RECORD                                          # what to pull afterwards

payload/lumavox/        the runtime, without shipped models; left out if the device has its own
payload/runner.pyz      ``lumavox_matrix.runner`` and what it needs
payload/bundle/ or bundle.zip
payload/job.json
"""

from __future__ import annotations

import functools
import io
import shutil
import zipfile
from pathlib import Path

import lumavox

from .runner.job import Job

__all__ = ["FOLDER", "RECORD", "command", "environment", "stage"]

FOLDER = "payload"
RECORD = f"{FOLDER}/record.json"
RUNNER = f"{FOLDER}/runner.pyz"
DEVICE_MODULES = ("__init__", "cell", "presets", "tiers")
"""The modules beside ``runner/`` that run on the device."""

_PACKAGE = Path(__file__).parent
_MAIN = b"from lumavox_matrix.runner.main import main\n\nraise SystemExit(main())\n"


def command(python: str) -> list[str]:
    """Run the runner in the pushed folder."""
    return [python, RUNNER, f"{FOLDER}/job.json", RECORD]


def environment(runtime: str | None) -> dict[str, str]:
    """Variables for the command: where the runtime is (None: in the payload), and one thread for numeric
    libraries."""
    found = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    return found | {"PYTHONPATH": FOLDER if runtime is None else runtime}


def stage(job: Job, bundle: Path, work: Path, *, with_runtime: bool = True) -> Path:
    """Put everything in ``work``/payload and return that folder. ``job.bundle`` names the bundle in it."""
    folder = work / FOLDER
    folder.mkdir(parents=True)
    (folder / "runner.pyz").write_bytes(runner())
    (folder / "job.json").write_bytes(job.to_json())
    if bundle.is_dir():
        shutil.copytree(bundle, folder / job.bundle)
    else:
        shutil.copyfile(bundle, folder / job.bundle)
    if with_runtime:
        ignore = shutil.ignore_patterns("__pycache__", "_models")
        shutil.copytree(Path(lumavox.__file__).parent, folder / "lumavox", ignore=ignore)
    return folder


@functools.cache
def runner() -> bytes:
    """The bytes of ``runner.pyz``, the same for the same sources."""
    files = {f"lumavox_matrix/{name}.py": _PACKAGE / f"{name}.py" for name in DEVICE_MODULES}
    files |= {f"lumavox_matrix/runner/{p.name}": p for p in (_PACKAGE / "runner").glob("*.py")}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {
            "__main__.py": _MAIN,
            **{n: p.read_bytes() for n, p in sorted(files.items())},
        }.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
