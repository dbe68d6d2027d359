"""The parity chain: every exported file of a network against torch or the integer reference, or it raises.

Float files are measured against the family's own float function (torch), each directly, so that errors do
not hide in a chain of small ones. Integer files are measured against `reference.run_int` with the rounding of
the engine's kernels: LiteRT's reference kernels must equal it bit for bit, other engines
must stay within the contract's steps and share. Golden vectors are rounded as the reference kernels do it; of
these other engines must stay within the steps, as their devices will be asked. How good the quantized network
is compared with the float one is not asked here; the quantize stage measures it.

    report = check("clean", graph, torch_function, [feeds], files, Tolerances())
    print(report.table())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .engines import ENGINES, REFERENCE_KERNELS
from .errors import ParityError
from .graph import Graph
from .quant_plan import QuantPlan
from .reference import Kernels, run_float, run_int

Feeds: TypeAlias = Mapping[str, NDArray[Any]]
Function: TypeAlias = Callable[[Feeds], Feeds]


@dataclass(frozen=True)
class Tolerances:
    """The numeric contract of a family."""

    float_abs: float = 1e-4  # largest difference of a float output from torch
    lsb: int = 1  # largest difference of an integer output from the integer reference, in steps
    share: float = 0.01  # part of the values of an output that may differ from the engine's own arithmetic
    golden_share: float = 0.5  # part that may differ from the golden vectors, which are rounded otherwise


@dataclass(frozen=True)
class ExportedFile:
    """One written file of ``graph``; ``plan`` is None for float32."""

    format: str
    graph: Graph
    plan: QuantPlan | None
    data: bytes

    @property
    def precision(self) -> str:
        return "float32" if self.plan is None else self.plan.precision


@dataclass(frozen=True)
class Link:
    """One comparison: ``worst`` difference over all outputs and feeds in ``unit`` ("abs" or "LSB"), and the
    ``share`` of integer values that differ (of the worst output)."""

    name: str
    unit: str
    worst: float
    limit: float
    share: float = 0.0
    share_limit: float = 1.0

    @property
    def holds(self) -> bool:
        return self.worst <= self.limit and self.share <= self.share_limit  # false for NaN


@dataclass(frozen=True)
class ParityReport:
    """All links of one content's files."""

    content: str
    links: tuple[Link, ...]

    def table(self) -> str:
        """Markdown."""
        rows = ["| link | worst | limit | values that differ |", "|---|---|---|---|"]
        for link in self.links:
            share = f"{link.share:.2%}" if link.unit == "LSB" else ""
            rows.append(f"| {link.name} | {link.worst:.3g} {link.unit} | {link.limit:g} | {share} |")
        return "\n".join(rows) + "\n"


def check(
    content: str,
    graph: Graph,
    reference: Function,
    feeds: Sequence[Feeds],
    files: Sequence[ExportedFile],
    tolerances: Tolerances,
) -> ParityReport:
    """Compares every file on every engine here.

    ``reference`` is the float function in torch, ``graph`` the same drawn: real NHWC ``feeds`` (states
    included) to outputs. Raises `ParityError` that names each link beyond its tolerance.
    """
    truth = [_outputs(graph, reference(f)) for f in feeds]
    links = [_float_link("torch = graph", truth, [run_float(graph, f) for f in feeds], tolerances)]
    for file in files:
        for name, engine in ENGINES[file.format].items():
            title = f"{file.format} {file.precision} on {name}"
            run, exact = engine.open(file.data), name == REFERENCE_KERNELS
            if file.plan is None:
                if not exact:  # slow, and exact in integers only
                    links.append(_float_link(f"torch = {title}", truth, [run(f) for f in feeds], tolerances))
                continue
            quantized = [{k: file.plan.tensors[k].quantize(v) for k, v in f.items()} for f in feeds]
            got = [run(q) for q in quantized]
            limits = (0, 0.0) if exact else (tolerances.lsb, tolerances.share)
            wanted = [_integers(file, q, engine.kernels) for q in quantized]
            links.append(_integer_link(f"integers = {title}", wanted, got, *limits))
            if not exact:
                wanted = [_integers(file, q, "reference") for q in quantized]
                links.append(
                    _integer_link(f"golden = {title}", wanted, got, tolerances.lsb, tolerances.golden_share)
                )
    report = ParityReport(content, tuple(links))
    broken = [link for link in links if not link.holds]
    if broken:
        said = "; ".join(
            f"{link.name}: {link.worst:.3g} {link.unit} (limit {link.limit:g}), "
            f"{link.share:.2%} of values (limit {link.share_limit:.2%})"
            for link in broken
        )
        raise ParityError(f"content {content!r}: {said}")
    return report


def _integers(file: ExportedFile, feeds: Feeds, kernels: Kernels) -> Feeds:
    assert file.plan is not None
    return _outputs(file.graph, run_int(file.graph, file.plan, feeds, kernels))


def _outputs(graph: Graph, tensors: Feeds) -> Feeds:
    missing = [port.name for port in graph.outputs if port.name not in tensors]
    if missing:
        raise ParityError(f"the reference gives no {missing[0]!r}; it gives: {', '.join(tensors)}")
    return {port.name: tensors[port.name] for port in graph.outputs}


def _pairs(
    wanted: Sequence[Feeds], got: Sequence[Feeds]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    found = []
    for want, have in zip(wanted, got, strict=True):
        for name, values in want.items():
            if name not in have or have[name].shape != values.shape:
                shape = have[name].shape if name in have else "nothing"
                raise ParityError(f"output {name!r}: expected shape {values.shape}, got {shape}")
            found.append((values.astype(np.float64), have[name].astype(np.float64)))
    return found


def _float_link(name: str, wanted: Sequence[Feeds], got: Sequence[Feeds], tolerances: Tolerances) -> Link:
    worst = np.max([np.max(np.abs(a - b)) for a, b in _pairs(wanted, got)])  # NaN stays NaN
    return Link(name, "abs", float(worst), tolerances.float_abs)


def _integer_link(
    name: str, wanted: Sequence[Feeds], got: Sequence[Feeds], limit: int, share_limit: float
) -> Link:
    differences = [np.abs(a - b) for a, b in _pairs(wanted, got)]
    worst, share = max(d.max() for d in differences), max(np.mean(d > 0) for d in differences)
    return Link(name, "LSB", float(worst), limit, float(share), share_limit)
