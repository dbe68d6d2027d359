"""Rules: is what comes out of lumavox in time, whole, in order and within the product's budgets?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..cell import Culprit, Status
from ..evidence import Evidence, Finding, late_in
from .proofs import share_is_above

FAIL = Status.FAIL
DRIVER, MODEL, RUNTIME = Culprit.DRIVER, Culprit.MODEL, Culprit.RUNTIME

TIMED = {"start_up_delay", "rendering_delay_within_threshold"}
"""Observations that are durations: not judged under an emulator."""

JUDGED_BY_NAME = {
    "clock_steady", "golden_matches", "engine_repeatable", "engine_order", "engine_output_plausible",
    "engine_memory_steady", "start_up_delay", "every_frame_enhanced", "engine_frames_match", "memory_steady",
}  # fmt: skip
"""Observations that have a rule of their own."""


def deadline(e: Evidence) -> Iterator[Finding]:
    """Too many frames are late, beyond doubt."""
    record, timing = e.record, e.policy.timing
    if record is None or not e.deadlines_count or not e.units:
        return
    late, units = e.late_frames, e.units
    if not late or not share_is_above(late, units, timing.late_share, timing.confidence):
        return
    engine_late = late_in(record.engine_us, e.deadline_us)
    culprit = DRIVER if 2 * engine_late >= late else RUNTIME
    where = "in the engine" if culprit is DRIVER else "around the engine"
    what = f"{late} of {units} take longer than {e.loop_deadline_us / 1e3:.1f} ms, {where}"
    yield Finding("deadline", FAIL, culprit, what, "loop_us", late / units, timing.late_share, "share")


def sustained(e: Evidence) -> Iterator[Finding]:
    """The last minute is slower than the first."""
    minutes = e.record.minutes_p99_us if e.record else ()
    if len(minutes) < 2 or not e.times_count or not minutes[0]:
        return
    ratio, limit = minutes[-1] / minutes[0], e.policy.timing.sustained_ratio
    if ratio > limit:
        what = (
            f"p99 {minutes[0] / 1e3:.1f} ms in minute 1, {minutes[-1] / 1e3:.1f} ms in minute {len(minutes)}"
        )
        yield Finding("sustained", FAIL, DRIVER, what, "minutes_p99_us", ratio, limit, "times")


def start_up(e: Evidence) -> Iterator[Finding]:
    """The first frame comes too late: by the gate, or by the budget of the chipset."""
    telemetry = e.record.telemetry if e.record else None
    first_ms = telemetry.first_frame_ms if telemetry else None
    budget = e.chipset.budgets.init_ms if e.chipset else None
    gate = e.failed("start_up_delay")
    if first_ms is None or not e.deadlines_count:
        return
    limit = min(
        [b.value for b in (budget,) if b] + [g.limit for g in (gate,) if g and g.limit], default=math.inf
    )
    if first_ms > limit:
        load_ms = (telemetry.cold_load_ms if telemetry else None) or 0.0
        culprit = DRIVER if 2 * load_ms >= first_ms else RUNTIME
        what = f"the first frame after {first_ms:.0f} ms, {load_ms:.0f} of them loading the model"
        yield Finding("start_up", FAIL, culprit, what, "start_up_delay", first_ms, limit, "ms")


def added_latency(e: Evidence) -> Iterator[Finding]:
    """More delay than the product allows."""
    budget = e.chipset.budgets.added_latency_ms if e.chipset else None
    added = e.record.telemetry.added_latency_ms if e.record and e.record.telemetry else None
    if budget is None or added is None:
        return
    for kind, value in (("video", added.video), ("audio", added.audio)):
        if value is not None and value > budget.value:
            what = f"{kind} is {value:g} ms later"
            yield Finding("added_latency", FAIL, MODEL, what, "added_latency_ms", value, budget.value, "ms")


def bypassed(e: Evidence) -> Iterator[Finding]:
    """Frames came out by the conventional path."""
    found = e.failed("every_frame_enhanced")
    if found is None or e.record is None or e.record.telemetry is None:
        return
    told = e.record.telemetry
    late_only = told.frames_late is not None and told.frames_late >= (told.frames_bypassed or 0)
    if late_only and (not e.times_count or late_in(e.record.engine_us, e.deadline_us) == 0):
        if not e.times_count:
            return
        culprit = RUNTIME
    elif late_only and not share_is_above(
        found.value or 0, found.count or 1, e.policy.timing.late_share, e.policy.timing.confidence
    ):
        return  # some late frames are allowed
    else:
        culprit = DRIVER
    what = f"{found.value:g} of {found.count} were not enhanced ({found.detail or 'no reason told'})"
    yield Finding("bypassed", FAIL, culprit, what, found.name, found.value, found.limit, found.unit)


def memory(e: Evidence) -> Iterator[Finding]:
    """It grows, or is more than the product has."""
    engine = e.failed("engine_memory_steady")
    if engine is not None:
        what = f"the engine keeps {(engine.value or 0) / max(1, engine.count or 1):.0f} KiB of each call"
        yield Finding("memory", FAIL, DRIVER, what, engine.name, engine.value, engine.limit, engine.unit)
    if found := e.failed("memory_steady"):
        culprit = DRIVER if engine else RUNTIME
        what = f"memory grows by {found.value:.0f} KiB a second ({found.detail})"
        yield Finding("memory", FAIL, culprit, what, found.name, found.value, found.limit, found.unit)
    budget = e.chipset.budgets.memory_mib if e.chipset else None
    peak = e.record.telemetry.mem_peak_kb if e.record and e.record.telemetry else None
    if budget is None or peak is None or e.record is None or not e.times_count or peak <= 1024 * budget.value:
        return
    at = e.record.memory
    grown = (at.end_kib or 0) - (at.opened_kib or 0)
    culprit = RUNTIME if not engine and 2 * grown >= peak else DRIVER
    what = f"{peak / 1024:.0f} MiB at most"
    yield Finding("memory", FAIL, culprit, what, "telemetry.mem_peak_kb", peak / 1024, budget.value, "MiB")


def output(e: Evidence) -> Iterator[Finding]:
    """What came out of lumavox is not what went in: order, presence, looks, sound, synchronization; and
    whatever else a runner of a later version finds wrong."""
    for found in e.record.observations if e.record else ():
        if found.passed is not False or found.name in JUDGED_BY_NAME:
            continue
        if found.name in TIMED and not e.times_count:
            continue
        culprit = RUNTIME if found.phase in ("stream", "checks") else DRIVER
        number = "" if found.value is None else f" {found.value:g} {found.unit or ''}".rstrip()
        what = f"{found.name}:{number}" + (f" ({found.detail})" if found.detail else "")
        yield Finding("output", FAIL, culprit, what, found.name, found.value, found.limit, found.unit)
