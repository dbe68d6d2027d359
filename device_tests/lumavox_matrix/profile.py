"""``ChipsetProfile``: one chipset as far as it is known, from one TOML file of ``device_tests/chipsets``.

Every fact names its source, a key of ``[sources]``; a fact that nobody has found is named in ``unknown``.
There is no third way: a fact that is neither is an error, so that a gap is never an oversight and a figure
never an invention. An unknown key is an error that names the nearest known one.

    profile("nxp-imx93").soc.npu.value           # "Arm Ethos-U65"
    [p.name for p in profiles()]

    name = "nxp-imx93"                           # the file's name
    kind = "silicon"                             # "silicon", "host" or "virtual"
    unknown = ["soc.memory_mib"]
    [sources]
    ds = "NXP, i.MX 93 data sheet, https://..."
    [soc]
    npu = { value = "Arm Ethos-U65", source = "ds" }
    [[engines]]                                  # what lumavox can be run with there
    engine = "litert"                            # a backend of lumavox
    delegate = "cpu"
    versions = ">=2.3"                           # which versions of it are expected to work
    precisions = ["int8", "float32"]
    source = "ds"
    [[links]]                                    # how a device of this kind is reached without an address
    kind = "qemu"
    options = { cpu = "cortex-a55" }
    [[gaps]]                                     # what is known not to work; strict: if it does, that is news
    engine = "ort"
    status = "FAIL"
    reason = "..."

What it is not: a list of boards. A board with its address is a device of a lab file (``lab``).
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lumavox.backends.virtual import Script
from lumavox.errors import OptionError, unknown_message

from ._toml import read
from .cell import Cell, Rung, Status
from .presets import PRESETS, preset
from .versions import VersionRange

__all__ = [
    "Budgets", "ChipsetProfile", "EngineSupport", "Firmware", "KnownGap", "LinkChoice", "NumberFact", "Soc",
    "TextFact", "TextsFact", "profile", "profiles",
]  # fmt: skip

SCHEMA = 1


@dataclass(frozen=True)
class TextFact:
    """A fact in words, and where it was read."""

    value: str
    source: str


@dataclass(frozen=True)
class TextsFact:
    """A list of names, and where it was read."""

    value: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class NumberFact:
    """A number in the unit of its key, and where it was read."""

    value: float
    source: str


@dataclass(frozen=True)
class Soc:
    """The silicon."""

    vendor: str
    model: str  # as its maker writes it
    cores: TextsFact | None = None  # "4x Cortex-A73", the largest first
    isa: TextFact | None = None  # "armv8.2-a", "x86-64-v3"
    features: TextsFact | None = None  # as /proc/cpuinfo names them: "asimddp", "i8mm", "avx512_vnni"
    npu: TextFact | None = None
    npu_tops: NumberFact | None = None  # int8, 10**12 operations a second, as its maker states it
    npu_data_types: TextsFact | None = None
    gpu: TextFact | None = None
    memory_mib: NumberFact | None = None  # of the typical board
    memory_type: TextFact | None = None


@dataclass(frozen=True)
class EngineSupport:
    """A backend of lumavox and a delegate of it on this chipset. ``rung``: the strongest evidence that can
    be had there; ``compiled`` and ``simulated`` ones are vendor tools on a host, not a device."""

    engine: str
    delegate: str
    versions: str
    precisions: tuple[Literal["float32", "int8", "w8a16"], ...]
    source: str
    target: str = "cpu"  # the bundle variants that it runs
    tasks: tuple[Literal["sr", "de"], ...] = ("sr", "de")
    compiler: str = "none"  # with its version, if variants are compiled ahead of time
    rung: Rung | None = None
    exact: bool = False  # outputs must equal the golden vectors bit for bit

    def __post_init__(self) -> None:
        VersionRange(self.versions)


@dataclass(frozen=True)
class Budgets:
    """Limits that a product on this chipset must hold, in addition to the gates that hold everywhere."""

    deadline_ms: Mapping[str, NumberFact] = field(default_factory=dict)  # by preset; else its interval
    init_ms: NumberFact | None = None  # from opening to the first enhanced frame
    memory_mib: NumberFact | None = None  # peak of the process
    added_latency_ms: NumberFact | None = None  # of sound and of picture

    def __post_init__(self) -> None:
        for name in self.deadline_ms:
            preset(name)

    def deadline_of(self, name: str) -> float:
        """Milliseconds that a frame (or hop) of a preset may take."""
        given = self.deadline_ms.get(name)
        return given.value if given else preset(name).interval_ms


@dataclass(frozen=True)
class Firmware:
    """Shell commands that tell what runs on a device; the first line of their output is the version."""

    firmware: TextFact | None = None
    driver: TextFact | None = None


@dataclass(frozen=True)
class LinkChoice:
    """A way to reach a device of this kind that needs no address; ``options`` are the link's own."""

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)
    name: str | None = None  # the device is called <chipset>-<name>; else by the link's place in the list
    firmware: str | None = None  # version, where it is decided here (emulated and virtual devices)
    driver: str | None = None
    engines: Mapping[str, str] = field(default_factory=dict)  # engine -> version, likewise


