"""The stream phase of task "de": noise that tells where it belongs through `DialogEnhancer`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lumavox.audio import DialogEnhancer
from lumavox.bundle import Bundle

from .faulty import Faulty
from .job import Job
from .recorder import Recorder
from .sound_marks import AMPLITUDE, PIECE_S, Listener, noise
from .stream import Watch, observe_telemetry, synchronization
from .tap import Tap

__all__ = ["stream_de"]

LEVEL = "low"
MAX_GAIN_DB = 12.0
"""The loudest or quietest that any level could make the noise."""

ECHO = 0.7
"""A piece that is as strong as that in a second place was repeated."""


def stream_de(job: Job, bundle: Bundle, recorder: Recorder) -> None:
    """Stream as much sound as ``job.frames`` hops, and observe what the output proves."""
    preset = job.preset
    rate, block = int(preset.rate), preset.block
    blocks = max(8, -(-round(job.frames * preset.interval_ms * 1e-3 * rate) // block))
    interval_s = block / rate
    faulty = Faulty(job.faults, interval_s)
    watch = Watch(job, recorder, faulty, interval_s, blocks)
    levels: list[float] = []
    broken = 0
    with Tap(job.cell.engine, marks=False) as tap, _enhancer(job, bundle, rate) as enhancer:
        delay = enhancer.delay_samples
        listener = Listener(rate, delay=delay)
        for n in range(blocks):
            sent = _block(faulty, n, block, rate, preset.channels)
            watch.wait(n)
            came = enhancer.process(sent)
            faulty.work(n)
            watch.done(n)
            broken += not bool(np.all(np.isfinite(came)))
            mono = np.nan_to_num(came.mean(axis=1))
            levels.append(float(np.sqrt(np.mean(np.square(mono)))))
            listener.push(mono)
            if watch.over:
                break
        telemetry = enhancer.record()
        listener.push(np.nan_to_num(enhancer.flush().mean(axis=1)))
    places = listener.end()
    recorder.set(telemetry=telemetry, engine_us=tap.histogram.buckets(), engine_max_us=tap.histogram.max_us)
    lags = [place.lag for place in places]
    _observe(job, recorder, lags, [place.echo for place in places], rate)
    _observe_levels(recorder, levels[2 + delay // block :], broken)
    observe_telemetry(job, recorder, telemetry)
    heard_ms = [-lag / rate * 1e3 for lag in lags if lag is not None]
    synchronization(heard_ms, recorder, job, 1 / PIECE_S)
    watch.finish()


def _enhancer(job: Job, bundle: Bundle, rate: int) -> DialogEnhancer:
    return DialogEnhancer.open(
        bundle,
        rate_hz=rate,
        channels=job.preset.channels,
        level=LEVEL,
        backend=job.cell.engine,
        threads=job.threads,
        deadline_ms=job.deadline_ms,
    )


def _block(faulty: Faulty, n: int, block: int, rate: int, channels: int) -> NDArray[np.float32]:
    """Block ``n`` in every channel, ``(block, channels)``; faults shift or exchange blocks."""
    shift = round(faulty.shift_s(n) * rate)
    place = faulty.number(n) if shift == 0 else n
    start = place * block - shift
    mono = np.zeros(block, np.float32)
    first = max(0, -start)
    if first < block:
        mono[first:] = noise(start + first, block - first)
    return np.repeat(mono[:, None], channels, axis=1)


def _observe(job: Job, recorder: Recorder, lags: list[int | None], echoes: list[float], rate: int) -> None:
    gates, pieces = job.gates, len(lags)
    missing = [k for k, lag in enumerate(lags) if lag is None]
    edge = max(1, min(50, pieces // 20))
    counts = (
        sum(k < edge for k in missing),
        sum(edge <= k < pieces - edge for k in missing),
        sum(k >= pieces - edge for k in missing),
    )
    limits = (gates.missing_start, gates.missing_middle, gates.missing_end)
    passed = all(count <= most for count, most in zip(counts, limits))
    recorder.observe(
        "every_sample_rendered", "stream", passed, len(missing), gates.missing_middle, "pieces", pieces,
        f"start {counts[0]}, middle {counts[1]}, end {counts[2]}",
    )  # fmt: skip
    piece = round(PIECE_S * rate)
    places = [k * piece + lag for k, lag in enumerate(lags) if lag is not None]
    reordered = sum(b <= a for a, b in zip(places, places[1:]))
    jumps = sum(abs(b - a) > piece // 8 for a, b in zip(lags, lags[1:]) if a is not None and b is not None)
    recorder.observe("samples_in_order", "stream", reordered == 0, reordered, 0, "pieces", pieces)
    recorder.observe("sample_matches_current_time", "stream", jumps == 0, jumps, 0, "jumps", pieces)
    repeated = sum(echo >= ECHO for echo in echoes)
    recorder.observe("no_duplicate_sample", "stream", repeated == 0, repeated, 0, "pieces", pieces)
    recorder.set(frames_strip="".join("M" if lag is None else "." for lag in lags))


def _observe_levels(recorder: Recorder, levels: list[float], broken: int) -> None:
    recorder.observe("sound_finite", "stream", broken == 0, broken, 0, "blocks", len(levels))
    usual = AMPLITUDE / np.sqrt(3)  # of noise that is spread evenly
    gains = 20 * np.log10(np.maximum(levels, 1e-9) / usual)
    worst = float(gains[np.argmax(np.abs(gains))]) if len(gains) else 0.0
    recorder.observe(
        "sound_plausible",
        "stream",
        abs(worst) <= MAX_GAIN_DB,
        round(worst, 2),
        MAX_GAIN_DB,
        "dB",
        len(levels),
    )
