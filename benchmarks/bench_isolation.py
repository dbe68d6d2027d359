"""What a worker process costs and what it withstands, measured on this machine.

    python benchmarks/bench_isolation.py roundtrip      # isolated call against call in this process, in turn
    python benchmarks/bench_isolation.py faults         # 10,000 frames at 60 fps, a fault every 50
    python benchmarks/bench_isolation.py sound          # 10,000 hops of 15 ms, a fault every 50
    python benchmarks/bench_isolation.py soak           # 2 h: memory, descriptors, threads

``--write docs/isolation.md`` puts the figures into the document. ``--realtime`` gives the player's thread a
real-time class, as players on devices do; needs the right to (root, or RLIMIT_RTPRIO).

``faults`` and ``sound`` also run without faults and without a worker first (``--control``): what is late then
is what this machine makes late by itself. Needs the models of the checkout or of a wheel, and an engine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from isolation_soak import noise, soak
from measured_block import write_block

from lumavox import DialogEnhancer, Frame, Upscaler, backends
from lumavox._isolation_engine import IsolatedEngine
from lumavox.bundle import Golden, TensorSpec, Variant
from lumavox.crash_marker import Configuration, CrashMarker
from lumavox.fault_injection import KINDS, FaultInjection
from lumavox.isolation import Isolation, Restart

MODEL = "sr/small-x2"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["roundtrip", "faults", "sound", "soak"])
    parser.add_argument("--model", default=MODEL, help="picture model, by tier, id or path")
    parser.add_argument("--backend", default="auto")
    parser.add_argument(
        "--size", default="160x90", help="of the frames that go in, WxH: what is in time here"
    )
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--every", type=int, default=50, help="frames from fault to fault")
    parser.add_argument("--deadline-ms", type=float, default=14.0)
    parser.add_argument("--seconds", type=float, default=7200.0, help="of the soak")
    parser.add_argument("--control", type=int, default=2000, help="frames of the run without worker")
    parser.add_argument("--allow-unsigned", action="store_true", help="take a model that nobody signed")
    parser.add_argument("--realtime", action="store_true", help="the player is SCHED_FIFO, as on a TV")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a Markdown file with the marks")
    parser.add_argument("--cpus", type=int, nargs="*", default=[], help="cores of the worker")
    args = parser.parse_args(arguments)
    width, height = map(int, args.size.split("x"))
    if args.realtime:  # this thread alone
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))
    text = measured(args, width, height)
    print(text)
    if args.write:
        write_block(args.write, args.what, text)


def measured(args: argparse.Namespace, width: int, height: int) -> str:
    """What was asked for, in words."""
    if args.what == "roundtrip":
        return f"- {roundtrip(args.rounds, tuple(args.cpus))}"
    if args.what == "soak":
        unsigned, size = args.allow_unsigned, (width, height)
        return f"- {soak(args.model, args.backend, size, args.seconds, args.fps, allow_unsigned=unsigned)}"
    with tempfile.TemporaryDirectory() as state:
        policy = Isolation(
            cpus=tuple(args.cpus),
            state=Path(state),
            crash_limit=None,
            start_timeout_s=1.0,
            hang_ms=100.0,
            faults=FaultInjection(),
        )
        stream: Pictures | Sound
        if args.what == "faults":
            stream = Pictures(
                args.model, args.backend, (width, height), args.deadline_ms, args.allow_unsigned
            )
            interval_s = 1 / args.fps
        else:
            stream, interval_s = Sound(args.backend), 720 / 48000
        text = run_faults(stream, policy, args.frames, interval_s, args.every, args.control)
    return text + ("\n- the player's thread is real-time (SCHED_FIFO)" if args.realtime else "")


@dataclass(frozen=True)
class RoundTrip:
    """Milliseconds per call; ``added`` are of pairs of neighbouring calls."""

    here_ms: float
    there_ms: float
    added_p10_ms: float
    added_median_ms: float
    added_p99_ms: float
    added_cpu_ms: float  # of both processes together; what neighbours on a busy machine change least
    rounds: int

    def __str__(self) -> str:
        return (
            f"540p in, 1080p NV12 out: {self.here_ms:.3f} ms in this process, {self.there_ms:.3f} ms in a "
            f"worker (medians); added {self.added_median_ms:.3f} ms median, {self.added_p10_ms:.3f} ms p10, "
            f"{self.added_p99_ms:.3f} ms p99; added processor time {self.added_cpu_ms:.3f} ms; "
            f"{self.rounds} pairs"
        )


def roundtrip(rounds: int, cpus: tuple[int, ...] = ()) -> RoundTrip:
    """What of a 960x540 NV12 frame goes to a network, and what comes back for 1920x1080: luma. In a worker
    against in this process, in turn, with an engine that only fills its output. A network would add the same
    to both, and its noise."""
    kind = {"dtype": "uint8", "layout": "NHWC"}
    luma = TensorSpec("in", (1, 540, 960, 1), **kind)
    enlarged = TensorSpec("out", (1, 1080, 1920, 1), **kind)
    variant = Variant(
        "copy", "variants/copy.json", "virtual", "float32", "any", False,
        (luma,), (enlarged,), Golden("golden/copy.npz", max_lsb=0),
    )  # fmt: skip
    model = b'{"op": "mask", "value": 77}'
    frame = np.random.default_rng(0).integers(0, 256, luma.shape, np.uint8)
    out = np.empty(enlarged.shape, np.uint8)
    policy = Isolation(cpus=cpus, crash_limit=None)
    marker = CrashMarker(Path(os.devnull), Configuration("", "", "", "", "", "", ""), None)
    inside = backends.get("virtual").open(model, variant)
    outside = IsolatedEngine(policy, "virtual", variant, model, 1, marker)
    here: list[float] = []
    there: list[float] = []
    cpu = [0.0, 0.0]
    pid = outside.status.pid
    assert pid is not None

    def cpu_s() -> float:
        """Processor time of this process and the worker (clock_getcpuclockid)."""
        return time.process_time() + time.clock_gettime(~pid << 3 | 2)

    try:
        for number in range(rounds + 3):  # the first three warm up
            order = [(inside, here), (outside, there)]
            for engine, times in order if number % 2 else order[::-1]:
                used, began = cpu_s(), time.perf_counter()
                engine.input("in")[...] = frame
                engine.run()
                out[...] = engine.output("out")
                times.append((time.perf_counter() - began) * 1e3)
                cpu[times is there] += (cpu_s() - used) * 1e3 * (number >= 3)
            assert (out[:, ::100] == 77).all()
            out[...] = 0
    finally:
        outside.close()
    del here[:3], there[:3]
    added = [b - a for a, b in zip(here, there)]
    return RoundTrip(
        statistics.median(here), statistics.median(there), float(np.percentile(added, 10)),
        statistics.median(added), float(np.percentile(added, 99)), (cpu[1] - cpu[0]) / rounds, rounds,
    )  # fmt: skip


class Pictures:
    """Frames through an `Upscaler`: each has its number as pts and in its pixels."""

    unit = "frame"

    def __init__(
        self, model: str, backend: str, size: tuple[int, int], deadline_ms: float, allow_unsigned: bool
    ) -> None:
        self._allow_unsigned = allow_unsigned
        self._model, self._backend, self._deadline_ms = model, backend, deadline_ms
        self._frame = noise(*size)
        self._out: Frame | None = None

    def open(self, isolation: Isolation | None) -> Upscaler:
        """Without isolation there is only the conventional path, at the same pace."""
        self._upscaler = Upscaler.open(
            self._model, backend=self._backend, deadline_ms=self._deadline_ms,
            isolation=isolation or "none", background=isolation is None, allow_unsigned=self._allow_unsigned,
        )  # fmt: skip
        if isolation is None:
            self._upscaler.wait()
            self._upscaler._load_error = None
            self._upscaler._loaded.clear()  # frames pass by
        return self._upscaler

    def step(self, number: int) -> bool:
        """One frame; whether what came out is of this frame."""
        self._frame.pts = number
        self._frame.planes[1][0, :8] = number % 251
        self._out = self._upscaler.process(self._frame, self._out)
        return self._out.pts == number and bool((self._out.planes[1][0, :6] == number % 251).all())


class Sound:
    """Hops of a tone through a `DialogEnhancer`; a step that no tone has is a click."""

    unit = "hop"

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._phase = 0
        self._last = np.zeros((1, 2), np.float32)
        self._level = 0.02

    def open(self, isolation: Isolation | None) -> DialogEnhancer:
        """Without isolation the level is off: only the dry path, at the same pace."""
        self._phase, self._last = 0, np.zeros((1, 2), np.float32)
        self._enhancer = DialogEnhancer.open(
            backend=self._backend, deadline_ms=8.0, isolation=isolation or "none",
            level="high" if isolation else "off",
        )  # fmt: skip
        return self._enhancer

    def step(self, number: int) -> bool:
        """One hop; whether as much came out, without a click."""
        t = (self._phase + np.arange(720)) / 48000
        tone = (0.1 * np.sin(2 * np.pi * 200 * t)).astype(np.float32)
        self._phase += 720
        out = self._enhancer.process(np.repeat(tone[:, None], 2, axis=1))
        steps = np.abs(np.diff(np.concatenate([self._last, out]), axis=0)).max()
        self._last = out[-1:]
        return len(out) == 720 and bool(steps < 1.2 * 0.4 * 2 * np.pi * 200 / 48000)


def run_faults(
    stream: Pictures | Sound, policy: Isolation, frames: int, interval_s: float, every: int, control: int
) -> str:
    """Pace ``frames``, with faults; what came of it."""
    lines = []
    if control:
        with stream.open(None):
            calm = paced(stream, control, interval_s, lambda number: None)
        lines.append(f"- {control} {stream.unit}s without worker and faults: {calm}")
    faults, shown, seen = policy.faults, Counter[str](), {}
    assert faults is not None
    with stream.open(policy) as opened:
        deadline = time.perf_counter() + 30.0
        while (opened.record().frames_enhanced or 0) < 3 and time.perf_counter() < deadline:
            stream.step(0)
            time.sleep(interval_s)

        def before(number: int) -> None:
            """A worker that is away (one that never starts is, for longer) has no fault this time."""
            status = opened.worker
            assert status is not None
            for restart in status.recent:
                seen[restart.at] = restart
            ready = status.state == "ready" and not faults.pending
            if ready and number % every == every - 1:
                kind = KINDS[shown.total() % len(KINDS)]
                shown[kind] += 1
                faults.inject(kind)

        outcome = paced(stream, frames, interval_s, before)
        record = opened.record()
        before(0)
    kinds = ", ".join(f"{kind} {count}" for kind, count in shown.items())
    return "\n".join(
        [
            *lines,
            f"- {frames} {stream.unit}s every {interval_s * 1e3:.1f} ms with a worker, "
            f"{shown.total()} faults ({kinds}): {outcome}",
            f"- enhanced {record.frames_enhanced}, conventional {record.frames_bypassed}",
            f"- {backs(list(seen.values()))}",
        ]
    )


def paced(stream: Pictures | Sound, frames: int, interval_s: float, before: Callable[[int], None]) -> Outcome:
    late = unqueued = alone = late_alone = woken_late = right = 0
    due = time.perf_counter()
    for number in range(frames):
        due += interval_s
        pause = due - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        else:
            due -= pause  # the player lost time; later frames are due later
        began = time.perf_counter()
        woken_late += began - due > interval_s / 2
        before(number)
        waited, taken = waited_s(), taken_ticks()
        right += stream.step(number)
        took = time.perf_counter() - began
        left_alone = taken_ticks() == taken
        alone += left_alone
        if took > interval_s:
            late += 1
            unqueued += took - (waited_s() - waited) > interval_s
            late_alone += left_alone
    return Outcome(frames, right, late, unqueued, alone, late_alone, woken_late)


@dataclass(frozen=True)
class Outcome:
    """``late``: not out within the interval from when the player asked; ``unqueued``: those that were late
    without the time that the player's thread waited for a processor. ``alone``: frames during which the host
    of a virtual machine took no processor for others, and ``late_alone`` those of them that were late.
    ``woken_late``: the player itself was not run in time."""

    frames: int
    right: int
    late: int
    unqueued: int
    alone: int
    late_alone: int
    woken_late: int

    def __str__(self) -> str:
        return (
            f"right, in order, once: {self.right} of {self.frames}; late {self.late / self.frames:.3%} "
            f"({self.unqueued / self.frames:.3%} without waiting for a processor; to reach 0.333 %), "
            f"{self.late_alone / max(self.alone, 1):.3%} of the {self.alone / self.frames:.1%} during which "
            "the host took no processor away; "
            f"woken late by the system {self.woken_late / self.frames:.1%}"
        )


def backs(restarts: list[Restart]) -> str:
    """How long workers were away: from the notice of their end to the next one's readiness."""
    away = [(r.back_at - r.at) * 1e3 - (r.load_ms or 0) for r in restarts if r.back_at is not None]
    if not away:
        return "no worker was lost"
    by_code = Counter(r.code for r in restarts)
    p50, p95 = np.percentile(away, [50, 95])
    return (
        f"{len(away)} restarts ({', '.join(f'{c} {n}' for c, n in by_code.items())}): back after "
        f"{p50:.0f} ms median, {p95:.0f} ms p95, {max(away):.0f} ms max + load time (to reach 100 ms)"
    )


def waited_s() -> float:
    """How long this thread was ready to run and waited for a processor (schedstat)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def taken_ticks() -> int:
    """Ticks that the host of a virtual machine took from all processors (steal of /proc/stat)."""
    with open("/proc/stat") as stat:
        return int(stat.readline().split()[8])


if __name__ == "__main__":
    sys.exit(main())
