"""``Job``: one cell for one device, as a JSON file that is pushed beside the bundle."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lumavox._parse import dump_json, load_json, parse, plain
from lumavox.errors import OptionError

from ..cell import Cell
from ..presets import Preset, preset

__all__ = ["Gates", "Job", "RuntimeFaults"]

SCHEMA = 1


@dataclass(frozen=True)
class Gates:
    """Limits that the runner compares with. Defaults: CTA WAVE's device playback tests."""

    start_up_ms: float = 1_000.0
    av_early_ms: float = 40.0  # sound before the picture
    av_late_ms: float = 120.0
    av_share: float = 0.95  # of samples within these two
    missing_start: int = 0
    missing_middle: int = 10
    missing_end: int = 0
    growth_kib_per_s: float = 64.0  # of memory, after the first quarter of a run
    clock_ms: float = 250.0  # wall clock against monotonic clock over the run


@dataclass(frozen=True)
class RuntimeFaults:
    """Faults put between lumavox and the checks, by frame (or block) number; for virtual chipsets only."""

    drop: tuple[int, ...] = ()
    repeat: tuple[int, ...] = ()  # show the frame before in place of this one
    swap: tuple[int, ...] = ()  # exchange with the next one
    delay_growth_ms_per_s: float = 0.0  # sound (or picture) drifts away
    delay_ms: float = 0.0  # a constant one, undeclared
    slow_ms: float = 0.0  # outside of the engine
    leak_kib: int = 0  # each frame
    clock_jump_ms: float = 0.0  # of the wall clock, half-way
    crash_at: int | None = None  # SIGSEGV outside of the engine
    seam: int = 0  # a step of that height in the middle of the picture


@dataclass(frozen=True)
class Job:
    """``bundle`` is a path relative to the folder of the job's file; ``nonce`` comes back in the record, so
    that an old record is never taken for a new one."""

    schema: int
    nonce: str
    cell: Cell
    bundle: str
    variant: str
    frames: int  # frames, or network hops
    paced: bool
    tier: str
    clock: Literal["real", "scripted"] = "real"  # scripted: a call takes what the chipset's script says
    budget_s: float | None = None  # the stream may end after so long with fewer frames; at least 32
    quality: bool = True  # measure it
    loaded: bool = False  # decode and sound run meanwhile
    threads: int = 1
    deadline_ms: float | None = None  # what lumavox is told to hold; None: it may take its time
    reference_variant: str | None = None  # run for comparison: as slow as that is suspicious
    reference_db: tuple[float, ...] = ()  # what the float32 reference reaches on the quality content
    allow_unsigned: bool = False
    gates: Gates = field(default_factory=Gates)
    faults: RuntimeFaults = field(default_factory=RuntimeFaults)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this runner reads jobs of schema {SCHEMA}")
        if self.preset.task != self.cell.task:
            raise OptionError(f"preset {self.cell.preset!r} is not for task {self.cell.task!r}")
        if self.frames < 8:
            raise OptionError(f"frames: {self.frames} are too few to see an order in; at least 8")

    @property
    def preset(self) -> Preset:
        """The preset of the cell."""
        return preset(self.cell.preset)

    def to_json(self) -> bytes:
        """The file's bytes."""
        return dump_json(plain(self))

    @classmethod
    def read(cls, path: Path) -> Job:
        """The job in a file. Raises OptionError that names file and key."""
        return parse(cls, load_json(path.read_bytes(), str(path)), str(path))
