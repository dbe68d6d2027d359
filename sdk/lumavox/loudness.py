"""Loudness and true peak of sound: ITU-R BS.1770-4, with the gating of EBU R 128.

A meter, not a leveller: nothing here changes sound. Blocks of any size go in, in order; the numbers can be
read at any time. Checked against the signals of EBU Tech 3341.

    meter = LoudnessMeter(rate_hz=48000, channels=2)
    meter.add(block)                                  # (n, 2) float32 or int16, full scale 1.0 or 32768
    meter.integrated_lufs, meter.true_peak_dbtp       # -23.0, -1.2
    true_peak_dbtp(samples)                           # of a whole signal

Channel order is L R C LFE Ls Rs (5.1) and L R C LFE Lb Rb Ls Rs (7.1); see ``CHANNEL_WEIGHTS``.
Silence measures ``-inf``.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

from .errors import AudioError

Float = NDArray[np.float32]
Samples = NDArray[np.float32] | NDArray[np.int16]

MIN_RATE_HZ, MAX_RATE_HZ = 8000, 192000

# BS.1770-4 tables 3 and 4: +1.5 dB for surrounds at 60-120 degrees, the LFE does not count.
_SURROUND = 1.41
CHANNEL_WEIGHTS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (1.0, 1.0),
    3: (1.0, 1.0, 1.0),  # L R C
    4: (1.0, 1.0, _SURROUND, _SURROUND),  # L R Ls Rs
    5: (1.0, 1.0, 1.0, _SURROUND, _SURROUND),  # L R C Ls Rs
    6: (1.0, 1.0, 1.0, 0.0, _SURROUND, _SURROUND),
    7: (1.0, 1.0, 1.0, 0.0, 1.0, _SURROUND, _SURROUND),  # L R C LFE Cb Ls Rs
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, _SURROUND, _SURROUND),
}

_OFFSET_LU = -0.691  # BS.1770-4 equation 2
ABSOLUTE_GATE_LUFS = -70.0
_STEP_S = 0.1  # all measures are made of steps of this length

# BS.1770-4 Annex 2: order 48, four phases of twelve taps. Row p, dotted with x[n-11..n] reversed, is the
# signal between x[n-6] and x[n-5].
TRUE_PEAK_FIR = np.array(
    [
        [0.001708984375, 0.010986328125, -0.0196533203125, 0.033203125, -0.0594482421875, 0.1373291015625,
         0.97216796875, -0.102294921875, 0.047607421875, -0.026611328125, 0.014892578125, -0.00830078125],
        [-0.0291748046875, 0.029296875, -0.0517578125, 0.089111328125, -0.16650390625, 0.465087890625,
         0.77978515625, -0.2003173828125, 0.1015625, -0.0582275390625, 0.0330810546875, -0.0189208984375],
        [-0.0189208984375, 0.0330810546875, -0.0582275390625, 0.1015625, -0.2003173828125, 0.77978515625,
         0.465087890625, -0.16650390625, 0.089111328125, -0.0517578125, 0.029296875, -0.0291748046875],
        [-0.00830078125, 0.014892578125, -0.026611328125, 0.047607421875, -0.102294921875, 0.97216796875,
         0.1373291015625, -0.0594482421875, 0.033203125, -0.0196533203125, 0.010986328125, 0.001708984375],
    ],
    np.float32,
)  # fmt: skip
TRUE_PEAK_TAPS = TRUE_PEAK_FIR.shape[1]
# The same as one small matrix product per 16 samples: (27 samples) -> (16 x 4 interpolated ones).
_PEAK_BLOCK = 16
_PEAK_SPAN = _PEAK_BLOCK + TRUE_PEAK_TAPS - 1
_PEAK_MATRIX = np.zeros((_PEAK_SPAN, TRUE_PEAK_FIR.shape[0], _PEAK_BLOCK), np.float32)
for _i in range(_PEAK_BLOCK):
    _PEAK_MATRIX[_i : _i + TRUE_PEAK_TAPS, :, _i] = TRUE_PEAK_FIR[:, ::-1].T
_PEAK_MATRIX = _PEAK_MATRIX.reshape(_PEAK_SPAN, -1)
TRUE_PEAK_BOUND = float(np.abs(TRUE_PEAK_FIR).sum(1).max())  # no peak exceeds this times the sample peak


class LoudnessMeter:
    """Momentary, short-term and integrated loudness, loudness range and true peak of a stream.

    ``rate_hz`` is 8000..192000, ``channels`` 1..8. Raises AudioError for others, and in ``add`` for blocks
    of another shape or dtype. Samples that are not finite count as silence.
    """

    def __init__(self, rate_hz: int = 48000, channels: int = 2) -> None:
        check_format(rate_hz, channels)
        self.rate_hz = rate_hz
        self.channels = channels
        self._step = round(_STEP_S * rate_hz)
        self._weights = np.array(CHANNEL_WEIGHTS[channels])
        # The response of the K filter is over (-120 dB) after 85 ms, so filtering is one product of spectra.
        self._kept = round(0.085 * rate_hz)
        self._fft = _fast_size(self._step + self._kept)
        impulse = np.zeros(self._kept)
        impulse[0] = 1.0
        for b, a in k_weighting(rate_hz):
            impulse = _biquad(impulse, b, a)
        self._response = np.fft.rfft(impulse, self._fft)
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self._history = np.zeros((self.channels, self._kept), np.float32)
        self._pending = np.zeros((self._step, self.channels), np.float32)
        self._filled = 0
        self._powers = array("d")  # weighted mean square of each step
        self._peak = 0.0
        self._peak_history = np.zeros((TRUE_PEAK_TAPS - 1, self.channels), np.float32)

    def add(self, block: Samples) -> None:
        """Measure the next samples: ``(n,)`` if mono, or ``(n, channels)``; float32 or int16."""
        samples = to_float(as_frames(block, self.channels))
        at = 0
        while at < len(samples):
            take = min(self._step - self._filled, len(samples) - at)
            self._pending[self._filled : self._filled + take] = samples[at : at + take]
            self._filled += take
            at += take
            if self._filled == self._step:
                self._measure()

    def _measure(self) -> None:
        self._filled = 0
        self._peak = max(self._peak, self._pending_peak())
        self._peak_history = self._pending[-len(self._peak_history) :].copy()
        signal = np.concatenate([self._history, self._pending.T], axis=1)
        self._history = signal[:, -self._kept :]
        weighted = np.fft.irfft(np.fft.rfft(signal, self._fft) * self._response, self._fft)
        weighted = weighted[:, self._kept : self._kept + self._step]
        self._powers.append(float(np.einsum("cn,cn,c", weighted, weighted, self._weights)) / self._step)

    def _pending_peak(self) -> float:
        samples = self._pending[: self._filled or self._step]
        top = max(float(np.abs(samples).max(initial=0.0)), float(np.abs(self._peak_history).max()))
        if top * TRUE_PEAK_BOUND <= self._peak:
            return 0.0  # cannot be a new peak
        return float(interpolated_peaks(np.concatenate([self._peak_history, samples])).max(initial=0.0))

    @property
    def momentary_lufs(self) -> float:
        """Loudness of the last 400 ms."""
        return self._last(4)

    @property
    def short_term_lufs(self) -> float:
        """Loudness of the last 3 s."""
        return self._last(30)

    @property
    def integrated_lufs(self) -> float:
        """Gated loudness since the beginning: 400 ms blocks, 75 % overlap, gates at -70 LUFS and -10 LU."""
        blocks = self._windows(4)
        loud = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
        if not len(loud):
            return -math.inf
        gate = float(_lufs(loud.mean())) - 10.0
        return float(_lufs(loud[_lufs(loud) > gate].mean()))

    @property
    def loudness_range_lu(self) -> float:
        """Loudness range (EBU Tech 3342): 10th to 95th percentile of short-term loudness, gate at -20 LU."""
        blocks = self._windows(30)
        loud = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
        if not len(loud):
            return 0.0
        levels = _lufs(loud)
        levels = levels[levels > float(_lufs(loud.mean())) - 20.0]
        low, high = np.percentile(levels, [10, 95])
        return float(high - low)

    @property
    def true_peak_dbtp(self) -> float:
        """Highest true peak of all channels since the beginning, in dB of full scale."""
        peak = max(self._peak, self._pending_peak() if self._filled else 0.0)
        tail = np.concatenate([self._peak_history, self._pending[: self._filled]])[-TRUE_PEAK_TAPS + 1 :]
        ringing = np.concatenate([tail, np.zeros_like(tail)])  # peaks between the last samples
        return _db(max(peak, float(interpolated_peaks(ringing).max())))

    def _last(self, steps: int) -> float:
        if len(self._powers) < steps:
            return -math.inf
        return float(_lufs(float(np.mean(self._powers[-steps:]))))

    def _windows(self, steps: int) -> NDArray[np.float64]:
        powers = np.array(self._powers)
        if len(powers) < steps:
            return np.zeros(0)
        return np.lib.stride_tricks.sliding_window_view(powers, steps).mean(1)


def true_peak_dbtp(samples: Samples) -> float:
    """True peak of a whole signal in dB of full scale: ``(n,)`` or ``(n, channels)``, float32 or int16.

    Four-fold interpolation of BS.1770-4 Annex 2; the samples themselves count too. Silence gives ``-inf``.
    """
    frames = to_float(as_frames(samples, samples.shape[1] if samples.ndim == 2 else 1))
    edge = np.zeros((TRUE_PEAK_TAPS - 1, frames.shape[1]), np.float32)
    padded = np.concatenate([edge, frames, edge])  # peaks before the first and after the last sample count
    peak = 0.0
    for start in range(0, len(padded) - len(edge), 1 << 12):  # a piece that fits the cache
        peak = max(peak, float(interpolated_peaks(padded[start : start + (1 << 12) + len(edge)]).max()))
    return _db(peak)


def interpolated_peaks(samples: Float) -> Float:
    """True peaks of ``(n + 11, channels)`` as ``(n,)``: the largest of all channels and phases.

    Entry ``i`` covers the span between samples ``i + 5`` and ``i + 6``, both included.
    """
    n, channels = len(samples) - TRUE_PEAK_TAPS + 1, samples.shape[1]
    blocks = -(-n // _PEAK_BLOCK)
    padded = np.zeros((channels, blocks * _PEAK_BLOCK + TRUE_PEAK_TAPS - 1), np.float32)
    padded[:, : len(samples)] = samples.T
    spans = np.lib.stride_tricks.sliding_window_view(padded, _PEAK_SPAN, axis=1)[:, ::_PEAK_BLOCK]
    between = spans @ _PEAK_MATRIX
    np.abs(between, out=between)
    between = between.reshape(channels, blocks, -1, _PEAK_BLOCK).max((0, 2)).reshape(-1)[:n]
    at = np.abs(samples[5:-5]).max(1)
    return np.asarray(np.maximum(between, np.maximum(at[:-1], at[1:])), np.float32)


def k_weighting(rate_hz: float) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The two biquads ``(b, a)`` of K weighting at any rate: head shelf, then low cut.

    BS.1770-4 gives coefficients at 48 kHz; these are the analogue prototypes behind them (bilinear
    transform; parameters of libebur128), equal to the tables within 1e-6 at 48 kHz.
    """
    gain, q, f0 = 10 ** (3.999843853973347 / 20), 0.7071752369554196, 1681.974450955533
    k = math.tan(math.pi * f0 / rate_hz)
    vb = gain**0.4996667741545416
    a0 = 1 + k / q + k * k
    b = np.array([gain + vb * k / q + k * k, 2 * (k * k - gain), gain - vb * k / q + k * k]) / a0
    shelf = b, np.array([1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0])
    q, f0 = 0.5003270373238773, 38.13547087602444
    k = math.tan(math.pi * f0 / rate_hz)
    a0 = 1 + k / q + k * k
    cut = np.array([1.0, -2.0, 1.0]), np.array([1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0])
    return [shelf, cut]


