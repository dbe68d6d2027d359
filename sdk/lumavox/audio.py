"""``DialogEnhancer``: clearer dialog in a stream of sound, which never stops the stream.

Blocks of any size go in, as many samples come out, ``delay_samples`` later; what comes out does not depend
on the block size. If the network cannot give a mask (it is still loading, failed, is late, gives nonsense),
or the level is "off", the delayed dry sound comes out bit for bit, and `record` says so. Only wrong input
raises.

    with DialogEnhancer.open("de/base", rate_hz=48000, channels=2, level="medium") as enhancer:
        for block in blocks:                        # (n, 2) float32 or int16, any n
            play(enhancer.process(block))
        enhancer.set(level="high")                  # any time, without a click
        play(enhancer.flush())                      # the last delay_samples

Music and effects without dialog stay as they are, and so does sound whose dialog cannot be told with
confidence. ``adaptive`` acts only where dialog is masked, ``night`` brings loud passages down to the dialog,
``hearing`` gives the dialog the gain that an audiogram asks for; `process_stems` gives dialog and background
apart, `speech` and `speech_spans` say when somebody speaks.

Channel order is L R C LFE Ls Rs (5.1), L R C LFE Lb Rb Ls Rs (7.1). It is not a decoder or a loudness
normalizer: programme loudness stays where it was, and a limiter keeps the remix below the true-peak ceiling.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ._dialog_network import DialogNetwork
from ._dialog_path import DialogPath
from ._dialog_stream import DialogStream, delay_samples
from ._parse import parse
from .bundle import Bundle
from .deadline import check_deadline
from .dsp import BandFrontEnd
from .errors import AudioError, BundleFormatError
from .hearing import HearingProfile
from .isolation import Isolation, WorkerStatus
from .loudness import Samples, as_frames, check_format
from .remix import DialogControls
from .speech import SpeechState
from .telemetry import AddedLatency, Meter, TelemetryRecord

if TYPE_CHECKING:
    from .signing import TrustedKeys

__all__ = ["DialogControls", "DialogEnhancer", "HearingProfile", "SpeechState", "Stems"]


@dataclass(frozen=True, eq=False)
class Stems:
    """Three sounds of the shape and dtype of the block, equally late.

    ``remix`` is what `DialogEnhancer.process` gives. ``dialog`` and ``background`` are the dry sound taken
    apart: without gains, and they add up to it.
    """

    remix: Samples
    dialog: Samples
    background: Samples


class DialogEnhancer:
    """Made by `DialogEnhancer.open`. One thread at a time may use it, except `set`, which any may call."""

    def __init__(
        self,
        bundle: Bundle,
        rate_hz: int,
        channels: int,
        controls: DialogControls,
        backend: str,
        threads: int,
        deadline_ms: float | None,
        ceiling_dbtp: float,
        stems: bool,
    ) -> None:
        where = f"bundle {bundle.id}"
        front_end = parse(BandFrontEnd, bundle.front_end, where, key="front_end", error=BundleFormatError)
        self.bundle, self.front_end = bundle, front_end
        self.rate_hz, self.channels = rate_hz, channels
        self.delay_samples = delay_samples(front_end, rate_hz)
        self._asked_backend = backend
        self._meter = Meter(task="de", deadline_us=None if deadline_ms is None else deadline_ms * 1e3)
        self._meter.added_latency_ms = AddedLatency(audio=1e3 * self.delay_samples / rate_hz)
        self._network = DialogNetwork(bundle, front_end.bands, backend, threads, self._meter)
        path = DialogPath(front_end, self._network, channels, stems)
        self._stream = DialogStream(front_end, path, rate_hz, channels, self._meter, ceiling_dbtp, stems)
        self._controls = controls
        path.start(controls, controls.gains(bundle.calibration))
        self._path = path
        self._stems = stems
        self._dtype: np.dtype | None = None  # of the stream, known from its first block
        self._flat = False
        self._closed = False
        self._opened_at = time.perf_counter()

    @classmethod
    def open(
        cls,
        model: str | Path | Bundle = "de/base",
        *,
        rate_hz: int = 48000,
        channels: int = 2,
        level: str | float = "medium",
        adaptive: bool | float = False,
        night: bool = False,
        hearing: HearingProfile | str | None = None,
        hold: str = "programme",
        ceiling_dbtp: float = -1.0,
        stems: bool = False,
        backend: str = "auto",
        threads: int = 1,
        deadline_ms: float | None = None,
        trusted_keys: TrustedKeys | None = None,
        allow_unsigned: bool = False,
        background: bool = False,
        isolation: str | Isolation = "none",
    ) -> DialogEnhancer:
        """Open a bundle by id, path, or as a `Bundle`, and check it on this machine's engine.

        ``rate_hz`` 8000..192000 (the network's own rate is 48000: others add 1 to 10 ms of delay),
        ``channels`` 1..8. ``level`` is "off", "low", "medium", "high", "max", or dB (0..12, also "+6dB");
        ``adaptive``, ``night``, ``hearing`` and ``hold`` are as in
        `DialogControls.changed`. ``ceiling_dbtp`` -20..0 bounds the
        remix (-2 for streaming). ``stems``: `process_stems` can be called; the network then runs at level
        "off", too, and so do `speech` and `speech_spans`.
        ``deadline_ms``: the longest to wait for the network in each hop of 15 ms; it then runs in a thread
        of its own. ``background``: return at once and load in a thread; sound stays dry until `ready`.
        ``isolation``: ``"process"``, or an `Isolation`, runs the network in a worker process, whose crash or
        hang leaves some hops dry.

        Raises AudioError for a rate or channel count that cannot be handled, OptionError, BundleError;
        BackendError too, unless in the ``background``.
        """
        check_format(rate_hz, channels)
        controls = DialogControls().changed(
            level=level, adaptive=adaptive, night=night, hearing=hearing, hold=hold
        )
        check_deadline(deadline_ms)
        kept = Isolation.of(isolation, deadline_ms)
        if not isinstance(model, Bundle):
            model = Bundle.open(model, task="de", trusted_keys=trusted_keys, allow_unsigned=allow_unsigned)
        enhancer = cls(
            model, int(rate_hz), channels, controls, backend, threads, deadline_ms, ceiling_dbtp, stems
        )
        try:
            enhancer._network.load(background, kept)
        except BaseException:
            enhancer.close()
            raise
        return enhancer

    def ready(self) -> bool:
        """True once the network is loaded and checked."""
        return self.wait(0.0)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a background load to end, at most ``timeout_s``; then what `ready` says."""
        return self._network.wait(timeout_s)

    def process(self, block: Samples, out: Samples | None = None) -> Samples:
        """The next ``n`` samples of the output for the next ``n`` of the input: ``(n, channels)``.

        float32 (full scale 1.0) or int16, ``(n,)`` too if mono; the same for the whole stream. ``out`` is
        filled and returned if given, and may be ``block`` itself. Samples that are not finite become 0.
        Raises AudioError for a block or ``out`` of another form, and for no other reason.
        """
        out = self._out(block, out)
        self._stream.process(as_frames(block, self.channels), as_frames(out, self.channels))
        self._began()
        return out

    def process_stems(self, block: Samples) -> Stems:
        """As `process`, with dialog and background beside the remix.

        Where there is no mask, all is background. Raises AudioError, also unless opened with ``stems``.
        """
        if not self._stems:
            raise AudioError("process_stems needs DialogEnhancer.open(..., stems=True)")
        stems = Stems(*(self._out(block, None) for _ in range(3)))
        frames = [as_frames(s, self.channels) for s in (block, stems.remix, stems.dialog, stems.background)]
        self._stream.process(*frames)
        self._began()
        return stems

    def flush(self) -> Samples:
        """The last ``delay_samples`` of the stream; a new stream can follow."""
        tail = self.process(self._silence())
        self.reset()
        return tail

    def flush_stems(self) -> Stems:
        """As `flush`, with dialog and background beside the remix."""
        tail = self.process_stems(self._silence())
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget the stream (after a seek); the next block may have another dtype."""
        self._stream.end()
        self._dtype, self._flat = None, False
        self._path.reset()

    def set(
        self,
        *,
        level: str | float | None = None,
        dialog_gain_db: float | None = None,
        background_atten_db: float | None = None,
        strength: float | None = None,
        adaptive: bool | float | None = None,
        night: bool | None = None,
        hearing: HearingProfile | str | None = None,
        hold: str | None = None,
    ) -> None:
        """Change the controls, with a ramp of 45 ms; see `DialogControls.changed`.

        Raises OptionError for values that are not possible, and for a level together with gains.
        """
        self._controls = self._controls.changed(
            level=level,
            dialog_gain_db=dialog_gain_db,
            background_atten_db=background_atten_db,
            strength=strength,
            adaptive=adaptive,
            night=night,
            hearing=hearing,
            hold=hold,
        )
        self._path.aim(self._controls, self._controls.gains(self.bundle.calibration))

    @property
    def speech(self) -> SpeechState:
        """What is known of the dialog by now: it is about the newest samples that went in."""
        return self._path.speech

    def speech_spans(self) -> list[tuple[int, int]]:
        """Spans of speech that have ended since the last call, as for captions.

        First sample, and the one after the last, counted from the beginning of the stream (of the input; the
        output is `delay_samples` later). A stream's end ends its last span.
        """
        spans, self._stream.spans = self._stream.spans, []
        return spans

    @property
    def controls(self) -> DialogControls:
        """The controls as they were set."""
        return self._controls

    @property
    def backend(self) -> str:
        """The name of the backend in use, or what was asked for while there is none."""
        session = self._network.session
        return session.backend.name if session else self._asked_backend

    @property
    def reason(self) -> str:
        """Why this engine and variant."""
        if self._network.load_error is not None:
            return str(self._network.load_error)
        session = self._network.session
        return session.reason if session else "the model is being loaded"

    @property
    def worker(self) -> WorkerStatus | None:
        """How the worker process of the network is; None without isolation, or while there is none."""
        session = self._network.session
        return getattr(session.engine, "status", None) if session else None

    def record(self) -> TelemetryRecord:
        """What happened so far; "frames" are hops of 15 ms. No sound."""
        return self._meter.record()

    def close(self) -> None:
        """Free the engine. May be called twice."""
        if not self._closed:
            self._closed = True
            self._meter.set_state("off", "closed")
            self._network.close()

    def __enter__(self) -> DialogEnhancer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _out(self, block: Samples, out: Samples | None) -> Samples:
        """``out`` or a new one; AudioError unless ``block`` goes on with the stream and ``out`` fits it."""
        if self._closed:
            raise AudioError("this DialogEnhancer is closed; open another one")
        as_frames(block, self.channels)
        if self._dtype is None:
            self._dtype, self._flat = block.dtype, block.ndim == 1
            self._stream.begin(block.dtype)
        elif block.dtype != self._dtype:
            raise AudioError(
                f"a block of {block.dtype} was given in a stream of {self._dtype}: "
                "convert it, or call reset() or flush() before a new stream"
            )
        if out is None:
            return np.empty(block.shape, block.dtype)
        if not isinstance(out, np.ndarray) or out.shape != block.shape or out.dtype != block.dtype:
            found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise AudioError(f"out is {found}: it must be {block.dtype} {block.shape}, as the block is")
        return out

    def _silence(self) -> Samples:
        """What pushes out the rest of the stream."""
        shape = (self.delay_samples,) if self._flat else (self.delay_samples, self.channels)
        return np.zeros(shape, self._dtype or np.float32)

    def _began(self) -> None:
        if self._meter.first_frame_ms is None:
            self._meter.first_frame_ms = (time.perf_counter() - self._opened_at) * 1e3
