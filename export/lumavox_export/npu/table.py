"""The table of targets and models for the documents: `targets_table`, Markdown, no cell empty.

One part per model, one row per target, and one more for each further width that the bundle has and the target
takes. Where a target has no simulator the quality is of the model's own files (`measured`). Why something
is not known, refused or skipped stands in numbered notes below. Networks of a model for several kinds of
content have the same operators; the first one is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from lumavox.bundle import Bundle
from lumavox.errors import LumavoxError

from .. import targets
from ..errors import NotCompiledError, TargetUnavailableError
from ..evaluation import table_of
from ..progress import progress
from ..targets.base import Fallback, Target
from .agreement import Agreement
from .compiler import Compiler, Outcome
from .measured import quality_of
from .network import Network, Precision, networks
from .presets import Preset

_NAMED = 3  # operators on the CPU, in a cell
_HEAD = """# Models on targets

Written by `lumavox-export compile --all --table docs/targets.md`; nothing here is typed.

Rung: **measured** on the CPU of the machine that wrote this table (one thread, busy or not); **simulated**
by the vendor's simulator or performance model, no hardware; **compiled** only. Times are for one picture
or one hop of sound, with all tiles and with what the runtime does itself on one thread of that CPU (told
apart where it is not nothing). "On NPU" is the share of the network's operators that the target executes.
Quality is PSNR against the float network (pictures) or SI-SDR of the mask against it (sound); in brackets
that of the integer reference. Where a target cannot be simulated it is what was measured of the model's own
files, against the true pictures or dialog.
"""


@dataclass
class _Notes:
    """Numbered reasons, each once."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def lines(self) -> str:
        return "\n".join(f"{number}. {text}" for number, text in enumerate(self.texts, 1))


@dataclass(frozen=True)
class _Part:
    """What the rows of one model share."""

    bundle: Path
    compiler: Compiler
    presets: Sequence[Preset]
    notes: _Notes


def targets_table(
    models: Sequence[tuple[Bundle, Path]], compiler: Compiler, names: Collection[str] = ()
) -> str:
    """Compile every model for every target at every preset, as far as it goes, and tell.

    ``models``: bundles and where they lie. ``names``: only these targets are compiled for, others are shown
    as far as they are in the cache (none: all are compiled for).
    """
    return "\n\n".join([_HEAD.rstrip(), *(_model(*model, compiler, names) for model in models)]) + "\n"


def _model(bundle: Bundle, path: Path, compiler: Compiler, names: Collection[str]) -> str:
    own = [v for v in bundle.variants if v.engine == "tflite" and v.target == "cpu"]
    there: set[Precision] = {v.precision for v in own}
    found = {precision: networks(bundle, precision)[0] for precision in there}
    presets, notes = next(iter(found.values())).presets(), _Notes()
    part = _Part(path, compiler, presets, notes)
    known = replace(part, compiler=replace(compiler, cached_only=True))
    rows = [
        _row(target, found[precision], part if not names or target.name in names else known)
        for target in progress(targets.available(), bundle.id)
        for precision in _shown(target, there)
    ]
    head = ["target", "on NPU", "left to the CPU", *(p.name for p in presets), "quality, dB", "rung"]
    parts = [f"## `{bundle.id}` {bundle.version}", table_of(head, rows), notes.lines()]
    return "\n\n".join(part for part in parts if part)


def _shown(target: Target, there: Set[Precision]) -> list[Precision]:
    """The target's first precision of those that are there, and further integer ones."""
    taken = [precision for precision in target.precisions if precision in there]
    return taken[:1] + [precision for precision in taken[1:] if precision != "float32"]


def _row(target: Target, network: Network, part: _Part) -> list[str]:
    notes, presets = part.notes, part.presets
    name = target.name if network.precision == target.precisions[0] else f"{target.name} {network.precision}"
    outcomes: list[Outcome] = []
    cells = []
    for preset in presets:
        try:
            outcome = part.compiler.compile(network, preset, target.name)
        except TargetUnavailableError as reason:
            mark = f"not here {notes.mark(str(reason))}"
            return [name, *[mark] * (len(presets) + 4)]
        except NotCompiledError as reason:
            cells.append(f"not compiled {notes.mark(str(reason))}")
        except LumavoxError as reason:  # one target's trouble is a cell, not the end of the table
            cells.append(f"refused {notes.mark(' '.join(str(reason).split()))}")
        else:
            outcomes.append(outcome)
            cells.append(_cell(outcome, network, notes))
    if not outcomes:
        return [name, cells[0], cells[0], *cells, cells[0], cells[0]]
    first = outcomes[0].record
    share = first.compiled.on_npu / (first.compiled.operators + len(outcomes[0].network.tail))
    left = _left(first.compiled.fallbacks, notes)
    left += [f"{type(op).__name__} (by the runtime)" for op in outcomes[0].network.tail]
    return [
        name,
        "none, a CPU" if first.compiled.rung == "measured" else f"{share:.0%}",
        ", ".join(left) or "nothing",
        *cells,
        _quality(target, network, part),
        first.compiled.rung,
    ]


def _left(fallbacks: Sequence[Fallback], notes: _Notes) -> list[str]:
    """Operators by reason; a long list as its count."""
    by_reason: dict[str, list[str]] = {}
    for fallback in fallbacks:
        by_reason.setdefault(fallback.reason, []).append(fallback.operator)
    return [
        f"{', '.join(names) if len(names) <= _NAMED else f'{len(names)} operators'} {notes.mark(reason)}"
        for reason, names in by_reason.items()
    ]


def _cell(outcome: Outcome, network: Network, notes: _Notes) -> str:
    record = outcome.record
    compiled = record.compiled
    parts = []
    if record.total_ms is None:
        parts.append(f"compiles; time {notes.mark(compiled.unknown['npu_ms'])}")
    else:
        parts.append(f"{_number(record.total_ms)} ms")
        if record.tail_ms:
            parts.append(f"({_number(record.tail_ms)} of it on the CPU)")
        parts.append(f"{_pace(record.total_ms, network)}")
    if compiled.sram_kib is None:
        parts.append(f"SRAM {notes.mark(compiled.unknown['sram_kib'])}")
    else:
        parts.append(f"SRAM {compiled.sram_kib:.0f} KiB")
    if record.tiles > 1:
        parts.append(f"{record.tiles} tiles")
    return ", ".join(parts).replace(", (", " (")


def _quality(target: Target, network: Network, part: _Part) -> str:
    notes = part.notes
    try:
        found: Agreement | str = part.compiler.agreement(network, target.name)
    except LumavoxError as reason:
        found = " ".join(str(reason).split())
    if isinstance(found, str):
        value, unit = quality_of(part.bundle, network)
        return f"{unit if value is None else f'{value:.2f} {unit}'} {notes.mark(found)}"
    if found.quality_db is None:
        return f"not known {notes.mark('the bundle has no float network to compare with')}"
    if found.reference_db is None:
        return f"{found.quality_db:.1f}"
    same = f"; {found.worst_lsb} LSB at {found.share:.1%}" if found.worst_lsb else "; bit-exact"
    return f"{found.quality_db:.2f} ({found.reference_db:.2f}{same})"


def _pace(milliseconds: float, network: Network) -> str:
    if network.task == "sr":
        return f"{_number(1e3 / milliseconds)} fps"
    hop_ms = 1e3 * float(network.front_end["hop"]) / float(network.front_end["rate_hz"])  # type: ignore[arg-type]
    return f"{milliseconds / hop_ms:.2%} of real time"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
