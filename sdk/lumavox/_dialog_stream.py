"""The clockwork of a `DialogEnhancer`: blocks of any size, rate and format around a fixed grid of hops.

The dry sound waits in its own format. Beside it, at the network's rate, hops give what must be added
(`_dialog_path`), which comes back to the stream's rate, is mixed with the dry sound, made up and limited.
Everything is computed per hop, on a grid that depends on the count of samples only: that is why the
output does not depend on the block size. Where nothing was changed the waiting samples go out as they are.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._dialog_layout import front_channels
from ._dialog_path import DialogPath, FrameGains
from .dsp import BandFrontEnd
from .limiter import TruePeakLimiter
from .loudness import to_float
from .resampler import Resampler
from .speech import BEGIN_LAG_S, END_LAG_S
from .telemetry import Meter

Float = NDArray[np.float32]
Frames = NDArray[Any]  # float32 or int16, (n, channels)

INT16_SCALE = np.float32(32768)


class DialogStream:
    """Moves samples ``(n, channels)`` through ``path`` and keeps the time.

    ``ceiling_dbtp`` is the limiter's; with ``stems`` the dialog comes out beside the remix.
    """

    def __init__(
        self,
        front_end: BandFrontEnd,
        path: DialogPath,
        rate_hz: int,
        channels: int,
        meter: Meter,
        ceiling_dbtp: float,
        stems: bool,
    ) -> None:
        self._path, self._meter, self._channels = path, meter, channels
        self._hop = front_end.hop
        self._rate_hz, self._network_hz = rate_hz, front_end.rate_hz
        self._fronts = front_channels(channels)
        self._to_network = Resampler(rate_hz, front_end.rate_hz, channels)
        self._from_network = Resampler(front_end.rate_hz, rate_hz, self._fronts * (1 + stems))
        self._limiter = TruePeakLimiter(rate_hz, channels, ceiling_dbtp)
        self._stems = stems
        self.spans: list[tuple[int, int]] = []  # of speech that has ended, in samples of the stream
        self._delay = delay_samples(front_end, rate_hz)
        self._last_crossing: tuple[tuple[int, int, int], tuple[NDArray[np.intp], Float]] | None = None
        self._piece = max(1, self._hop * rate_hz // front_end.rate_hz)
        self.begin(np.dtype(np.float32))

    def begin(self, dtype: np.dtype[Any]) -> None:
        """A new stream of samples of ``dtype``: silence until its first sample comes out."""
        self._to_network.reset()
        self._from_network.reset()
        self._limiter.reset()
        look_ahead = self._limiter.delay_samples
        # Both begin in the past: dry sound with what the limiter looks back at, output with the delay.
        self._dry = np.zeros((look_ahead, self._channels), dtype)
        self._ready = np.zeros((self._delay - look_ahead, self._channels), dtype)
        self._dialog = np.zeros((look_ahead, self._fronts), np.float32)
        self._ready_dialog, self._ready_rest = self._ready, self._ready
        self._spoken_since: int | None = None
        self._hops = 0
        self._mixed = 0  # samples of the stream that went into the limiter
        self._gains = (FrameGains(), FrameGains(), FrameGains())  # the last frames, newest last

    def end(self) -> None:
        """The stream ends, and a span of speech with it; what was fed last only pushed out the rest."""
        if self._spoken_since is not None:
            heard = self._hops * self._hop * self._rate_hz // self._network_hz
            self.spans.append((self._spoken_since, max(self._spoken_since, heard - self._delay)))
            self._spoken_since = None

    def process(
        self, frames: Frames, out: Frames, dialog: Frames | None = None, rest: Frames | None = None
    ) -> None:
        """As many samples as ``frames`` has into ``out``, which may be the same memory.

        ``dialog`` and ``rest`` are filled likewise, with what is dialog and what is not.
        """
        for start in range(0, len(frames), self._piece):
            piece = frames[start : start + self._piece]
            size = len(piece)
            sound = to_float(piece)
            if piece.dtype == np.float32 and sound is not piece:
                self._meter.add_error("DE.E_NOT_FINITE")
                piece = sound
            self._dry = np.concatenate([self._dry, piece])
            self._to_network.push(sound)
            while self._to_network.available >= self._hop:
                self._advance()
            out[start : start + size] = self._ready[:size]
            self._ready = self._ready[size:]
            if self._stems:
                if dialog is not None and rest is not None:
                    dialog[start : start + size] = self._ready_dialog[:size]
                    rest[start : start + size] = self._ready_rest[:size]
                self._ready_dialog, self._ready_rest = self._ready_dialog[size:], self._ready_rest[size:]

    def _advance(self) -> None:
        """One hop through the network, and all samples that are complete by it into the output."""
        began = time.perf_counter()
        step = self._path.step(self._to_network.pull(self._hop))
        self._gains = (*self._gains[1:], step.gains)
        self._hops += 1
        self._note_speech(self._path.speech.active)
        if self._hops > 1:  # the first frame completes a hop before the stream
            parts = step.change if step.dialog is None else np.concatenate([step.change, step.dialog], 1)
            self._from_network.push(parts)
            pulled = self._from_network.pull(self._from_network.available)
            if self._stems:
                self._part(pulled[:, self._fronts :])
            self._mix(pulled[:, : self._fronts])
        self._meter.frames_in += 1
        self._meter.frames_enhanced += step.enhanced
        self._meter.frames_bypassed += not step.enhanced
        self._meter.add_latency_us((time.perf_counter() - began) * 1e6)

    def _note_speech(self, active: bool) -> None:
        heard = self._hops * self._hop * self._rate_hz // self._network_hz
        if active and self._spoken_since is None:
            self._spoken_since = max(0, heard - round(BEGIN_LAG_S * self._rate_hz))
        elif not active and self._spoken_since is not None:
            since, self._spoken_since = self._spoken_since, None
            self.spans.append((since, max(since, heard - round(END_LAG_S * self._rate_hz))))

    def _part(self, dialog: Float) -> None:
        """The dialog, as late as the limiter's output, and what the dry sound has beside it."""
        count = len(dialog)
        late = np.concatenate([self._dialog, dialog])
        self._dialog = late[count:]
        dry = self._dry[:count]
        part = np.zeros_like(dry)
        part[:, : self._fronts] = _as_dtype(late[:count], dry.dtype)
        self._ready_dialog = np.concatenate([self._ready_dialog, part])
        self._ready_rest = np.concatenate([self._ready_rest, _without(dry, part)])

    def _mix(self, change: Float) -> None:
        count, fronts = change.shape
        look_ahead = self._limiter.delay_samples
        mixed = to_float(self._dry[look_ahead : look_ahead + count])
        active: NDArray[np.bool_] | bool = False
        if not all(gains.dry for gains in self._gains) or change.any():
            make_up, bed, active = self._broadband(count)
            if active is not True:
                active = active | change.any(1)
            mixed = np.concatenate([mixed[:, :fronts] + change, mixed[:, fronts:] * bed[:, None]], 1)
            mixed *= make_up[:, None]
        limited, touched = self._limiter.process(mixed, active)
        dry, self._dry = self._dry[:count], self._dry[count:]
        if touched.all():
            dry = _as_dtype(limited, dry.dtype)
        elif touched.any():
            dry = np.where(touched[:, None], _as_dtype(limited, dry.dtype), dry)
        self._ready = np.concatenate([self._ready, dry])
        self._mixed += count

    def _broadband(self, count: int) -> tuple[Float, Float, NDArray[np.bool_] | bool]:
        """Make-up and bed gain of the next ``count`` samples, and where any gain may differ from 1."""
        index, share = self._crossing(count)
        if index[0] == index[-1]:  # all of them lie between the same two frames
            before, after = self._gains[index[0]], self._gains[index[0] + 1]
            make_up = before.make_up + share * np.float32(after.make_up - before.make_up)
            bed = before.bed + share * np.float32(after.bed - before.bed)
            return make_up, bed, not (before.dry and after.dry)
        make_up = np.array([gains.make_up for gains in self._gains], np.float32)
        bed = np.array([gains.bed for gains in self._gains], np.float32)
        wet = np.array([not gains.dry for gains in self._gains])
        make_up, bed = (v[index] + share * np.diff(v)[index] for v in (make_up, bed))
        return make_up, bed, wet[index] | wet[index + 1]

    def _crossing(self, count: int) -> tuple[NDArray[np.intp], Float]:
        """For each of the next ``count`` samples, the known frame before it, and the share of the next one.

        Between two frames, gains cross over as the windows do: with the square of a sine.
        """
        hop, begin = divmod(self._mixed * self._network_hz, self._hop * self._rate_hz)
        key = hop - (self._hops - len(self._gains)), begin, count
        if self._last_crossing is None or self._last_crossing[0] != key:
            ticks = begin + np.arange(count) * self._network_hz
            hops, rest = np.divmod(ticks, self._hop * self._rate_hz)
            share = np.sin(np.pi / 2 * rest / (self._hop * self._rate_hz)) ** 2
            index = np.clip(hops + key[0], 0, len(self._gains) - 2)
            self._last_crossing = key, (index, share.astype(np.float32))
        return self._last_crossing[1]


def delay_samples(front_end: BandFrontEnd, rate_hz: int) -> int:
    """Delay of the whole path: STFT, resampling both ways where rates differ, and the limiter's look-ahead.

    A sample can leave when the hop that completes it has come in; the latest such hop counts.
    """
    there = Resampler(rate_hz, front_end.rate_hz, 1)
    back = Resampler(front_end.rate_hz, rate_hz, 1)
    hop = front_end.hop
    waits = 0
    for k in range(2, 1002):  # long enough for the grids of hops and samples to meet
        waits = max(waits, there.inputs((k + 1) * hop) - back.outputs((k - 1) * hop))
    return waits + TruePeakLimiter(rate_hz, 1).delay_samples


def _as_dtype(sound: Float, dtype: np.dtype[Any]) -> Frames:
    if dtype == np.int16:
        return np.clip(np.rint(sound * INT16_SCALE), -32768, 32767).astype(np.int16)
    return sound


def _without(dry: Frames, part: Frames) -> Frames:
    """What is left of ``dry``: the two add up to it."""
    if dry.dtype == np.int16:
        return np.clip(dry.astype(np.int32) - part, -32768, 32767).astype(np.int16)
    return np.asarray(dry - part)
