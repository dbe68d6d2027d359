"""``Cell``: one combination of the matrix, and the words that its results are told in.

A cell's key names everything that can change a result: firmware, driver and compiler too. Two cells with
the same ``digest`` are the same experiment, on whatever day and in whatever lab. How long a run takes and
what else runs meanwhile (tier and load) belong to the run, not to the cell.

    cell = Cell(task="sr", model="sr/base-x2", model_digest=bundle.digest, precision="int8", preset="540p30",
                engine="litert", engine_version="2.3.0", delegate="cpu", soc="nxp-imx93")
    cell.digest                              # 16 hex digits
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from lumavox.errors import OptionError

__all__ = ["AXES", "Cell", "Culprit", "Rung", "Status"]

UNKNOWN = "unknown"
"""The value of a key part that nobody could tell, such as the driver of a set-top box. It is not a
wildcard: a cell with a known driver is another cell."""


class Status(str, enum.Enum):
    """What became of a run of a cell; the worst first."""

    FAIL = "FAIL"  # the product is wrong
    ERROR = "ERROR"  # the test or the lab is wrong
    MISS = "MISS"  # nothing was reported
    PASS = "PASS"
    DONE = "DONE"  # measured, not judged
    SKIP = "SKIP"  # not run, with a reason

    @property
    def severity(self) -> int:
        """0 is the worst; the order that reports sort by."""
        return list(Status).index(self)


class Rung(str, enum.Enum):
    """How a number was obtained, the strongest evidence first; never shown as a higher one than it is."""

    MEASURED = "measured"  # on that silicon
    EMULATED = "emulated"  # the device's instruction set under an emulator: its times are never latencies
    SIMULATED = "simulated"  # the vendor's simulator or performance model, or a scripted device
    COMPILED = "compiled"  # the vendor's compiler accepted it, operators on the accelerator were counted
    PREDICTED = "predicted"  # from a cost model

    @property
    def level(self) -> int:
        """4 for measured down to 0 for predicted."""
        return len(Rung) - 1 - list(Rung).index(self)

    @property
    def times_are_latencies(self) -> bool:
        """Whether a duration says something about the device."""
        return self is not Rung.EMULATED


class Culprit(str, enum.Enum):
    """Whose fault it is."""

    MODEL = "model"  # weights, quantization, conversion
    RUNTIME = "runtime"  # the lumavox package
    DRIVER = "driver"  # engine, delegate, driver, firmware, silicon
    HARNESS = "harness"  # the matrix, the lab, the link, the board's clock


@dataclass(frozen=True, order=True)
class Cell:
    """The key. Every part is text; what nobody knows is ``"unknown"``, what does not apply is ``"none"``."""

    task: Literal["sr", "de"]
    model: str  # the bundle's id, for reading; `model_digest` is what counts
    model_digest: str
    precision: str
    preset: str
    engine: str  # backend of lumavox: "litert", "ort", "virtual"
    engine_version: str
    delegate: str  # delegate or execution provider: "cpu", "ethos-u", "qnn"
    soc: str  # name of the chipset profile
    compiler: str = "none"  # with its version, for variants compiled ahead of time
    driver: str = UNKNOWN
    firmware: str = UNKNOWN
    qos: str = "sustained"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, str) or not value or len(value) > 200 or value != value.strip():
                raise OptionError(f"cell: {name} must be a text of 1 to 200 characters, got {value!r}")

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it this cell, in the order of ``AXES``."""
        return tuple(getattr(self, axis) for axis in AXES)

    @functools.cached_property
    def digest(self) -> str:
        """16 hex digits of the key, the same in every process and version of Python."""
        text = json.dumps(self.key, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        engine = f"{self.engine} {self.engine_version}/{self.delegate}"
        return f"{self.soc} · {self.model} {self.precision} · {engine} · {self.preset} · {self.qos}"


AXES: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(Cell) if f.name != "model")
"""The parts of the key, without the model's readable name."""
