"""The faults that the matrix is tested with: each is put into a virtual device and has to be found.

    for fault in faults(): execute(planned, tier, seeded=fault.seeded, ...)

``device_tests/faults.toml`` holds them. ``culprit`` is the class that a verdict has to name; ``sign`` is
where the evidence is: a status of the first rule (``"FAIL"``), an observation that fails, or one of
``SIGNS``, which are judged against budgets.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ._toml import read
from .cell import Culprit
from .execute import Seeded
from .runner.job import RuntimeFaults

__all__ = ["SIGNS", "Fault", "faults"]

SIGNS = {
    "loop_us": "frames take longer than the deadline of the preset",
    "reference_us": "the accelerator is as slow as the CPU",
    "nodes_on_accelerator": "not all operators run on the accelerator",
    "reference_max_diff": "an exact engine differs from the reference",
    "golden_matches": "an exact engine is not at its golden vector, if within its tolerance",
    "mem_peak_kb": "more memory than the budget",
    "delta_psnr_y_mean": "the picture is further from the truth than the reference's",
    "delta_si_sdr": "the dialog is further from the truth than the reference's",
}


@dataclass(frozen=True)
class Fault:
    """One fault. ``timeout_s``: a fault that hangs is waited for no longer."""

    name: str
    what: str
    task: Literal["sr", "de"]
    culprit: Culprit
    sign: str
    script: Mapping[str, object] = field(default_factory=dict)
    model: Mapping[str, object] = field(default_factory=dict)
    runtime: RuntimeFaults = field(default_factory=RuntimeFaults)
    link: Mapping[str, object] = field(default_factory=dict)
    timeout_s: float | None = None

    @property
    def seeded(self) -> Seeded:
        """The fault as `execute` takes it."""
        return Seeded(self.script, self.model, self.runtime, self.link)


@dataclass(frozen=True)
class _File:
    faults: tuple[Fault, ...]


@functools.cache
def faults(path: Path | None = None) -> tuple[Fault, ...]:
    """All faults of the file. Raises OptionError for an unknown key."""
    package = Path(__file__).parent
    inside = package / "_faults.toml"
    return read(_File, path or (inside if inside.is_file() else package.parent / "faults.toml")).faults
