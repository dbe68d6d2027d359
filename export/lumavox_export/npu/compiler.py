"""Compiles networks for targets: rules, rewrites, cache, the tool, tiles, and what is left to the runtime.

    compiler = Compiler(Cache(folder), Environments.default())
    outcome = compiler.compile(network, preset, "ethos-u65-512")
    outcome.record.total_ms, outcome.record.compiled.fallbacks, outcome.folder, outcome.hit

Raises, for one clear reason each: `TargetUnavailableError` (to be reported as SKIP), `RefusedError`,
`ToolError`, `CacheError`. It changes no bundle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from lumavox._bundle_schema import PictureFrontEnd
from lumavox._parse import parse
from lumavox._sr_plan import spans, up_to
from lumavox._version import __version__

from .. import formats, targets
from ..engines import open_tflite
from ..errors import NotCompiledError, RefusedError, TargetUnavailableError
from ..graph import Graph, Op, Port
from ..targets.base import Availability, Compiled, Family, Job, Simulator, Target
from . import agreement
from .agreement import Agreement
from .cache import Cache, key_of
from .environments import Environments
from .lint import legal
from .network import Network
from .presets import Preset

DEFAULT_TIMEOUT_S = 600.0
# Rows and columns of tiles, in the order in which they are tried.
_GRIDS = ((1, 1), (1, 2), (1, 3), (1, 4), (2, 4), (2, 6), (2, 8), (4, 8), (4, 12))
_RUNS = 15


@dataclass(frozen=True)
class Record:
    """What is kept of one compilation; ``record.json`` of its cache entry."""

    model: str
    version: str
    content: str
    precision: str
    variant: str
    digest: str  # sha256 of the variant's file
    target: str
    preset: str
    rewrites: tuple[str, ...]
    tiles: int  # calls for one picture
    height: int  # of the input of one call; 0 for sound
    width: int
    compiled: Compiled
    tail_ms: float  # measured here, of the operators left to the runtime, per picture
    seconds: float  # that compiling took

    @property
    def total_ms(self) -> float | None:
        """Per picture or hop: all tiles, and what the runtime does."""
        per_call = self.compiled.npu_ms
        return None if per_call is None else per_call * self.tiles + self.tail_ms


@dataclass(frozen=True)
class Outcome:
    """A record, its files, and whether they were there before."""

    record: Record
    folder: Path
    hit: bool
    network: Network  # as the target has it


@dataclass(frozen=True)
class Compiler:
    """``timeout_s`` limits each call of a tool; ``cached_only`` calls none (`NotCompiledError` instead)."""

    cache: Cache
    environments: Environments
    timeout_s: float = DEFAULT_TIMEOUT_S
    cached_only: bool = False

    def compile(self, network: Network, preset: Preset, target_name: str) -> Outcome:
        """One network, size and target; a picture in as many tiles as are quickest, or as SRAM asks for."""
        target, family, here = self._available(target_name)
        _check_multiple(network, preset)
        whole = network.fixed(preset)
        limit = target.rules.sram_kib
        best: Outcome | None = None
        needed = 0.0
        for grid in _GRIDS if target.rules.tiles and network.task == "sr" else _GRIDS[:1]:
            tile = _tile(network, preset, grid)
            if tile is None:
                continue
            rewritten = legal(network.fixed(tile), target)
            outcome = self._compile(rewritten, whole, tile, target, family, here, grid[0] * grid[1])
            needed = outcome.record.compiled.sram_kib or 0.0
            if limit is not None and needed > limit:
                continue
            if best is not None and not _quicker(outcome, best):
                break
            best = outcome
        if best is None:
            raise RefusedError(
                f"{network.model} at {preset.name} does not fit {target.name}: its tiles still need "
                f"{needed:.0f} of {limit} KiB SRAM; use a smaller preset or network"
            )
        return dataclasses.replace(best, record=dataclasses.replace(best.record, preset=preset.name))

    def agreement(self, network: Network, target_name: str) -> Agreement | str:
        """What the target computes against the reference; else the reason why it is not known."""
        target, family, here = self._available(target_name)
        if not hasattr(family, "simulate"):
            return f"{here.tool} has no simulator"
        preset = agreement.preset_of(network)
        whole = network.fixed(preset)
        rewritten = legal(whole, target)
        outcome = self._compile(rewritten, whole, preset, target, family, here, 1)
        key = key_of({"of": outcome.folder.name, "what": "agreement", "lumavox": __version__})
        known = self.cache.fetch(key, Agreement)
        if known is not None:
            return known
        self._may_call_tools()
        job = Job(rewritten, preset, outcome.folder, self.timeout_s, self.environments)
        simulator = cast(Simulator, family)
        engine = getattr(target, "simulator", f"{here.tool} {here.version}")
        found = agreement.measure(
            whole,
            rewritten,
            lambda feeds: simulator.simulate(target, job, outcome.record.compiled, feeds),
            engine,
        )
        with self.cache.room() as room:
            self.cache.store(key, room, found)
        return found

    def _may_call_tools(self) -> None:
        if self.cached_only:
            raise NotCompiledError("not compiled yet; the command without --cached and --target does it")

    def _available(self, name: str) -> tuple[Target, Family, Availability]:
        target, family = targets.get(name)
        here = family.availability(target, self.environments)
        if not here.usable:
            raise TargetUnavailableError(f"{name}: SKIP: {here.reason}; make it usable with: {here.install}")
        return target, family, here

    def _compile(
        self,
        network: Network,
        whole: Network,
        preset: Preset,
        target: Target,
        family: Family,
        here: Availability,
        tiles: int,
    ) -> Outcome:
        key = key_of(
            {
                "lumavox": __version__,
                "network": network.digest,
                "graph": [f"{type(op).__name__} {op.output}" for op in network.graph.ops]
                + ["float16"] * network.half,
                "target": {"class": type(target).__name__, **_settings(target)},
                "family": _code_of(family),
                "tool": [here.tool, here.version],
                "size": [preset.height, preset.width, tiles],
            }
        )
        known = self.cache.fetch(key, Record)
        if known is not None:
            return Outcome(known, self.cache.path(key), True, network)
        self._may_call_tools()
        with self.cache.room() as room:
            begin = time.perf_counter()
            compiled = family.compile(target, Job(network, preset, room, self.timeout_s, self.environments))
            record = Record(
                model=network.model,
                version=network.version,
                content=network.content,
                precision=network.precision,
                variant=network.variant,
                digest=network.digest,
                target=target.name,
                preset=preset.name,
                rewrites=network.rewrites,
                tiles=tiles,
                height=preset.height,
                width=preset.width,
                compiled=compiled,
                tail_ms=_tail_ms(network.tail, network, whole),
                seconds=round(time.perf_counter() - begin, 3),
            )
            return Outcome(record, self.cache.store(key, room, record), False, network)


def _settings(target: Target) -> dict[str, object]:
    """The target's own fields as text; descriptions do not matter."""
    names = [f.name for f in dataclasses.fields(target) if f.name != "description"]
    return {name: _text(getattr(target, name)) for name in names}


