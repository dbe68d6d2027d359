"""Which model at which size fits a time budget on a target: `advise`, best quality first.

Costs are the target's own (compiled, from the cache where it was done before), or predicted by
`cost_model` where ``predict`` asks for it. Quality is what was measured of the model (``measured.json``
beside its bundle). What does not fit is listed with what it needs, and with the plain network that would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lumavox.bundle import Bundle

from ..errors import TargetError
from .compiler import Compiler
from .cost_model import CostModel, plain_network
from .measured import quality_of
from .network import Network, networks
from .presets import Preset

_CHANNELS = (48, 32, 24, 16, 12, 8)
_LAYERS = (8, 7, 6, 5, 4, 3)


@dataclass(frozen=True)
class Candidate:
    """One network at one size. ``quality`` with its unit, or None and the reason in ``note``."""

    model: str
    content: str
    preset: str
    total_ms: float | None
    predicted: bool
    quality: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Advice:
    """``fitting`` best quality first, ``others`` quickest first, and sentences about what would help."""

    target: str
    budget_ms: float
    fitting: tuple[Candidate, ...]
    others: tuple[Candidate, ...]
    remarks: tuple[str, ...]


def advise(
    models: Sequence[tuple[Bundle, Path]],
    compiler: Compiler,
    target: str,
    budget_ms: float,
    *,
    presets: Sequence[str] = (),
    predict: bool = False,
) -> Advice:
    """``models``: bundles and where they lie. Raises `TargetError` if the target's tool is not here."""
    remarks: list[str] = []
    cost: CostModel | None = None
    pictures = any(bundle.task == "sr" for bundle, _ in models)
    found: list[tuple[Candidate, Network, Preset]] = []
    for bundle, path in models:
        for network in networks(bundle):
            for preset in network.presets():
                if presets and preset.name not in presets:
                    continue
                if predict and bundle.task == "sr":
                    cost = cost or CostModel.calibrate(compiler, target)
                    total: float | None = cost.predict_ms(network.fixed(preset).graph)
                    note = ""
                else:
                    total, note = _compiled_ms(compiler, network, preset, target)
                quality, unit = quality_of(path, network)
                candidate = Candidate(
                    bundle.id, network.content, preset.name, total, predict, quality, unit, note
                )
                found.append((candidate, network, preset))
    fitting = [c for c, _, _ in found if c.total_ms is not None and c.total_ms <= budget_ms]
    others = [item for item in found if item[0] not in fitting]
    if pictures and others and not predict:
        try:
            cost = CostModel.calibrate(compiler, target)
        except TargetError as reason:
            remarks.append(str(reason))
    if cost is not None:
        remarks.append(
            f"predictions for {target}: {cost.error:.0%} off on average, when each of {cost.networks} "
            "networks is left out of the calibration"
        )
        done: set[tuple[str, float]] = set()
        for _, network, preset in others:
            if (preset.name, network.scale) not in done and network.scale == int(network.scale):
                done.add((preset.name, network.scale))
                remarks.append(_would_fit(cost, network, preset, budget_ms))
    return Advice(
        target,
        budget_ms,
        tuple(sorted(fitting, key=lambda c: (c.preset, -(c.quality or 0.0), c.total_ms or 0.0))),
        tuple(sorted((c for c, _, _ in others), key=lambda c: c.total_ms or float("inf"))),
        tuple(remarks),
    )


def _compiled_ms(
    compiler: Compiler, network: Network, preset: Preset, target: str
) -> tuple[float | None, str]:
    try:
        record = compiler.compile(network, preset, target).record
    except TargetError as reason:
        return None, " ".join(str(reason).split())
    if record.total_ms is None:
        return None, record.compiled.unknown["npu_ms"]
    return record.total_ms, "; ".join(record.compiled.notes)


def _would_fit(cost: CostModel, network: Network, preset: Preset, budget_ms: float) -> str:
    """The plain network with most parameters that the cost model lets into the budget."""
    best: tuple[int, int, int, float] | None = None
    for channels in _CHANNELS:
        for layers in _LAYERS:
            plain = plain_network(channels, layers, int(network.scale))
            total = cost.predict_ms(plain.fixed(preset).graph)
            size = plain.graph.parameters()
            if total <= budget_ms and (best is None or size > best[0]):
                best = size, channels, layers, total
    if best is None:
        return (
            f"{preset.name}: no plain network down to {_CHANNELS[-1]} channels and {_LAYERS[-1]} layers fits"
        )
    size, channels, layers, total = best
    return (
        f"{preset.name}: a plain x{network.scale:g} network of {channels} channels and {layers} layers "
        f"({size:,} parameters) would take about {total:.3g} ms"
    )
