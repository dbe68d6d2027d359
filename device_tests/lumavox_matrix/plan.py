"""``Plan``: which cells are run, why these, and how long it takes.

    made = plan(devices, models, strength=2, tier=tier("gate"), history=History.of(store))
    made.cells                # PlannedCell, the riskiest first
    made.excluded             # every combination that cannot be, by reason
    made.factorial            # how many there would be, and their time

All combinations of devices, engines, models, precisions and presets are formed; those that cannot be are
excluded with a reason; of the rest a t-way covering set is taken (``covering``), or all of them if that is
asked for by name. What has changed since the stored results is named by ``changes``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lumavox.errors import OptionError

from ._factors import covering
from .cell import UNKNOWN, Cell
from .history import History
from .lab import Device
from .models import Model
from .presets import preset
from .profile import ChipsetProfile, EngineSupport, profile
from .tiers import Tier
from .versions import in_range

__all__ = ["Plan", "PlannedCell", "SillyPlanError", "candidates", "plan"]

SILLY_CELLS = 2_000
SILLY_HOURS = 12.0
STRENGTHS = (1, 2, 3)


class SillyPlanError(OptionError):
    """A full factorial that nobody would wait for; it says how long."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell, where it runs, and what it is worth."""

    cell: Cell
    device: Device
    model: Model
    variant: str
    reference_variant: str | None
    predicted_s: float
    risk: float
    why: str


@dataclass(frozen=True)
class Excluded:
    """Combinations that cannot be: the reason, how many, and one of them."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True)
class Plan:
    """What `plan` made. ``strength`` 0 is the full factorial, None is made of changes."""

    cells: tuple[PlannedCell, ...]
    excluded: tuple[Excluded, ...]
    factorial_cells: int
    factorial_s: float
    strength: int | None
    tier: str
    devices: tuple[Device, ...] = ()  # that were asked for

    @property
    def predicted_s(self) -> float:
        """Device time of all cells, one after the other."""
        return sum(c.predicted_s for c in self.cells)

    @property
    def wall_s(self) -> float:
        """The time if every device works all the time: that of the busiest one."""
        busy: Counter[str] = Counter()
        for planned in self.cells:
            busy[planned.device.name] += planned.predicted_s / planned.device.parallel  # type: ignore[assignment]
        return float(max(busy.values(), default=0.0))


def plan(
    devices: Sequence[Device],
    models: Sequence[Model],
    *,
    tier: Tier,
    strength: int = 2,
    full: bool = False,
    yes: bool = False,
    presets: Sequence[str] = (),
    precisions: Sequence[str] = (),
    qos: Sequence[str] = ("sustained",),
    history: History | None = None,
) -> Plan:
    """The cells to run. ``presets`` and ``precisions`` narrow what profiles and bundles offer.

    Raises OptionError for an unknown strength, `SillyPlanError` for a ``full`` plan of more than
    ``SILLY_CELLS`` cells or ``SILLY_HOURS`` hours of device time without ``yes``.
    """
    if strength not in STRENGTHS:
        raise OptionError(f"strength {strength}: plans of strength {', '.join(map(str, STRENGTHS))} are made")
    history = history or History()
    possible, excluded = candidates(
        devices, models, tier=tier, presets=presets, precisions=precisions, qos=qos, history=history
    )
    seconds = sum(c.predicted_s for c in possible)
    if full:
        if not yes and (len(possible) > SILLY_CELLS or seconds > SILLY_HOURS * 3600):
            raise SillyPlanError(
                f"the full factorial is {len(possible):,} cells, {seconds / 3600:,.1f} hours of device time; "
                "leave out --full for a covering plan, or force it with --full --yes"
            )
        chosen, strength = possible, 0
    else:
        chosen = [c for _, group in _by_task(possible) for c in covering(group, strength)]
    ranked = tuple(sorted(chosen, key=lambda c: (-c.risk, c.device.name, c.cell)))
    return Plan(ranked, tuple(excluded), len(possible), seconds, strength, tier.name, tuple(devices))


def candidates(
    devices: Sequence[Device],
    models: Sequence[Model],
    *,
    tier: Tier,
    presets: Sequence[str] = (),
    precisions: Sequence[str] = (),
    qos: Sequence[str] = ("sustained",),
    history: History | None = None,
) -> tuple[list[PlannedCell], list[Excluded]]:
    """Every cell that can be, and every combination that cannot, by reason."""
    history = history or History()
    possible: list[PlannedCell] = []
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for device in devices:
        chipset = profile(device.chipset)
        for support, model in itertools.product(chipset.engines, models):
            names = [n for n in (presets or chipset.presets) if preset(n).task == model.task]
            wanted = precisions or support.precisions
            for precision, name, mode in itertools.product(wanted, names, qos):
                reason = _reason_against(device, chipset, support, model, precision, name)
                if reason:
                    place = f"{support.engine}/{support.delegate}"
                    reasons[reason] += 1
                    examples.setdefault(reason, f"{device.name} · {model.id} {precision} · {place} · {name}")
                    continue
                cell = _cell(device, support, model, precision, name, mode)
                predicted = history.predict_s(cell, tier)
                possible.append(
                    PlannedCell(
                        cell=cell,
                        device=device,
                        model=model,
                        variant=model.variant(support, precision),
                        reference_variant=model.reference(support, precision),
                        predicted_s=predicted,
                        risk=history.risk(cell),
                        why="all" if not history.known(cell) else "measured before",
                    )
                )
    excluded = [Excluded(reason, count, examples[reason]) for reason, count in reasons.most_common()]
    return possible, excluded


def _reason_against(
    device: Device, chipset: ChipsetProfile, support: EngineSupport, model: Model, precision: str, name: str
) -> str | None:
    place = f"{support.engine}/{support.delegate}"
    if model.virtual != (chipset.kind == "virtual"):
        return "scripted models run on virtual chipsets, and real ones on the others"
    if device.unavailable:
        return f"{device.name}: {device.unavailable}"
    if support.engine not in device.engines:
        return f"{device.name}: {support.engine} is not installed there"
    version = device.engines[support.engine]
    if version != UNKNOWN and not in_range(support.versions, version):
        return f"{device.name}: {support.engine} {version} is outside {support.versions} of {chipset.name}"
    if model.task not in support.tasks:
        return f"{chipset.name}: {place} is not for task {model.task}"
    if precision not in support.precisions:
        return f"{chipset.name}: {place} does not run {precision}"
    if not model.has(support, precision):
        return f"{model.id} has no {precision} variant for {place} (target {support.target})"
    if name not in chipset.presets:
        return f"{chipset.name} is not expected to play {name}"
    return model.reason_against(preset(name))


def _cell(device: Device, support: EngineSupport, model: Model, precision: str, name: str, mode: str) -> Cell:
    return Cell(
        task=model.task,
        model=model.id,
        model_digest=model.digest,
        precision=precision,
        preset=name,
        engine=support.engine,
        engine_version=device.engines[support.engine],
        delegate=support.delegate,
        soc=device.chipset,
        compiler=support.compiler,
        driver=device.driver,
        firmware=device.firmware,
        qos=mode,
    )


def _by_task(cells: Iterable[PlannedCell]) -> list[tuple[str, list[PlannedCell]]]:
    groups: dict[str, list[PlannedCell]] = {}
    for planned in cells:
        # Virtual chipsets share no value with real ones: covering them together would only slow it down.
        groups.setdefault(f"{planned.cell.task} {planned.model.virtual}", []).append(planned)
    return sorted(groups.items())