def k_weighting_power(rate_hz: float, window: int) -> NDArray[np.float64]:
    """Power response ``(window // 2 + 1,)`` of K weighting at the bins of an FFT."""
    z = np.exp(-2j * np.pi * np.arange(window // 2 + 1) / window)
    power = np.ones(window // 2 + 1)
    for b, a in k_weighting(rate_hz):
        power *= np.abs((b[0] + b[1] * z + b[2] * z**2) / (a[0] + a[1] * z + a[2] * z**2)) ** 2
    return power


def check_format(rate_hz: int, channels: int) -> None:
    """Raise AudioError unless rate and channel count can be handled."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or rate_hz != int(rate_hz):
        raise AudioError(
            f"sound at {rate_hz} Hz cannot be handled: the rate must be a whole number from {MIN_RATE_HZ} to "
            f"{MAX_RATE_HZ} Hz; resample it first"
        )
    if channels not in CHANNEL_WEIGHTS:
        raise AudioError(
            f"{channels} channels cannot be handled: 1 (mono) to 8 (7.1) are possible; downmix them first"
        )


def as_frames(block: Samples, channels: int) -> Samples:
    """``block`` as a view ``(n, channels)``; AudioError if shape or dtype differ from what is possible."""
    if not isinstance(block, np.ndarray) or block.dtype not in (np.float32, np.int16):
        got = block.dtype if isinstance(block, np.ndarray) else type(block).__name__
        raise AudioError(
            f"a block of {got} was given: blocks are numpy arrays of float32 (full scale 1) or int16"
        )
    if block.ndim == 1 and channels == 1:
        return block[:, None]
    if block.ndim != 2 or block.shape[1] != channels:
        wanted = "(n,) or (n, 1)" if channels == 1 else f"(n, {channels})"
        raise AudioError(
            f"a block of shape {block.shape} was given: for {channels} channel(s) it is {wanted}"
        )
    return block


def to_float(frames: Samples) -> Float:
    """float32 with full scale 1.0; samples that are not finite become 0."""
    if frames.dtype == np.int16:
        return frames.astype(np.float32) / np.float32(32768)
    # One cheap pass tells whether there is anything to repair.
    if math.isfinite(float(np.abs(frames).max(initial=0.0))):
        return np.asarray(frames, np.float32)
    return np.where(np.isfinite(frames), frames, np.float32(0)).astype(np.float32)


def _biquad(x: NDArray[np.float64], b: NDArray[np.float64], a: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty_like(x)
    s1 = s2 = 0.0
    for n, value in enumerate(x.tolist()):  # transposed direct form II; runs once, over one impulse
        y = b[0] * value + s1
        s1 = b[1] * value - a[1] * y + s2
        s2 = b[2] * value - a[2] * y
        out[n] = y
    return out


def _fast_size(n: int) -> int:
    """The least length of at least ``n`` with no prime factor above 5, which FFTs are fast at."""
    smooth = {2**a * 3**b * 5**c for a in range(1, 18) for b in range(5) for c in range(4)}
    return min(size for size in smooth if size >= n)


def lufs(power: float) -> float:
    """Loudness in LUFS of a K-weighted, channel-weighted mean square; ``-inf`` of none."""
    return _OFFSET_LU + 10 * math.log10(power) if power > 0 else -math.inf


def power_of(loudness_lufs: float) -> float:
    """The inverse of `lufs`."""
    return float(10 ** ((loudness_lufs - _OFFSET_LU) / 10))


def _lufs(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(_OFFSET_LU + 10 * np.log10(power))


def _db(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
