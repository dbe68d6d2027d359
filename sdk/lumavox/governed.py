"""``GovernedUpscaler``: an `Upscaler` that steps down a ladder of networks before frames come late.

    with GovernedUpscaler.open(scale=2, display_hz=60, frame_rate=60) as upscaler:
        for frame in frames:
            show(upscaler.process(frame))           # always the same size, and always as late

The ladder is base, small, nano, the conventional filter; a `Governor` chooses the rung for each frame from
the time that frames take, the heat of the device and its memory. It switches at scene cuts; without one it
fades the network's detail in or out. The delay of the picture is the same on every rung. While memory is
short, the networks above the rung in use are closed, and opened again in the background afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from ._governing import Watch, facts
from ._scene_cut import SceneCut
from ._sr_conventional import Conventional
from .errors import InputError, LumavoxError, OptionError
from .governor import Governor, Policy, frame_deadline_us
from .ladder import Ladder
from .late_budget import BudgetMeter
from .picture import Frame, PixelFormat
from .sensors import Sensors
from .telemetry import AddedLatency, Meter, ModelInfo, TelemetryRecord, reason_token
from .video import Upscaler

__all__ = ["GovernedUpscaler"]

FADE_RESERVE = 0.1
"""The share of the deadline that networks may not use: a fade needs the conventional filter and a blend."""
_P010_BITS = 0xFFC0


class GovernedUpscaler:
    """Made by `GovernedUpscaler.open`. One thread at a time may use it.

    Attributes: ``governor`` (see its ``switches`` and ``misses``), ``budget`` (late frames against the
    allowance), ``scale``.
    """

    def __init__(
        self,
        governor: Governor,
        upscalers: list[Upscaler],
        reopen: Callable[[int], Upscaler],
        deadline_us: float,
        sensors: Sensors | None,
        clock: Callable[[], float],
    ) -> None:
        self.governor, self.budget = governor, BudgetMeter()
        self.scale, self._delay_frames = upscalers[0].scale, upscalers[0].delay_frames
        self._deadline_us = deadline_us
        self._rungs: list[Upscaler | None] = list(upscalers)
        self._names = [upscaler.bundle.id for upscaler in upscalers] + [governor.ladder[-1].name]
        self._reopen, self._clock = reopen, clock
        self._device = Watch(sensors)
        self._conventional = Conventional(self.scale)
        self._scratch: Frame | None = None
        self._cuts = SceneCut()
        self._opened_s = clock()
        self._closed = False
        bundle = upscalers[0].bundle
        self._meter = Meter(
            task="sr",
            model=ModelInfo(bundle.id, bundle.digest, bundle.version),
            ep_requested=upscalers[0].backend,
            deadline_us=deadline_us,
        )
        self._meter.set_state("warming", "no frame came yet")
        self._meter.added_latency_ms = AddedLatency(video=0.0)

    @classmethod
    def open(
        cls,
        ladder: Ladder | None = None,
        *,
        display_hz: float = 60.0,
        frame_rate: float = 60.0,
        reserve_us: float = 0.0,
        policy: Policy | None = None,
        sensors: Sensors | None = None,
        enforce: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        **options: Any,
    ) -> GovernedUpscaler:
        """Open the best rung, and the others in the background.

        ``display_hz``, ``frame_rate`` and ``reserve_us`` give the deadline of each frame, see
        `frame_deadline_us`. ``sensors``: what tells heat and memory, without making a frame wait; None reads
        those of Linux in a thread. ``enforce`` False lets late networks finish, and only counts them.
        ``options`` are those of `Upscaler.open` but ``model``, ``deadline_ms`` and ``background``.

        Raises what `Upscaler.open` raises, and OptionError for rungs that differ in size or delay.
        """
        ladder = ladder or Ladder.of("base", "small", "nano")
        for taken in ("model", "deadline_ms", "background"):
            if taken in options:
                raise OptionError(f"{taken!r} is up to the governor: give a ladder and a display instead")
        deadline_us = frame_deadline_us(display_hz, frame_rate, reserve_us)
        network_us = (1.0 - FADE_RESERVE) * deadline_us

        def open_rung(rung: int, background: bool = True) -> Upscaler:
            deadline_ms = network_us / 1e3 if enforce else None
            return Upscaler.open(ladder[rung].name, deadline_ms=deadline_ms, background=background, **options)

        upscalers: list[Upscaler] = []
        try:
            for rung in range(len(ladder) - 1):
                upscalers.append(open_rung(rung, background=rung > 0))
            _check_alike(upscalers)
        except BaseException:
            for upscaler in upscalers:
                upscaler.close()
            raise
        governor = Governor(ladder, network_us, policy)
        return cls(governor, upscalers, open_rung, deadline_us, sensors, clock)

    def process(self, frame: Frame, out: Frame | None = None) -> Frame:
        """As `Upscaler.process`: the frame enlarged, new or into ``out``. Raises FrameError only."""
        started = self._clock()
        if self._closed:
            raise InputError("this GovernedUpscaler is closed; open another one")
        self._sense(started)
        if not isinstance(frame, Frame):
            self._conventional.process(frame)  # says what is wrong
        step = self.governor.next(started, self._cuts.see(frame))
        upscaler = self._rungs[step.rung] if step.rung < len(self._rungs) else None
        late = False
        if upscaler is None:
            out = self._conventional.process(frame, out)
            self.governor.add((self._clock() - started) * 1e6, False)
            enhanced = False
        else:
            out, enhanced, late = self._enhance(upscaler, step.rung, frame, out)
            if enhanced and step.share < 1.0:
                self._soften(frame, out, step.share)
        self._tell(upscaler, enhanced, late, started)
        return out

    def record(self) -> TelemetryRecord:
        """What happened so far, on all rungs together. No pixels."""
        meter, governor = self._meter, self.governor
        upscaler = self._rungs[governor.rung] if governor.rung < len(self._rungs) else None
        if upscaler is not None and upscaler.ready():
            inner = upscaler.record()
            for name in ("model", "ep_actual", "ep_version", "nodes_on_ep", "nodes_total", "cold_load_ms",
                         "self_check", "config_digest", "content", "content_reason"):  # fmt: skip
                setattr(meter, name, getattr(inner, name))
            for code in inner.errors:
                meter.add_error(code)
        for name, value in facts(governor, self.rung).items():
            setattr(meter, name, value)
        meter.late_budget = self.budget.view()
        return meter.record()

    @property
    def rung(self) -> str:
        """The rung in use: a bundle's id, or "conventional"."""
        return self._names[self.governor.rung]

    @property
    def delay_frames(self) -> int:
        """Frames between a frame going in and coming out; the same on every rung."""
        return self._delay_frames

    def flush(self) -> list[Frame]:
        """The frames still inside at the end of a stream: none."""
        return []

    def reset(self) -> None:
        """Forget the stream (after a seek)."""
        self._cuts = SceneCut()
        for upscaler in self._rungs:
            if upscaler is not None:
                upscaler.reset()

    def close(self) -> None:
        """Free all engines. May be called twice."""
        self._closed = True
        self._meter.set_state("off", "closed")
        self._device.close()
        for upscaler in self._rungs:
            if upscaler is not None:
                upscaler.close()

    def __enter__(self) -> GovernedUpscaler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _enhance(
        self, upscaler: Upscaler, rung: int, frame: Frame, out: Frame | None
    ) -> tuple[Frame, bool, bool]:
        """The frame through a network: the result, whether it is the network's, whether it was late."""
        inner, began = upscaler._meter, self._clock()
        before = inner.frames_enhanced
        out = upscaler.process(frame, out)
        time_us = (self._clock() - began) * 1e6
        enhanced = inner.frames_enhanced > before
        late = reason_token(inner.state_reason or "") == "late"
        if enhanced:
            late = time_us > self._deadline_us
        if enhanced or late:
            self.governor.add(time_us, late)
        elif inner.state == "failed":
            self.governor.usable(rung, False)
        return out, enhanced, late

    def _soften(self, frame: Frame, out: Frame, share: float) -> None:
        """Leave only ``share`` of what the network added to the conventional picture."""
        import cv2

        if self._scratch is None or (self._scratch.format, self._scratch.width, self._scratch.height) != (
            out.format, out.width, out.height,
        ):  # fmt: skip
            self._scratch = Frame.empty(out.format, out.width, out.height)
        plain = self._conventional.process(frame, self._scratch).planes[0]
        plane = out.planes[0]
        mixed = cv2.addWeighted(plane, share, plain, 1.0 - share, 0.0, dst=plane)
        if mixed is not plane:
            np.copyto(plane, mixed.reshape(plane.shape))
        if out.format is PixelFormat.P010:
            np.bitwise_and(plane, _P010_BITS, out=plane)

    def _tell(self, upscaler: Upscaler | None, enhanced: bool, late: bool, started: float) -> None:
        """Count the frame, and say in which state the stream is."""
        meter, governor, now_s = self._meter, self.governor, self._clock()
        meter.frames_in += 1
        meter.frames_enhanced += enhanced
        meter.frames_bypassed += not enhanced
        meter.frames_late += late
        meter.add_latency_us((now_s - started) * 1e6)
        self.budget.add(now_s, late)
        if meter.first_frame_ms is None:
            meter.first_frame_ms = (now_s - self._opened_s) * 1e3
        stepped = f"stepped down to {self.rung}: {governor.reason}" if governor.rung else None
        if upscaler is None:
            state, reason = "bypass", stepped
        elif not enhanced:
            state, reason = upscaler._meter.state, upscaler._meter.state_reason
        else:
            state, reason = ("degraded", stepped) if governor.rung else ("active", None)
        if (state, reason) != (meter.state, meter.state_reason):
            meter.set_state(state, reason)  # type: ignore[arg-type]

    def _sense(self, now_s: float) -> None:
        """Ask the device how it is, about once per second, and see which rungs can be used."""
        governor, conditions = self.governor, self._device.read(now_s)
        if conditions is None:
            return
        governor.sense(conditions)
        for rung, upscaler in enumerate(self._rungs):
            if conditions.memory_pressure and rung < governor.rung and upscaler is not None:
                self._rungs[rung] = None
                threading.Thread(target=upscaler.close, name="lumavox-close", daemon=True).start()
                upscaler = None
            if upscaler is None and conditions.memory_pressure is False:
                upscaler = self._open_again(rung)
            governor.usable(
                rung, upscaler is not None and upscaler.ready() and upscaler._meter.state != "failed"
            )

    def _open_again(self, rung: int) -> Upscaler | None:
        try:
            self._rungs[rung] = self._reopen(rung)
        except LumavoxError as error:  # its bundle is gone: that rung stays out of use
            self._meter.add_error("SR.E_LOAD")
            self._meter.set_state(self._meter.state, str(error))
        return self._rungs[rung]


def _check_alike(upscalers: list[Upscaler]) -> None:
    """Raise OptionError unless all rungs give the same size, equally late."""
    first = upscalers[0]
    for other in upscalers[1:]:
        if other.scale != first.scale or other.delay_frames != first.delay_frames:
            raise OptionError(
                f"{other.bundle.id} enlarges by {other.scale:g} with {other.delay_frames} frame(s) of delay, "
                f"{first.bundle.id} by {first.scale:g} with {first.delay_frames}: all rungs must "
                "be alike; give a scale, or a size and a target"
            )
