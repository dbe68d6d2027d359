"""Real audio encoders at broadcast and streaming rates: what they take away and add belongs to film sound."""

from __future__ import annotations

import io

import av
import numpy as np
import soxr
from numpy.typing import NDArray

RATE_HZ = 48000  # the only rate that all of them take

# Encoder, container and bit rates of one channel.
ENCODERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "aac": ("matroska", (32000, 48000, 64000, 96000)),
    "libopus": ("matroska", (16000, 24000, 48000, 64000)),
    "eac3": ("matroska", (48000, 64000, 96000)),
}


def encode_decode(x: NDArray[np.float32], rate_hz: int, encoder: str, bit_rate: int) -> NDArray[np.float32]:
    """A mono sound as a decoder gives it, aligned with the input and as long; ``(samples,)``.

    Peaks above full scale are lowered for the encoder and raised again.
    """
    peak = max(1.0, float(np.abs(x).max(initial=0)) / 0.9)
    source = soxr.resample(x / peak, rate_hz, RATE_HZ, "MQ") if rate_hz != RATE_HZ else x / peak
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=ENCODERS[encoder][0]) as container:
        stream = container.add_stream(encoder, rate=RATE_HZ)
        stream.bit_rate, stream.layout = bit_rate, "mono"
        resampler = av.AudioResampler(stream.codec_context.format, "mono", RATE_HZ)
        frame = av.AudioFrame.from_ndarray(source.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        fifo = av.AudioFifo()
        for piece in resampler.resample(frame):
            fifo.write(piece)
        while (piece := fifo.read(stream.codec_context.frame_size or 1024)) is not None:
            container.mux(stream.encode(piece))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        to_float = av.AudioResampler("fltp", "mono", RATE_HZ)
        decoded = [p.to_ndarray()[0] for f in container.decode(audio=0) for p in to_float.resample(f)]
    out = np.concatenate(decoded)
    out = np.pad(out, (0, max(0, len(source) - len(out))))[: len(source)]
    out = np.roll(out, -_lag(out, source))
    if rate_hz != RATE_HZ:
        out = soxr.resample(out, RATE_HZ, rate_hz, "MQ")
    out = np.pad(out, (0, max(0, len(x) - len(out))))[: len(x)]
    return np.asarray(out * peak, np.float32)


def _lag(out: NDArray[np.float32], source: NDArray[np.float32]) -> int:
    """By how many samples ``out`` is late, by the peak of the cross-correlation."""
    middle = max(0, len(source) // 2 - RATE_HZ // 2)
    source, out = source[middle : middle + RATE_HZ], out[middle : middle + RATE_HZ]
    size = 2 * RATE_HZ
    product = np.fft.rfft(out, size) * np.conj(np.fft.rfft(source, size))
    lag = int(np.argmax(np.fft.irfft(product, size)))
    return lag if lag < size // 2 else lag - size
