"""The engine and reference phases: the bare engine on the test content, without the runtime around it.

What is wrong here is not the runtime's fault; what is right here and wrong in the stream is. The digest of
the outputs is the same wherever the same kernels run: cells of one model, engine and precision that must
agree bit for bit are compared by it.
"""

from __future__ import annotations

import hashlib
import time
from typing import Protocol

import numpy as np

from lumavox.session import Session
from lumavox.streaming import StreamingNetwork
from lumavox.telemetry import Histogram

from .job import Job
from .looks import fault_of
from .picture_marks import SMALLEST, Picture, read
from .recorder import Recorder
from .stream import LEAST_GROWTH_KIB, rss_kib, shown
from .tap import as_bytes

__all__ = ["engine_phase", "observe_golden", "reference_phase"]

FRAMES = 64
BUDGET_S = 20.0
"""No more frames are begun after so many seconds: emulated devices are slow."""

DIGEST_FRAMES = 4
WARM_FRAMES = 16
"""Memory that is taken later than in these is a leak: engines allocate in their first calls."""

REFERENCE_FRAMES = 16
ANOTHER_FRAME = "another frame"


def observe_golden(session: Session, recorder: Recorder) -> None:
    """How near the golden vector came when the session was opened, and what the engine says of itself."""
    check = session.self_check
    unit = "steps" if check.metric == "max_lsb" else "of full scale"
    recorder.observe(
        "golden_matches", "open", check.passed, check.value, check.floor, unit, 1, check.vector_id
    )
    recorder.observe("cold_load", "open", None, round(session.cold_load_ms, 2), None, "ms", 1)
    placement = getattr(session.engine, "placement", None)
    if placement is not None:
        recorder.observe("nodes_on_accelerator", "open", None, placement[0], placement[1], "operators", 1)


def engine_phase(job: Job, session: Session, recorder: Recorder) -> list[np.ndarray]:
    """Observe numbers, order and repeatability of the engine, and how long its calls take. The outputs of the
    first ``DIGEST_FRAMES`` frames."""
    content = _content(job, session)
    histogram, digest = Histogram(), hashlib.sha256()
    first: list[np.ndarray] = []
    faults: dict[str, list[int]] = {}
    began, budget_s = time.perf_counter(), min(BUDGET_S, job.budget_s or BUDGET_S)
    done, warm_kib = 0, None
    while done < min(FRAMES, job.frames):
        out = _timed(content, done, histogram)
        if done < DIGEST_FRAMES:
            digest.update(np.ascontiguousarray(out).tobytes())
            first.append(out)
        fault = content.fault(done, out)
        if fault:
            faults.setdefault(fault, []).append(done)
        done += 1
        if done == WARM_FRAMES:
            warm_kib = rss_kib()
        if time.perf_counter() - began > budget_s and done >= DIGEST_FRAMES:
            break
    _observe_memory(recorder, warm_kib, done)
    recorder.set(output_sha256=digest.hexdigest())
    content.begin()
    differing = sum(not np.array_equal(out, content.step(n)) for n, out in enumerate(first))
    recorder.observe("engine_repeatable", "engine", not differing, differing, 0, "frames", len(first))
    mismatched = faults.pop(ANOTHER_FRAME, [])
    recorder.observe(
        "engine_order", "engine", not mismatched, len(mismatched), 0, "frames", done, shown(mismatched)
    )
    wrong = sum(map(len, faults.values()))
    recorder.observe(
        "engine_output_plausible", "engine", not wrong, wrong, 0, "frames", done,
        "; ".join(f"{kind}: {shown(at)}" for kind, at in faults.items()) or None,
    )  # fmt: skip
    for percent in (50, 99):
        recorder.observe(
            f"engine_p{percent}", "engine", None, round(histogram.percentile(percent), 1), None, "us", done
        )
    return first


def _observe_memory(recorder: Recorder, warm_kib: int | None, frames: int) -> None:
    """Tells a leak of the engine from one of the runtime around it."""
    end_kib = rss_kib()
    if warm_kib is None or end_kib is None:
        return
    growth = max(0, end_kib - warm_kib)
    recorder.observe(
        "engine_memory_steady", "engine", growth < LEAST_GROWTH_KIB, growth, LEAST_GROWTH_KIB, "KiB",
        frames - WARM_FRAMES,
    )  # fmt: skip