def _code_of(family: Family) -> str:
    """The digest of the family's file: what it does with the tool is part of the result."""
    file = getattr(family, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _text(value: object) -> str:
    return getattr(value, "__qualname__", None) or repr(value)


def _quicker(outcome: Outcome, than: Outcome) -> bool:
    times = outcome.record.total_ms, than.record.total_ms
    return times[0] is not None and times[1] is not None and times[0] < times[1]


def _check_multiple(network: Network, preset: Preset) -> None:
    """Networks with a stride take multiples only; at run time pictures are padded to the compiled size."""
    if network.task != "sr":
        return
    multiple = parse(PictureFrontEnd, network.front_end, network.model).multiple
    height, width = up_to(preset.height, multiple), up_to(preset.width, multiple)
    if (height, width) != (preset.height, preset.width):
        raise RefusedError(
            f"{network.model} takes heights and widths that are multiples of {multiple}, "
            f"{preset.width}x{preset.height} is not; compile it for {width}x{height}, the runtime pads"
        )


def _tile(network: Network, preset: Preset, grid: tuple[int, int]) -> Preset | None:
    """The size of each tile of a grid of (rows, columns) that overlap by the network's reach; None if there
    is no such grid.

    The runtime cuts pictures likewise (``lumavox._sr_plan``): what is kept of a tile depends on no pixel
    outside it, so there is no seam. Narrow tiles come first, since what NPUs keep in SRAM from one layer to
    the next are rows.
    """
    if grid == (1, 1):
        return preset
    front_end = parse(PictureFrontEnd, network.front_end, network.model)
    overlap = up_to(front_end.receptive_field // 2, front_end.multiple)
    sides = []
    for length, count in zip((preset.height, preset.width), grid):
        part = up_to(-(-(length - 2 * overlap) // count), front_end.multiple) + 2 * overlap
        sides.append(length if count == 1 else part)
        if len(spans(length, sides[-1], overlap)) != count:
            return None
    return Preset(f"{preset.name}-tile{grid[0]}x{grid[1]}", *sides)


def _tail_ms(tail: Sequence[Op], network: Network, whole: Network) -> float:
    """The operators left to the runtime on one picture, on one thread of this CPU, median."""
    if not tail:
        return 0.0
    cut = whole.graph.shapes[tail[0].inputs[0]]
    source = Port(tail[0].inputs[0], cut)
    graph = Graph((source,), tuple(tail), (Port(tail[-1].output, whole.graph.shapes[tail[-1].output]),))
    run = open_tflite(formats.get("tflite").write(graph, network.plan))
    dtype = "float32" if network.plan is None else network.plan.tensors[source.name].dtype
    feeds = {source.name: np.zeros(cut, dtype)}
    run(feeds)
    times = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        run(feeds)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3
