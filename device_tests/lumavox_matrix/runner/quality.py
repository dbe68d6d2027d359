"""The quality phase: what a variant makes of content whose truth is known, in dB.

The lab measures the float32 reference on the same content with the same code (``reference``), and sends its
figures with the job: a device needs neither a float engine nor a sound or picture file. Picture: waves and
slanted edges, computed at a multiple of both sizes and averaged down, so that the small picture is the large
one seen by a camera. Sound: a voice of harmonics and formants that speaks and pauses, and over it noise and
a chord; what is left of the mixture after the network's mask is compared with the voice.

    measure(session)             # PSNR-Y of each picture, or SI-SDR of each second of sound
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lumavox._parse import parse
from lumavox.dsp import BandFrontEnd
from lumavox.session import Session
from lumavox.streaming import StreamingNetwork

from .job import Job
from .recorder import Recorder
from .sound_marks import noise
from .tap import as_bytes

__all__ = ["SECONDS", "measure", "mixture", "picture_pair", "psnr_db", "quality_phase", "si_sdr_db"]

PICTURES, SIZE = 4, (96, 64)  # of networks that take any size: width, height
SECONDS = 8  # some losses of rounded memories come after the first ones
HARMONICS = 20
_SLOW = 240  # samples
_VOICE_SHARE_DB = 3.0  # voice over background

Float = NDArray[np.float64]


def quality_phase(job: Job, session: Session, recorder: Recorder) -> None:
    """Observe how much is lost against the reference figures of the job; without them, the figures alone."""
    found = measure(session)
    sr = job.cell.task == "sr"
    name = "psnr_y" if sr else "si_sdr"
    count = len(found)
    recorder.observe(name, "quality", None, round(float(np.mean(found)), 3), None, "dB", count)
    if len(job.reference_db) != count:
        return
    lost = np.array(job.reference_db) - found
    if sr:
        recorder.observe(
            "delta_psnr_y_mean", "quality", None, round(float(lost.mean()), 4), None, "dB", count
        )
        recorder.observe(
            "delta_psnr_y_worst", "quality", None, round(float(lost.max()), 4), None, "dB", count
        )
    else:
        recorder.observe("delta_si_sdr", "quality", None, round(float(lost.mean()), 4), None, "dB", count)


def measure(session: Session) -> list[float]:
    """PSNR-Y in dB of each of ``PICTURES``, or SI-SDR in dB of the voice in each of ``SECONDS``."""
    return _pictures(session) if session.bundle.task == "sr" else _sound(session)


def psnr_db(truth: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
    """PSNR of 8-bit planes; equal ones are 100 dB."""
    error = float(np.mean(np.square(truth.astype(np.float64) - found)))
    return min(100.0, 10 * float(np.log10(255.0**2 / max(error, 1e-12))))


def si_sdr_db(truth: Float, found: Float) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., arXiv:1811.02508)."""
    own = float(np.dot(truth, truth)) or 1e-12
    part = (float(np.dot(truth, found)) / own) * truth
    rest = found - part
    return 10 * float(np.log10(max(float(np.dot(part, part)), 1e-12) / max(float(np.dot(rest, rest)), 1e-12)))


