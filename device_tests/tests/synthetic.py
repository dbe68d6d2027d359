"""Made-up results of made-up chipsets, as many as wanted, for tests and benchmarks. Not a test itself."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import random
from collections.abc import Iterator

from lumavox.telemetry import Histogram, Latency, TelemetryRecord
from lumavox_matrix.cell import Cell, Rung, Status
from lumavox_matrix.result import SCHEMA, Outcome, Result
from lumavox_matrix.runner.record import Device, Observation, Phase, Record
from lumavox_matrix.tiers import tier

FRAMES = 300
_STREAM = (
    "every_sample_rendered", "samples_in_order", "no_duplicate_sample", "no_unreadable_sample",
    "unexpected_sample_not_rendered", "no_torn_picture", "picture_plausible", "every_frame_enhanced",
)  # fmt: skip
_ENGINE = ("engine_repeatable", "engine_order", "engine_output_plausible")


def cell_of(number: int, **parts: str) -> Cell:
    """The ``number``-th cell: 50 chipsets, 10 models, two precisions, five presets and two firmwares."""
    number, firmware = divmod(number, 2)
    number, soc = divmod(number, 50)
    number, model = divmod(number, 10)
    number, precision = divmod(number, 2)
    preset = ("360p30", "540p24", "540p30", "1080p30", "720p30")[number % 5]
    usual = {
        "task": "sr", "model": f"sr/model-{model}", "preset": preset, "soc": f"chip-{soc:02}",
        "model_digest": hashlib.sha256(str(model).encode()).hexdigest(), "engine": "litert",
        "precision": ("int8", "float32")[precision], "engine_version": "2.3.0",
        "delegate": ("npu", "cpu")[soc % 2], "driver": "1", "firmware": f"2026.{8 + firmware}",
    }  # fmt: skip
    return Cell(**(usual | parts))  # type: ignore[arg-type]


def observations(**changed: Observation) -> tuple[Observation, ...]:
    """Those of a device in order; ``changed`` ones replace or follow them."""
    found = {"golden_matches": Observation("golden_matches", "open", True, 0.0, 1.0, "steps", 1)}
    found |= {name: Observation(name, "engine", True, 0.0, 0.0, "frames", 64) for name in _ENGINE}
    found["engine_p50"] = Observation("engine_p50", "engine", None, 9_000.0, None, "us", 64)
    found["reference_max_diff"] = Observation("reference_max_diff", "reference", None, 1.0, 0.0, "steps", 99)
    found["reference_psnr"] = Observation("reference_psnr", "reference", None, 60.0, None, "dB", 99)
    found |= {name: Observation(name, "stream", True, 0.0, 0.0, "frames", FRAMES) for name in _STREAM}
    found["start_up_delay"] = Observation("start_up_delay", "stream", True, 90.0, 1000.0, "ms")
    found["clock_steady"] = Observation("clock_steady", "stream", True, 0.1, 250.0, "ms")
    found["memory_steady"] = Observation("memory_steady", "stream", True, 1.0, 64.0, "KiB/s", 48)
    return tuple((found | changed).values())


def histogram(p50_us: float, seed: int, frames: int = FRAMES) -> Histogram:
    """Frames around a median, with a spread of a tenth."""
    made, draw = Histogram(), random.Random(seed)
    for _ in range(frames):
        made.add(p50_us * draw.lognormvariate(0.0, 0.1))
    return made


def record(loop: Histogram, seen: tuple[Observation, ...] | None = None, **changes: object) -> Record:
    """A complete record with those times, of an accelerator that is faster than the CPU."""
    frames = loop.count
    telemetry = TelemetryRecord(
        schema=1, session_id="s", task="sr", state="active", ep_requested="litert", ep_actual="litert",
        nodes_on_ep=21, nodes_total=21, frames_in=frames, frames_enhanced=frames, frames_bypassed=0,
        frames_late=0, latency_us=Latency.of(loop), first_frame_ms=90.0, cold_load_ms=60.0,
        mem_peak_kb=90_000,
    )  # fmt: skip
    made = Record(
        schema=1, nonce="n", cell_digest="c", complete=True,
        phases=tuple(Phase(n, i, i + 0.5) for i, n in enumerate(("probe", "open", "engine", "stream"))),  # type: ignore[arg-type]
        observations=observations() if seen is None else seen, telemetry=telemetry,
        device=Device("aarch64", "Linux 6.1", "3.11.7", "0.1.0", "2.3.0"), units=frames,
        output_sha256=hashlib.sha256(b"same").hexdigest(),
        loop_us=loop.buckets(), loop_max_us=loop.max_us, engine_us=loop.buckets(), engine_max_us=loop.max_us,
        reference_us=((300, 16),), reference_max_us=105_000.0, frames_strip="." * frames, tier="smoke",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def result(cell: Cell, made: Record | None, **changes: object) -> Result:
    """A result of that record."""
    usual = Result(
        schema=SCHEMA, cell=cell, rung=Rung.MEASURED, status=Status.DONE, reason="complete",
        outcome=Outcome(12.5, exit_code=0), tier="smoke", device=cell.soc, link="ssh", run_id="r1",
        began_ms=1_790_000_000_000, record=made, host={"lumavox": "0.1.0"},
        command=f"lumavox-matrix run --cell {cell.digest} --chipset {cell.soc} --again",
    )  # fmt: skip
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def results(cells: int, runs: int = 1) -> Iterator[Result]:
    """``runs`` results of each of ``cells`` cells; one in twenty-three has something wrong."""
    assert tier("smoke").frames(30) == FRAMES
    loops = [histogram(9_000.0, seed) for seed in range(40)]
    faults = itertools.cycle(_faults())
    rungs = (Rung.MEASURED, Rung.MEASURED, Rung.EMULATED, Rung.SIMULATED)
    for number in range(cells):
        cell = cell_of(number)
        for run in range(runs):
            made = record(loops[(number * 7 + run) % len(loops)], nonce=f"{number}-{run}")
            changes: dict[str, object] = {
                "rung": rungs[(number // 2) % len(rungs)],
                "began_ms": 1_790_000_000_000 + 60_000 * (number % 2 * 5000 + run),
                "run_id": f"r{run}",
            }
            if number % 23 == 22:
                fault_record, fault = next(faults)
                made = dataclasses.replace(made, **fault_record)
                changes |= fault
            yield result(cell, None if changes.pop("lost", False) else made, **changes)


def _faults() -> list[tuple[dict[str, object], dict[str, object]]]:
    slow = histogram(60_000.0, 99)
    black = Observation("engine_output_plausible", "engine", False, 3.0, 0.0, "frames", 64, "black: 7 8 9")
    crashed = {"status": Status.FAIL, "reason": "crashed with signal 11 in phase 'stream'",
               "outcome": Outcome(3.0, signal=11)}  # fmt: skip
    lost = {"status": Status.ERROR, "reason": "the device was lost: no route to host", "lost": True,
            "outcome": Outcome(60.0, link_error="no route to host")}  # fmt: skip
    strip = "." * 100 + "MM" + "." * 90 + "D" + "." * (FRAMES - 193)
    dropped = Observation(
        "every_sample_rendered", "stream", False, 2.0, 0.0, "frames", FRAMES, "middle 2: 100 101"
    )
    return [
        ({"loop_us": slow.buckets(), "loop_max_us": slow.max_us}, {}),
        ({"observations": observations(engine_output_plausible=black)}, {}),
        ({"phases": (Phase("stream", 1.0),), "complete": False}, crashed),
        ({}, lost),
        ({"observations": observations(every_sample_rendered=dropped), "frames_strip": strip}, {}),
    ]
