"""``RULES``: what makes a run FAIL or ERROR and whose fault it is, one small pure function each.

A rule looks at the `Evidence` of one run and yields `Finding`. Their order is the order of causes: what is
wrong with the lab comes before what is wrong with the engine, that before what lumavox made of it, so that
the first finding of the worst status names the culprit and the others are its consequences.

Culprits: a wrong output that the CPU reference has too is the *model's*; one that it has not, a wrong order,
crash or lateness inside the engine is the *driver's* (engine, delegate, driver, firmware, silicon); what goes
wrong around an engine that is in order is the *runtime's*; what keeps a test from telling, the *harness's*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ._culprits import of_crash, of_error
from .cell import UNKNOWN, Culprit, Status
from .evidence import Evidence, Finding, late_in
from .runner.record import Observation

__all__ = ["RULES", "Rule", "delta_psnr_db", "share_is_above"]

Rule = Callable[[Evidence], Iterator[Finding]]

FAIL, ERROR = Status.FAIL, Status.ERROR
DRIVER, MODEL, RUNTIME, HARNESS = Culprit.DRIVER, Culprit.MODEL, Culprit.RUNTIME, Culprit.HARNESS

STEADY_SHARE = 0.5
"""A wrong network is wrong in most pictures; what comes and goes is not in its weights."""

REFERENCE_STEPS = 1.0
REFERENCE_SHARE = 1 / 255
"""Two engines that run the same integer network may differ by one step."""

TIMED = {"start_up_delay", "rendering_delay_within_threshold"}
"""Observations that are durations: not judged under an emulator."""

JUDGED_BY_NAME = {
    "clock_steady", "golden_matches", "engine_repeatable", "engine_order", "engine_output_plausible",
    "engine_memory_steady", "start_up_delay", "every_frame_enhanced", "engine_frames_match", "memory_steady",
}  # fmt: skip


def lab(e: Evidence) -> Iterator[Finding]:
    """The device was lost, the record is not there or not of this run."""
    if e.result.status in (Status.ERROR, Status.MISS):
        yield Finding("lab", e.result.status, HARNESS, e.result.reason, "outcome")


def clock(e: Evidence) -> Iterator[Finding]:
    """The device's clock jumped: nothing that was timed counts."""
    if found := e.failed("clock_steady"):
        what = f"the wall clock jumped by {found.value:g} ms during the run"
        yield Finding("clock", ERROR, HARNESS, what, found.name, found.value, found.limit, found.unit)


def identity(e: Evidence) -> Iterator[Finding]:
    """Another engine answered than the lab declares: the run is of another cell."""
    asked = e.result.cell.engine_version
    told = e.record.device.engine_version if e.record and e.record.device else None
    if told and UNKNOWN not in (asked, told) and asked != told:
        what = f"the cell says {e.result.cell.engine} {asked}, the device runs {told}"
        yield Finding("identity", ERROR, HARNESS, what, "device.engine_version")


def ended(e: Evidence) -> Iterator[Finding]:
    """The process crashed, hung or raised before its record was complete."""
    if e.result.status is not FAIL or e.record is None:
        return
    raised = next((p for p in e.record.phases if p.error), None)
    if raised is not None:
        culprit, status = of_error(raised.error or "")
        yield Finding("ended", status, culprit, e.result.reason, f"phase {raised.name}")
    else:
        phase = e.record.open_phase or "stream"
        yield Finding(
            "ended", FAIL, of_crash(phase, e.result.outcome.stderr), e.result.reason, f"phase {phase}"
        )


def exact(e: Evidence) -> Iterator[Finding]:
    """An engine that must agree bit for bit does not, with the golden vector or with the reference."""
    if e.support is None or not e.support.exact:
        return
    limit = e.policy.quality.exact_steps
    for name, against in (("golden_matches", "the golden vector"), ("reference_max_diff", "the CPU variant")):
        found = e.seen(name)
        if found is not None and (found.value or 0.0) > (limit if found.unit == "steps" else 0.0):
            what = f"differs from {against} by up to {found.value:g} {found.unit}; it must be exact"
            yield Finding("exact", FAIL, DRIVER, what, name, found.value, limit, found.unit)


def engine_steady(e: Evidence) -> Iterator[Finding]:
    """The bare engine gives another frame's output, or another output for the same frame."""
    for name, what in (
        ("engine_order", "the engine gave outputs of other frames"),
        ("engine_repeatable", "the same frames gave other outputs the second time"),
    ):
        if found := e.failed(name):
            yield _counted("engine_steady", found, what)


def engine_in_stream(e: Evidence) -> Iterator[Finding]:
    """The engine was in order alone, and gives another frame's output while lumavox uses it."""
    if found := e.failed("engine_frames_match"):
        yield _counted("engine_in_stream", found, "the engine gave outputs of other frames while streaming")


def engine_output(e: Evidence) -> Iterator[Finding]:
    """The bare engine's output cannot be right."""
    found = e.failed("engine_output_plausible")
    if found is None:
        return
    share = (found.value or 0.0) / max(1, found.count or 1)
    agrees = _reference_agrees(e)
    if share >= STEADY_SHARE and agrees is not False:
        culprit, why = MODEL, "the CPU variant has it too" if agrees else "the golden vector has it too"
    elif agrees is False:
        culprit, why = DRIVER, "the CPU variant has it not"
    else:
        culprit, why = DRIVER, f"in {share:.0%} of the frames only"
    what = f"implausible output ({found.detail}); {why}"
    yield Finding("engine_output", FAIL, culprit, what, found.name, found.value, found.limit, found.unit)


