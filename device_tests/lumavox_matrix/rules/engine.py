"""Rules: is what the engine computes right, and is it computed where it was asked to?"""

from __future__ import annotations

from collections.abc import Iterator

from ..cell import Culprit, Status
from ..evidence import Evidence, Finding
from ..runner.record import Observation
from .proofs import delta_psnr_db, nodes_of, reference_agrees

FAIL = Status.FAIL
DRIVER, MODEL = Culprit.DRIVER, Culprit.MODEL

STEADY_SHARE = 0.5
"""A wrong network is wrong in most pictures; what comes and goes is not in its weights."""


def engine_steady(e: Evidence) -> Iterator[Finding]:
    """The bare engine gives another frame's output, or another output for the same frame."""
    for name, what in (
        ("engine_order", "the engine gave outputs of other frames"),
        ("engine_repeatable", "the same frames gave other outputs the second time"),
    ):
        if found := e.failed(name):
            yield _counted("engine_steady", found, what)


def engine_output(e: Evidence) -> Iterator[Finding]:
    """The bare engine's output cannot be right."""
    found = e.failed("engine_output_plausible")
    if found is None:
        return
    share = (found.value or 0.0) / max(1, found.count or 1)
    agrees = reference_agrees(e)
    if share >= STEADY_SHARE and agrees is not False:
        culprit, why = MODEL, "the CPU variant has it too" if agrees else "the golden vector has it too"
    elif agrees is False:
        culprit, why = DRIVER, "the CPU variant has it not"
    else:
        culprit, why = DRIVER, f"in {share:.0%} of the frames only"
    what = f"implausible output ({found.detail}); {why}"
    yield Finding("engine_output", FAIL, culprit, what, found.name, found.value, found.limit, found.unit)


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


def engine_in_stream(e: Evidence) -> Iterator[Finding]:
    """The engine was in order alone, and gives another frame's output while lumavox uses it."""
    if found := e.failed("engine_frames_match"):
        yield _counted("engine_in_stream", found, "the engine gave outputs of other frames while streaming")


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
            culprit = DRIVER if reference_agrees(e) is False else MODEL
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


def _counted(rule: str, found: Observation, what: str) -> Finding:
    told = f"{what}: {found.value:g} of {found.count} ({found.detail or 'no detail'})"
    return Finding(rule, FAIL, DRIVER, told, found.name, found.value, found.limit, found.unit)
