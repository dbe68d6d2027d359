"""Cells of virtual chipsets for tests. Not a test itself."""

from __future__ import annotations

import math

from lumavox.telemetry import Histogram
from lumavox_matrix.cell import Cell
from lumavox_matrix.lab import devices
from lumavox_matrix.plan import PlannedCell, candidates
from lumavox_matrix.presets import preset
from lumavox_matrix.profile import profile
from lumavox_matrix.result import Result
from lumavox_matrix.tiers import tier
from lumavox_matrix.virtual import virtual_models

GLANCE = tier("glance")


def virtual_cells(chipset: str = "virtual-steady") -> list[PlannedCell]:
    """Every cell of a virtual chipset."""
    found, _ = candidates(devices(profile(chipset)), virtual_models(), tier=GLANCE)
    return found


def virtual_cell(task: str, chipset: str = "virtual-steady") -> PlannedCell:
    """The first one of a task."""
    return next(planned for planned in virtual_cells(chipset) if planned.cell.task == task)


def cell(**parts: str) -> Cell:
    """A cell with some parts of its own."""
    usual = {
        "task": "sr", "model": "sr/a", "model_digest": "0" * 64, "precision": "int8", "preset": "540p30",
        "engine": "litert", "engine_version": "2.3.0", "delegate": "cpu", "soc": "host",
    }  # fmt: skip
    return Cell(**(usual | parts))  # type: ignore[arg-type]


def signs_of(result: Result) -> set[str]:
    """Where the evidence of a fault is, as ``sign`` of `lumavox_matrix.faults` names it."""
    signs = {result.status.value}
    record, cell = result.record, result.cell
    if record is None:
        return signs
    chipset = profile(cell.soc)
    signs |= {o.name for o in record.observations if o.passed is False}
    if record.loop_us:
        loop = Histogram.of(record.loop_us, record.loop_max_us or 0.0)
        if loop.percentile(99) > 1e3 * max(
            chipset.budgets.deadline_of(cell.preset), 1e3 * preset_block_s(cell)
        ):
            signs.add("loop_us")
    if record.engine_us and record.reference_us:
        engine = Histogram.of(record.engine_us, record.engine_max_us or 0.0)
        reference = Histogram.of(record.reference_us, record.reference_max_us or 0.0)
        if engine.percentile(50) * 1.3 > reference.percentile(50):
            signs.add("reference_us")
    floors = {"delta_psnr_y_mean": 0.2, "delta_si_sdr": 0.2}
    signs |= {o.name for o in record.observations if (o.value or 0.0) > floors.get(o.name, math.inf)}
    nodes = record.observation("nodes_on_accelerator")
    if nodes is not None and nodes.value != nodes.limit:
        signs.add("nodes_on_accelerator")
    support = chipset.engine(cell.engine, cell.delegate)
    if support is not None and support.exact:
        exact = (record.observation("golden_matches"), record.observation("reference_max_diff"))
        signs |= {o.name for o in exact if o is not None and o.value}
    memory = chipset.budgets.memory_mib
    peak = record.telemetry.mem_peak_kb if record.telemetry else None
    if memory and peak and peak > 1024 * memory.value:
        signs.add("mem_peak_kb")
    return signs


def preset_block_s(cell: Cell) -> float:
    """Seconds of sound in a block, which is the unit of the loop of task "de"."""
    chosen = preset(cell.preset)
    return chosen.block / chosen.rate if chosen.task == "de" else 0.0