def quality(e: Evidence) -> Iterator[Finding]:
    """Absolute floors against the float32 reference."""
    limits = e.policy.quality
    measured = False
    for name, limit, unit in (
        ("delta_psnr_y_mean", limits.delta_psnr_y_mean_db, "dB"),
        ("delta_psnr_y_worst", limits.delta_psnr_y_worst_db, "dB"),
        ("delta_si_sdr", limits.delta_si_sdr_db, "dB"),
        ("delta_pesq", limits.delta_pesq, "MOS"),
    ):
        found = e.seen(name)
        if found is None or found.value is None:
            continue
        measured = True
        if found.value > limit:
            culprit = DRIVER if _reference_agrees(e) is False else MODEL
            what = f"{name} {found.value:.2f} {unit} is above {limit:g} {unit}"
            yield Finding("quality", FAIL, culprit, what, name, found.value, limit, unit)
    distance = e.seen("reference_psnr")
    if measured or e.result.cell.task != "sr" or distance is None or distance.value is None:
        return
    loss = delta_psnr_db(limits.model_psnr_y_db, distance.value)
    if loss > limits.delta_psnr_y_mean_db:
        what = (
            f"{distance.value:.1f} dB from the CPU variant: {loss:.2f} dB would be lost of a model of "
            f"{limits.model_psnr_y_db:g} dB"
        )
        yield Finding("quality", FAIL, DRIVER, what, distance.name, loss, limits.delta_psnr_y_mean_db, "dB")


def placement(e: Evidence) -> Iterator[Finding]:
    """Another engine ran, or operators stayed on the CPU."""
    telemetry = e.record.telemetry if e.record else None
    asked, ran = (telemetry.ep_requested, telemetry.ep_actual) if telemetry else (None, None)
    if asked and ran and asked not in ("auto", ran):
        yield Finding("placement", FAIL, DRIVER, f"{asked} was asked for, {ran} ran", "telemetry.ep_actual")
    nodes = nodes_of(e)
    if e.accelerated and nodes is not None and nodes[0] < e.policy.placement.coverage * nodes[1]:
        what = f"{nodes[0]} of {nodes[1]} operators run on {e.result.cell.delegate}, the rest on the CPU"
        share = nodes[0] / max(1, nodes[1])
        yield Finding(
            "placement",
            FAIL,
            DRIVER,
            what,
            "nodes_on_accelerator",
            share,
            e.policy.placement.coverage,
            "share",
        )


def as_slow_as_cpu(e: Evidence) -> Iterator[Finding]:
    """The accelerator is said to run and takes as long as the CPU: it probably does not."""
    engine, reference = e.median_us("engine"), e.median_us("reference")
    if not (e.accelerated and e.times_count and engine and reference):
        return
    ratio, limit = reference / engine, e.policy.timing.cpu_ratio
    if ratio < limit:
        what = (
            f"suspected fallback: {engine / 1e3:.2f} ms on {e.result.cell.delegate}, "
            f"{reference / 1e3:.2f} ms on the CPU"
        )
        yield Finding("as_slow_as_cpu", FAIL, DRIVER, what, "reference_us", ratio, limit, "times")


def deadline(e: Evidence) -> Iterator[Finding]:
    """Too many frames are late, beyond doubt."""
    record, timing = e.record, e.policy.timing
    if record is None or not e.times_count or not e.units:
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
    if first_ms is None or not e.times_count:
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


RULES: tuple[Rule, ...] = (
    lab, clock, identity, ended, engine_steady, engine_output, exact, engine_in_stream, quality, placement,
    as_slow_as_cpu, deadline, sustained, start_up, added_latency, bypassed, memory, output,
)  # fmt: skip
"""In the order of causes."""


def nodes_of(e: Evidence) -> tuple[int, int] | None:
    """(operators on the accelerator, all), None if the engine does not say."""
    telemetry = e.record.telemetry if e.record else None
    if telemetry is not None and telemetry.nodes_total is not None:
        return telemetry.nodes_on_ep or 0, telemetry.nodes_total
    found = e.seen("nodes_on_accelerator")
    return None if found is None else (int(found.value or 0), int(found.limit or 0))


def delta_psnr_db(model_db: float, distance_db: float) -> float:
    """PSNR that a model of ``model_db`` loses when an independent error of ``distance_db`` is added: errors
    add as squares."""
    return 10 * math.log10(1 + 10 ** ((model_db - distance_db) / 10))


def share_is_above(count: float, of: int, share: float, confidence: float) -> bool:
    """Whether ``count`` of ``of`` prove, at that confidence, that the share is above ``share``: binomial."""
    mean = of * share
    if count <= mean:
        return False
    if count > mean + 8 * math.sqrt(mean + 1) + 8:
        return True
    below = math.fsum(
        math.exp(
            math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
            + k * math.log(share) + (of - k) * math.log1p(-share)
        )
        for k in range(math.ceil(count))
    )  # fmt: skip
    return 1 - below <= 1 - confidence


def _counted(rule: str, found: Observation, what: str) -> Finding:
    told = f"{what}: {found.value:g} of {found.count} ({found.detail or 'no detail'})"
    return Finding(rule, FAIL, DRIVER, told, found.name, found.value, found.limit, found.unit)


def _reference_agrees(e: Evidence) -> bool | None:
    """Whether the CPU variant computes the same, None if it was not run."""
    found = e.seen("reference_max_diff")
    if found is None or found.value is None:
        return None
    return found.value <= (REFERENCE_STEPS if found.unit == "steps" else REFERENCE_SHARE)