def reference_phase(job: Job, session: Session, recorder: Recorder, first: list[np.ndarray]) -> None:
    """How long another variant takes on the same content, and how far ``first`` are from its outputs."""
    content = _content(job, session)
    histogram = Histogram()
    worst, squares, count = 0.0, 0.0, 0
    for n in range(min(REFERENCE_FRAMES, job.frames)):
        out = _timed(content, n, histogram)
        if n < len(first) and first[n].shape == out.shape:
            error = first[n].astype(np.float64) - out
            worst = max(worst, float(np.abs(error).max()))
            squares, count = squares + float(np.square(error).sum()), count + error.size
    recorder.set(reference_us=histogram.buckets(), reference_max_us=histogram.max_us)
    if not count:
        return
    peak = 255.0 if out.dtype.kind in "iu" else 1.0
    unit = "steps" if out.dtype.kind in "iu" else "of full scale"
    recorder.observe("reference_max_diff", "reference", None, worst, 0.0, unit, count)
    psnr = 10 * np.log10(peak**2 / max(squares / count, peak**2 * 1e-10))
    recorder.observe("reference_psnr", "reference", None, round(float(psnr), 2), None, "dB", count)


class _Content(Protocol):
    """Test content for an engine."""

    def begin(self) -> None:
        """A new stream: states at zero."""

    def step(self, n: int) -> np.ndarray:
        """What the engine makes of frame ``n``; the caller's own."""

    def fault(self, n: int, out: np.ndarray) -> str | None:
        """What is wrong with it, or None."""


class _Pictures:
    def __init__(self, job: Job, session: Session) -> None:
        self._engine = session.engine
        variant = session.variant
        self._source, self._target = variant.inputs[0], variant.outputs[0]
        if variant.dynamic:
            multiple = int(str(session.bundle.front_end.get("multiple", 1)))
            self._height, self._width = (
                side // multiple * multiple for side in (job.preset.height, job.preset.width)
            )
        else:
            shape = self._source.shape
            self._height, self._width = shape[1:3] if self._source.layout == "NHWC" else shape[2:4]
        self._marked = self._width >= SMALLEST[0] and self._height >= SMALLEST[1]
        self._picture = Picture(max(self._width, SMALLEST[0]), max(self._height, SMALLEST[1]))
        rows, columns = self._height, self._width
        nhwc = self._source.layout == "NHWC"
        self._engine.resize(self._source.name, (1, rows, columns, 1) if nhwc else (1, 1, rows, columns))

    def begin(self) -> None:
        pass  # pictures are enlarged one by one

    def step(self, n: int) -> np.ndarray:
        view = self._engine.input(self._source.name)
        plane = self._luma(n).reshape(view.shape)
        if view.dtype == np.int8:
            view[...] = (plane ^ np.uint8(0x80)).view(np.int8)
        elif view.dtype == np.uint8:
            view[...] = plane
        else:
            np.multiply(plane, np.float32(1 / 255), out=view, dtype=np.float32)
        del view  # an engine does not run while a view is held
        self._engine.run()
        return self._engine.output(self._target.name).copy()

    def fault(self, n: int, out: np.ndarray) -> str | None:
        if not np.all(np.isfinite(out)):
            return "not finite"
        plane = as_bytes(out, self._target)
        number = read(plane).number if self._marked else n
        if number is not None and number != n:
            return ANOTHER_FRAME
        return fault_of(self._luma(n), plane) or ("unreadable" if number is None else None)

    def _luma(self, n: int) -> np.ndarray:
        return np.ascontiguousarray(self._picture.luma(n)[: self._height, : self._width])


class _Features:
    def __init__(self, session: Session) -> None:
        self._network = StreamingNetwork(session.engine, session.variant)
        self._bands = np.arange(self._network.bands, dtype=np.float32)

    def begin(self) -> None:
        self._network.reset()

    def step(self, n: int) -> np.ndarray:
        # A formant that wanders up and down over a floor.
        centre = len(self._bands) / 2 * (1 + 0.6 * np.sin(n / 7))
        formant = np.exp(-np.square((self._bands - centre) / 9)) * (1 + 0.5 * np.sin(n / 3))
        return self._network.step((0.05 + 0.6 * formant).astype(np.float32))

    def fault(self, n: int, out: np.ndarray) -> str | None:
        if not np.all(np.isfinite(out)):
            return "not finite"
        return None if float(out.min()) >= -0.01 and float(out.max()) <= 1.01 else "outside 0..1"


def _content(job: Job, session: Session) -> _Content:
    return _Pictures(job, session) if job.cell.task == "sr" else _Features(session)


def _timed(content: _Content, n: int, histogram: Histogram) -> np.ndarray:
    started = time.perf_counter()
    out = content.step(n)
    histogram.add((time.perf_counter() - started) * 1e6)
    return out
