"""What telemetry costs: the share of one processor core, and the bytes of a record.

    python benchmarks/bench_telemetry.py [--minutes 2]

Plays 60 frames and 66.7 hops of sound per second into meters, without any network, and without waiting: what
is measured is the processor time of the telemetry alone, divided by the time that the stream would last.
Frames are counted as `Upscaler` and `DialogEnhancer` count them; a `Reporter` ticks once per second and
writes every 30 s into a ring, JSON lines and CMCD. The governor's own cost is measured beside it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk"))

from lumavox import Frame, PixelFormat
from lumavox._scene_cut import SceneCut
from lumavox.governor import Governor
from lumavox.ladder import Ladder
from lumavox.late_budget import BudgetMeter
from lumavox.telemetry import LadderUse, Meter, ModelInfo
from lumavox.telemetry_pack import MAX_BYTES, pack
from lumavox.telemetry_reporter import Reporter
from lumavox.telemetry_ring import TelemetryRing
from lumavox.telemetry_sinks import CmcdSink, JsonLinesSink

FRAME_RATE, HOP_RATE = 60, 200 / 3
TARGET = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=int, default=2, help="of stream")
    args = parser.parse_args()
    seconds = 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        counted_s, reported_s, packed = played(seconds, Path(folder))
    governed_s, seen_s = governing(seconds)
    print(f"{seconds} s of stream, processor time as a share of one core:")
    for name, spent_s in (("counting frames and hops", counted_s), ("records, ring and sinks", reported_s)):
        print(f"  {name:28} {spent_s / seconds:8.4%}")
    total = (counted_s + reported_s) / seconds
    print(f"  {'telemetry':28} {total:8.4%}  (target: at most {TARGET:.1%})")
    print(f"  {'governor':28} {governed_s / seconds:8.4%}")
    print(f"  {'scene cuts, 960x540':28} {seen_s / seconds:8.4%}")
    print(f"packed records: {min(packed)} to {max(packed)} bytes (limit {MAX_BYTES})")
    sys.exit(total > TARGET)


def played(seconds: int, folder: Path) -> tuple[float, float, list[int]]:
    """Processor seconds of counting and of reporting, and the sizes of packed records."""
    now = [0.0]
    times_us = [random.Random(0).lognormvariate(9.0, 0.3) for _ in range(10_000)]
    picture = Meter(
        task="sr", model=ModelInfo("sr/base-x2", "9f86d081884c7d65" * 4, "0.1.0", "clean-int8-tflite")
    )
    picture.deadline_us, picture.ladder = 16_667.0, LadderUse("sr/base-x2", 3, 1, 0)
    sound, budget = Meter(task="de"), BudgetMeter()
    counted_s = reported_s = 0.0
    packed = []
    with (
        TelemetryRing.open(folder / "ring") as ring,
        Reporter(
            [picture.record, sound.record],
            [JsonLinesSink(folder / "lumavox.jsonl"), CmcdSink(lambda body: None)],
            ring=ring, clock=lambda: now[0],
        ) as reporter,
    ):  # fmt: skip
        for second in range(seconds):
            now[0] = float(second)
            begun = time.process_time()
            for index in range(FRAME_RATE):
                picture.frames_in += 1
                picture.frames_enhanced += 1
                picture.add_latency_us(times_us[(second * FRAME_RATE + index) % 10_000])
                budget.add(second + index / FRAME_RATE, False)
            for index in range(round(HOP_RATE)):
                sound.frames_in += 1
                sound.frames_enhanced += 1
                sound.add_latency_us(times_us[(second * 66 + index) % 10_000])
            counted_s += time.process_time() - begun
            begun = time.process_time()
            picture.late_budget = budget.view()
            reporter.tick()
            reported_s += time.process_time() - begun
            if second % 30 == 29:
                packed += [len(pack(picture.record())), len(pack(sound.record()))]
    return counted_s, reported_s, packed


def governing(seconds: int) -> tuple[float, float]:
    """Processor seconds of the governor's decisions, and of looking for scene cuts."""
    governor = Governor(Ladder.of("base", "small", "nano"), 16_667.0)
    times_us = [random.Random(0).lognormvariate(9.0, 0.1) for _ in range(10_000)]
    begun = time.process_time()
    for index in range(seconds * FRAME_RATE):
        governor.next(index / FRAME_RATE)
        governor.add(times_us[index % 10_000], False)
    governed_s = time.process_time() - begun
    frames = [Frame.empty(PixelFormat.NV12, 960, 540) for _ in range(4)]
    for frame in frames:
        frame.planes[0][...] = np.random.default_rng(0).integers(0, 255, (540, 960))
    cuts = SceneCut()
    begun = time.process_time()
    for index in range(10 * FRAME_RATE):
        cuts.see(frames[index % 4])
    return governed_s, (time.process_time() - begun) * seconds / 10


if __name__ == "__main__":
    main()
