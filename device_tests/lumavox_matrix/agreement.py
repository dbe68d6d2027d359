"""``must_agree``: which cells compute the same bits, whatever they run on; ``agreements``: whether they do.

Integer networks have one right answer. Where two builds of a library use the same arithmetic, a difference
is a fault: of a kernel, a compiler, an emulator or the silicon. What must be equal was measured (int8,
activations with sign): LiteRT's XNNPACK kernels on every processor; those of ONNX Runtime and
tflite-runtime on every Arm (tflite-runtime: 32 and 64 bits). On x86 these two round otherwise: ONNX Runtime
by one step in 36 of 98,304 outputs of the deepest network, tflite-runtime by one step in 0.07 %.

    agreements(store.results())             # one for every model, preset and library
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .cell import Cell
from .result import Result
from .runner.record import Record

__all__ = ["Agreement", "agreements", "must_agree"]

_ARM = ("aarch64", "arm64", "armv7l", "armv8l")
_BY_FAMILY = ("onnxruntime", "tflite-runtime")
"""The libraries whose arithmetic depends on the family of processors."""


@dataclass(frozen=True)
class Agreement:
    """Cells that must compute the same: ``outputs`` by chipset (and number of the device, where one has
    several), each the SHA-256 of the engine's outputs on the test content."""

    model: str
    preset: str
    library: str
    outputs: dict[str, str]

    @property
    def equal(self) -> bool:
        """Whether they do."""
        return len(set(self.outputs.values())) == 1


def must_agree(cell: Cell, record: Record | None) -> tuple[str, ...] | None:
    """Runs with the same key have the same outputs; None if nothing is known about this one."""
    if record is None or record.device is None or record.device.engine_library is None:
        return None
    if cell.precision != "int8" or cell.delegate != "cpu" or cell.engine == "virtual":
        return None
    library, machine = record.device.engine_library, record.device.machine
    family = "" if not library.startswith(_BY_FAMILY) else "arm" if machine in _ARM else machine
    return (cell.model, cell.model_digest, cell.preset, library, family)


def agreements(results: Iterable[Result]) -> list[Agreement]:
    """Of the newest run of each cell, sorted; cells without outputs are left out, and groups of one too."""
    newest: dict[Cell, Result] = {}
    for result in results:
        if result.record is not None and result.record.output_sha256 is not None:
            before = newest.get(result.cell)
            if before is None or before.began_ms <= result.began_ms:
                newest[result.cell] = result
    groups: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for cell, result in newest.items():
        key = must_agree(cell, result.record)
        assert result.record is not None and result.record.output_sha256 is not None
        if key is not None:
            groups[key][result.device] = result.record.output_sha256
    return [
        Agreement(key[0], key[2], key[3], dict(sorted(outputs.items())))
        for key, outputs in sorted(groups.items())
        if len(outputs) > 1
    ]