def picture_pair(n: int, width: int, height: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Picture ``n``: luma ``(height, width)``, and the truth ``(height * scale, width * scale)``, uint8."""
    ratio = Fraction(scale).limit_denominator(8)
    fine = _scene(n, width, height, ratio.numerator)
    small, large = (_averaged(fine, step) for step in (ratio.numerator, ratio.denominator))
    return np.rint(small).astype(np.uint8), np.rint(large).astype(np.uint8)


def mixture(rate_hz: int) -> tuple[Float, Float]:
    """The voice alone, and with background: each ``(n,)``, somewhat more than ``SECONDS``."""
    time_s = np.arange(int((SECONDS + 0.1) * rate_hz)) / rate_hz
    pitch = 140 * (1 + 0.18 * np.sin(2 * np.pi * 0.7 * time_s) + 0.03 * np.sin(2 * np.pi * 5.1 * time_s))
    phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
    slow_s = time_s[::_SLOW]  # formants move slowly, and so do emulated devices: computed now and then
    first = 550 + 250 * np.sin(2 * np.pi * 1.3 * slow_s)
    second = 1500 + 500 * np.sin(2 * np.pi * 0.9 * slow_s + 1)
    voice = np.zeros_like(time_s)
    for k in range(1, HARMONICS + 1):
        hz = k * pitch[::_SLOW]
        gain = (
            np.exp(-np.square((hz - first) / 160)) + 0.5 * np.exp(-np.square((hz - second) / 220)) + 0.25 / k
        )
        voice += np.interp(time_s, slow_s, gain) * np.sin(k * phase)
    voice *= np.clip(1.6 * np.sin(2 * np.pi * 2.1 * time_s) + 0.5, 0, 1)  # syllables
    hiss = np.convolve(noise(0, len(time_s)).astype(np.float64), np.ones(8) / 8, "same")
    chord = np.sum([np.sin(2 * np.pi * hz * time_s) for hz in (220.0, 277.2, 329.6)], axis=0)
    background = hiss / np.std(hiss) + 0.7 * chord
    background *= np.std(voice) / np.std(background) / 10 ** (_VOICE_SHARE_DB / 20)
    peak = 0.5 / float(np.abs(voice + background).max())
    return peak * voice, peak * (voice + background)


def _scene(n: int, width: int, height: int, step: int) -> Float:
    """Waves nearly as fine as the small picture can hold, and edges that are slanted. ``step`` points make a
    pixel of the small picture, so that it is as hard at every size."""
    y, x = np.mgrid[: height * step, : width * step]
    across, down = (x + 0.5) / step, (y + 0.5) / step
    total = np.zeros(across.shape)
    for i, (fx, fy) in enumerate(((0.02, 0.015), (0.05, -0.045), (0.09, 0.11), (0.17, -0.06), (0.21, 0.2))):
        total += np.sin(2 * np.pi * (fx * across + fy * down) + 1.7 * i + 0.9 * n) / (1 + i)
    for i, (angle, apart) in enumerate(((0.4, 31.0), (1.2, 43.0), (2.1, 57.0))):
        distance = np.cos(angle) * across + np.sin(angle) * down + 3.3 * n
        total += 0.7 * np.tanh(2.2 * apart * np.sin(np.pi * distance / apart)) * (-1) ** i
    grating = np.sin(2 * np.pi * 0.4 * across * (1 + 0.1 * np.sin(0.05 * down)))
    luma: Float = np.clip(128 + 34 * total + 12 * grating, 16, 235)
    return luma


def _averaged(plane: Float, step: int) -> Float:
    rows, columns = plane.shape[0] // step, plane.shape[1] // step
    means: Float = plane.reshape(rows, step, columns, step).mean(axis=(1, 3))
    return means


def _pictures(session: Session) -> list[float]:
    engine, variant = session.engine, session.variant
    source, target = variant.inputs[0], variant.outputs[0]
    nhwc = source.layout == "NHWC"
    width, height = SIZE
    if not variant.dynamic:
        height, width = source.shape[1:3] if nhwc else source.shape[2:4]
    engine.resize(source.name, (1, height, width, 1) if nhwc else (1, 1, height, width))
    scale = float(str(session.bundle.front_end["scale"]))
    found = []
    for n in range(PICTURES):
        luma, truth = picture_pair(n, width, height, scale)
        view = engine.input(source.name)
        if view.dtype.kind in "iu":
            bytes_ = luma.reshape(view.shape)
            view[...] = (bytes_ ^ np.uint8(0x80)).view(np.int8) if view.dtype == np.int8 else bytes_
        else:
            view[...] = luma.reshape(view.shape) * np.float32(1 / 255)
        del view  # an engine does not run while a view is held
        engine.run()
        found.append(psnr_db(truth, as_bytes(engine.output(target.name), target)))
    return found


def _sound(session: Session) -> list[float]:
    front_end = parse(BandFrontEnd, session.bundle.front_end, session.bundle.id, key="front_end")
    network = StreamingNetwork(session.engine, session.variant)
    voice, mixed = mixture(front_end.rate_hz)
    spectra = front_end.stft().analyze_all(mixed.astype(np.float32))
    features = front_end.features_of(spectra)
    masks = np.stack([network.step(np.ascontiguousarray(row)) for row in features])
    found = front_end.stft().synthesize_all(spectra * front_end.expand(masks)).astype(np.float64)
    ends = [slice(n * front_end.rate_hz, (n + 1) * front_end.rate_hz) for n in range(SECONDS)]
    return [si_sdr_db(voice[end], found[end]) for end in ends]