@dataclass(frozen=True)
class KnownGap:
    """Cells that are known not to pass, by shell patterns of their parts, and why."""

    status: Status
    reason: str
    task: str = "*"
    model: str = "*"
    precision: str = "*"
    preset: str = "*"
    engine: str = "*"
    engine_version: str = "*"
    delegate: str = "*"
    firmware: str = "*"
    driver: str = "*"

    def covers(self, cell: Cell) -> bool:
        """Whether the gap is about this cell."""
        parts = (f.name for f in dataclasses.fields(self) if f.name not in ("status", "reason"))
        return all(fnmatch.fnmatchcase(getattr(cell, part), getattr(self, part)) for part in parts)


@dataclass(frozen=True)
class ChipsetProfile:
    """See the module's docstring."""

    schema: int
    name: str
    title: str
    kind: Literal["silicon", "host", "virtual"]
    soc: Soc
    engines: tuple[EngineSupport, ...]
    sources: Mapping[str, str]
    presets: tuple[str, ...]  # what a product of this class is expected to play
    firmware: Firmware = field(default_factory=Firmware)
    budgets: Budgets = field(default_factory=Budgets)
    links: tuple[LinkChoice, ...] = ()
    gaps: tuple[KnownGap, ...] = ()
    unknown: tuple[str, ...] = ()  # facts that were looked for and not found, as "soc.npu_tops"
    notes: str = ""
    script: Script | None = None  # kind "virtual": how its engine behaves
    cpu_delay_ms: float | None = None  # kind "virtual": a call on its CPU; None: ten times the script's
    real_time: bool = False  # kind "virtual": calls take real time, in place of a scripted clock

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this version reads chipset profiles of schema {SCHEMA}")
        for name in self.presets:
            if name not in PRESETS:
                raise OptionError.unknown("preset", name, PRESETS, "presets")
        if (self.kind == "virtual") != (self.script is not None):
            raise OptionError("script: a virtual chipset has one, and no other kind has")
        for place, source in self._cited():
            if source not in self.sources:
                raise OptionError(unknown_message("source", source, self.sources, place))
        if self.kind == "silicon":
            self._require_complete()

    @property
    def scripted_clock(self) -> bool:
        """Whether time on it is a number in a script, and none passes."""
        return self.kind == "virtual" and not self.real_time

    def engine(self, engine: str, delegate: str) -> EngineSupport | None:
        """The support of an engine with a delegate, None if there is none."""
        pairs = ((e.engine, e.delegate) for e in self.engines)
        return next((e for e, pair in zip(self.engines, pairs) if pair == (engine, delegate)), None)

    def gap_for(self, cell: Cell) -> KnownGap | None:
        """The first known gap that covers a cell."""
        return next((gap for gap in self.gaps if gap.covers(cell)), None)

    def facts(self) -> dict[str, TextFact | TextsFact | NumberFact | None]:
        """Every fact by its dotted place; None for those that are not known."""
        found: dict[str, TextFact | TextsFact | NumberFact | None] = {}
        for group in ("soc", "firmware", "budgets"):
            section = getattr(self, group)
            for item in dataclasses.fields(section):
                value = getattr(section, item.name)
                if value is None or isinstance(value, (TextFact, TextsFact, NumberFact)):
                    found[f"{group}.{item.name}"] = value
        return found

    def _cited(self) -> list[tuple[str, str]]:
        cited = [(place, fact.source) for place, fact in self.facts().items() if fact is not None]
        cited += [(f"budgets.deadline_ms.{n}", f.source) for n, f in self.budgets.deadline_ms.items()]
        return cited + [(f"engines[{i}].source", e.source) for i, e in enumerate(self.engines)]

    def _require_complete(self) -> None:
        facts = self.facts()
        for place in self.unknown:
            if place not in facts:
                raise OptionError.unknown("fact", place, facts, "unknown")
            if facts[place] is not None:
                raise OptionError(f"unknown: {place!r} is given; take it out of the list")
        absent = [place for place, fact in facts.items() if fact is None and place not in self.unknown]
        if absent:
            raise OptionError(
                f"{', '.join(absent)}: give the fact with its source, or name it in 'unknown' "
                "(what nobody has found is a fact too)"
            )


def chipsets_folder() -> Path:
    """Where the shipped profiles are: beside the package in a source checkout, inside it in a wheel."""
    package = Path(__file__).parent
    inside = package / "_chipsets"
    return inside if inside.is_dir() else package.parent / "chipsets"


@functools.cache
def _read(path: Path) -> ChipsetProfile:
    found = read(ChipsetProfile, path)
    if found.name != path.stem:
        raise OptionError(f"{path}: name {found.name!r} is not the file's name {path.stem!r}")
    return found


def profiles(*folders: Path) -> list[ChipsetProfile]:
    """Every profile of the folders (of the shipped ones if none is given), by name."""
    paths = [path for folder in (folders or (chipsets_folder(),)) for path in folder.glob("*.toml")]
    return [_read(path) for path in sorted(paths, key=lambda p: p.stem)]


@functools.cache
def profile(name: str, *folders: Path) -> ChipsetProfile:
    """The profile of that name. Raises OptionError naming the nearest."""
    found = {p.stem: p for folder in (folders or (chipsets_folder(),)) for p in folder.glob("*.toml")}
    if name not in found:
        raise OptionError.unknown("chipset", name, found)
    return _read(found[name])
