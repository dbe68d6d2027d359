"""``Judged``: a cell with its verdict and the figures of all its runs; `judge_all` makes them from results.

    cells = judge_all(store.results(), Policy())
    cells[0].verdict.status, cells[0].run_p99_us

Results are looked at one by one and let go, so that ten thousand of them need little memory. What can only be
seen across cells is judged last: engines that must agree bit for bit, and do not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lumavox.errors import OptionError

from .agreement import must_agree
from .cell import AXES, Cell, Culprit, Status
from .changes import VERSIONED
from .evidence import Finding, p99_us
from .policy import Policy
from .profile import ChipsetProfile, profile
from .result import Result
from .verdict import Verdict, combine, judge

__all__ = ["Judged", "Run", "judge_all", "slot_of"]

Profiles = Callable[[str], "ChipsetProfile | None"]


@dataclass(frozen=True)
class Run:
    """One run of a cell: what trends and comparisons need. Times in microseconds; None: not known, or an
    emulator's."""

    began_ms: int
    run_id: str
    tier: str
    loaded: bool
    status: Status
    runtime: str | None  # version of lumavox
    p99_us: float | None
    units: int | None
    output_sha256: str | None


@dataclass(frozen=True)
class Judged:
    """``result`` is the run that the verdict is about, ``runs`` are all, the oldest first."""

    cell: Cell
    verdict: Verdict
    result: Result
    runs: tuple[Run, ...]

    @property
    def run_p99_us(self) -> tuple[float, ...]:
        """p99 of every run whose numbers count, the oldest first: what versions are compared by."""
        counted = (Status.PASS, Status.FAIL, Status.DONE)
        return tuple(r.p99_us for r in self.runs if r.p99_us and r.status in counted)


def judge_all(results: Iterable[Result], policy: Policy, profiles: Profiles | None = None) -> list[Judged]:
    """Every cell of the results, by its digest. Runs with another version of lumavox than the newest run do
    not count for the verdict: what was fixed since is not held against a cell."""
    lookup = profiles or known_profile
    collected: dict[Cell, _Runs] = defaultdict(_Runs)
    for result in results:
        collected[result.cell].add(result, judge(result, lookup(result.cell.soc), policy))
    found = [runs.judged(cell) for cell, runs in collected.items()]
    found.sort(key=lambda judged: judged.cell.key)
    return _agreeing(found, lookup)


@functools.lru_cache(maxsize=1024)
def known_profile(name: str) -> ChipsetProfile | None:
    """The shipped profile of a chipset, None if there is none of that name."""
    try:
        return profile(name)
    except OptionError:
        return None


def slot_of(cell: Cell) -> tuple[str, ...]:
    """What stays the same when versions change: the axes without versions, and the model's name."""
    return (cell.model, *(getattr(cell, axis) for axis in AXES if axis not in VERSIONED))


class _Runs:
    """The runs of one cell while results come in. Only the last result of each status is kept whole."""

    def __init__(self) -> None:
        self._runs: list[tuple[Run, Verdict]] = []
        self._last: dict[tuple[Status, str | None], Result] = {}

    def add(self, result: Result, verdict: Verdict) -> None:
        run = run_of(result, verdict)
        self._runs.append((run, verdict))
        place = (verdict.status, run.runtime)
        if place not in self._last or self._last[place].began_ms <= result.began_ms:
            self._last[place] = result

    def judged(self, cell: Cell) -> Judged:
        self._runs.sort(key=lambda pair: pair[0].began_ms)
        newest = self._runs[-1][0].runtime
        verdict = combine([v for run, v in self._runs if run.runtime == newest])
        return Judged(cell, verdict, self._last[verdict.status, newest], tuple(run for run, _ in self._runs))


def run_of(result: Result, verdict: Verdict) -> Run:
    """The figures of one run."""
    record = result.record
    timed = record is not None and result.rung.times_are_latencies
    return Run(
        began_ms=result.began_ms,
        run_id=result.run_id,
        tier=result.tier,
        loaded=result.loaded,
        status=verdict.status,
        runtime=record.device.runtime if record and record.device else result.host.get("lumavox"),
        p99_us=p99_us(record.loop_us, record.loop_max_us or 0.0) if record and timed else None,
        units=record.units if record else None,
        output_sha256=record.output_sha256 if record else None,
    )


def _agreeing(cells: Sequence[Judged], lookup: Profiles) -> list[Judged]:
    """With a finding for each cell whose engine must be exact and computes what fewer others compute."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, judged in enumerate(cells):
        cell, chipset = judged.cell, lookup(judged.cell.soc)
        support = chipset.engine(cell.engine, cell.delegate) if chipset else None
        if support is not None and support.exact and judged.runs[-1].output_sha256:
            key = (cell.task, cell.model_digest, cell.precision, cell.preset, cell.engine, support.target)
            groups[key].append(place)
        elif judged.runs[-1].output_sha256 and (same_bits := must_agree(cell, judged.result.record)):
            groups[same_bits].append(place)
    found = list(cells)
    for places in groups.values():
        digests = Counter(cells[place].runs[-1].output_sha256 for place in places)
        most = digests.most_common(1)[0][1]
        for place in places:
            same = digests[cells[place].runs[-1].output_sha256]
            if len(digests) > 1 and same * 2 <= len(places) and (same < most or most * 2 <= len(places)):
                found[place] = _differs(cells[place], same, len(places))
    return found


def _differs(judged: Judged, same: int, of: int) -> Judged:
    what = f"computes what {same} of {of} chipsets compute; this engine must be exact"
    finding = Finding("agreement", Status.FAIL, Culprit.DRIVER, what, "output_sha256", same, of, "cells")
    verdict = dataclasses.replace(judged.verdict, findings=(*judged.verdict.findings, finding))
    if verdict.status is Status.PASS:
        verdict = dataclasses.replace(
            verdict, status=Status.FAIL, culprit=Culprit.DRIVER, rule="agreement", reason=what
        )
    return dataclasses.replace(judged, verdict=verdict)
