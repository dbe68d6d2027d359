"""``Upscaler``: super-resolution of a stream of frames, which never stops the stream.

The network enlarges luma; chroma takes the conventional filter. If the network cannot give a frame (it is
still loading, its engine failed, it missed ``deadline_ms``, its output cannot be right), the frame comes out
by the conventional filter, at the same size, and `record` says so. Only wrong input raises.

    with Upscaler.open("base", size=(1280, 720), target=(1920, 1080)) as upscaler:
        for frame in frames:                        # Frame of any format and size, also changing
            show(upscaler.process(frame))           # a new frame, the caller's own
            upscaler.process(frame, out=mine)       # or into the caller's memory: nothing is allocated

It does not decode, schedule or drop frames, and it is not a temporal filter (``delay_frames`` is 0). One
thread at a time may use it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from lumavox._sr_chain import LumaChain
from lumavox._sr_network import LumaNetwork, front_end_of
from lumavox._sr_runner import Runner
from lumavox._sr_surface import Surface
from lumavox.bundle import Bundle
from lumavox.catalog import DEFAULT_SR
from lumavox.content import Chooser, Decision
from lumavox.deadline import check_deadline
from lumavox.errors import EngineError, FrameError, InputError, LumavoxError, OptionError
from lumavox.isolation import Isolation, WorkerStatus
from lumavox.picture import MAX_SIDE, Frame
from lumavox.resample_picture import enlarged_side
from lumavox.scaling import passes_for, plan_scale
from lumavox.session import Session, fitting
from lumavox.telemetry import AddedLatency, Meter, ModelInfo, TelemetryRecord

if TYPE_CHECKING:
    from lumavox._isolation_runner import IsolatedRunner
    from lumavox.signing import TrustedKeys

__all__ = ["Upscaler"]


class Upscaler:
    """Made by `Upscaler.open`. Attributes ``scale`` (of each side) and ``bundle`` do not change."""

    def __init__(
        self,
        bundle: Bundle,
        scale: float,
        content: Decision,
        deadline_ms: float | None,
        backend: str,
        threads: int,
        isolation: Isolation | None = None,
    ) -> None:
        self.bundle = bundle
        self.scale = scale
        self._network_scale = front_end_of(bundle).scale
        self._passes = 1 if scale == self._network_scale else passes_for(scale, self._network_scale)
        self._asked_content, self._asked_backend, self._threads = content, backend, threads
        self._meter = Meter(
            task="sr",
            model=ModelInfo(bundle.id, bundle.digest, bundle.version),
            ep_requested=backend,
            deadline_us=None if deadline_ms is None else deadline_ms * 1e3,
        )
        self._meter.set_state("warming", "the model is being loaded")
        self._meter.added_latency_ms = AddedLatency(video=0.0)
        self._isolation = isolation
        self._runner: Runner | IsolatedRunner
        if isolation is None:
            self._runner = Runner(self._meter, deadline_ms)
        else:
            from lumavox._isolation_runner import IsolatedRunner

            self._runner = IsolatedRunner(self._meter, deadline_ms)
        self._opened_at = time.perf_counter()
        self._chains: dict[str, LumaChain] = {}  # by content; complete once _loaded is set
        self._chain: LumaChain | None = None  # the one in use
        self._chooser = Chooser()
        self._loaded = threading.Event()
        self._load_error: LumavoxError | None = None
        self._loader: threading.Thread | None = None
        self._surface: Surface | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        model: str | Path | Bundle = DEFAULT_SR,
        *,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        target: tuple[int, int] | None = None,
        backend: str = "auto",
        content: str | Decision = "auto",
        deadline_ms: float | None = None,
        threads: int = 1,
        trusted_keys: TrustedKeys | None = None,
        allow_unsigned: bool = False,
        background: bool = False,
        isolation: str | Isolation = "none",
    ) -> Upscaler:
        """Open a bundle by tier, id, path, or as a `Bundle`, and check it on this machine's engine.

        ``scale``: None is the network's own; one that no network has is reached by network passes and a
        conventional step down, which ``reason`` tells. Or give the frames' ``size`` and the ``target`` they
        are shown at, width and height, and a tier's best network is found: see `plan_scale`. ``content``:
        ``"clean"`` or ``"streamed"`` material, or ``"auto"`` to estimate it from the first frames; a
        `Decision` is taken if the bundle has networks for it. ``deadline_ms``: the longest that `process`
        may take; the network then runs in a thread of its own. ``background``: return at once and load in a
        thread; frames come out conventionally until `ready`. ``isolation``: ``"process"``, or an `Isolation`,
        runs the engine in a worker process, whose crash or hang costs some frames their sharpness.

        Raises `BundleError`, `OptionError` at once; `BackendError` too, unless in the ``background``.
        """
        decided = Decision(content, "asked for") if isinstance(content, str) else content
        check_deadline(deadline_ms)
        kept = Isolation.of(isolation, deadline_ms)
        plan = plan_scale(
            model, scale=scale, size=size, target=target,
            trusted_keys=trusted_keys, allow_unsigned=allow_unsigned,
        )  # fmt: skip
        if plan.scale is None:
            raise OptionError(
                f"pictures of {size} need not be enlarged; show them as they are, or name a scale"
            )
        if decided is content and not {decided.content, "any"} & _offered(plan.bundle):
            decided = Decision("auto", "the bundle has nothing else")  # it was a guess, not a demand
        fitting(plan.bundle, "any" if decided.content == "auto" else decided.content)
        upscaler = cls(plan.bundle, plan.scale, decided, deadline_ms, backend, threads, kept)
        if background:
            upscaler._loader = threading.Thread(target=upscaler._load, name="lumavox-load", daemon=True)
            upscaler._loader.start()
            return upscaler
        upscaler._load()
        if upscaler._load_error is not None:
            upscaler.close()
            raise upscaler._load_error
        return upscaler

    def ready(self) -> bool:
        """True once the model is loaded and checked, so that frames go through the network."""
        return self._loaded.is_set() and self._load_error is None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a background load to end, at most ``timeout_s``; then what `ready` says."""
        self._loaded.wait(timeout_s)
        return self.ready()

    def process(self, frame: Frame, out: Frame | None = None) -> Frame:
        """The frame enlarged to ``side * scale``, a half rounded up, with its colour tags and ``pts``.

        Without ``out`` the result is a new frame, which belongs to the caller. With it, ``out`` is filled
        and returned, and after the first frame of a size nothing is allocated. Raises `FrameError` for a
        frame that cannot be enlarged or an ``out`` that does not fit, and for no other reason.
        """
        started = time.perf_counter()
        if self._closed:
            raise InputError("this Upscaler is closed; open another one")
        surface = self._surface_for(frame)
        out = surface.out(frame, out)
        self._meter.frames_in += 1
        luma, target = surface.luma(frame), surface.target(out)
        chain = self._chain_for(luma)
        if chain is None:
            surface.chroma(frame, out)
            enhanced = False
        else:
            enhanced = self._runner.run(chain, luma, target, lambda: surface.chroma(frame, out), started)
        if enhanced:
            self._meter.frames_enhanced += 1
        else:
            self._bypass(surface, luma, target)
            self._meter.frames_bypassed += 1
        surface.finish(frame, out)
        self._meter.add_latency_us((time.perf_counter() - started) * 1e6)
        if self._meter.first_frame_ms is None:
            self._meter.first_frame_ms = (time.perf_counter() - self._opened_at) * 1e3
        return out

    def flush(self) -> list[Frame]:
        """The frames still inside at the end of a stream: none, since networks here take single frames."""
        return []

    def reset(self) -> None:
        """Forget the stream (after a seek): its content is estimated anew."""
        self._chooser = Chooser()

    @property
    def delay_frames(self) -> int:
        """Frames between a frame going in and coming out."""
        return self.bundle.delay_frames

    @property
    def content(self) -> str:
        """The kind of material the network in use was made for: "clean", "streamed" or "any"; "auto" until
        that is decided."""
        session = self._session
        return session.variant.content if session else "auto"

    @property
    def backend(self) -> str:
        """The name of the backend in use; while loading, what was asked for."""
        sessions = [chain.networks[0].session for chain in self._chains.values()]
        return sessions[0].backend.name if sessions else self._asked_backend

    @property
    def reason(self) -> str:
        """Why this engine and variant, how the scale is reached, and why this content."""
        if self._load_error is not None:
            return str(self._load_error)
        session = self._session
        if session is None:
            return "no network is in use yet"
        parts = [session.reason]
        if self.scale != self._network_scale:
            reach = self._network_scale**self._passes
            step = "" if self.scale == reach else f", then a conventional step from x{reach:g}"
            parts.append(
                f"x{self.scale:g}: {self._passes} pass(es) of a x{self._network_scale:g} network{step}"
            )
        parts.append(f"{self.content} variant: {self.content_reason}")
        return "; ".join(parts)

    @property
    def content_reason(self) -> str:
        """Why `content` is what it is."""
        if self._asked_content.content != "auto":
            return self._asked_content.reason
        return self._chooser.reason if len(self._chains) > 1 else "the bundle has no other"

    @property
    def worker(self) -> WorkerStatus | None:
        """How the worker process of the network in use is; None without isolation, or while there is none."""
        return getattr(self._session.engine, "status", None) if self._session else None

    def record(self) -> TelemetryRecord:
        """What happened so far: counts, latencies, state and its reason, engine. No pixels."""
        if self._session is not None:
            self._meter.content = self._session.variant.content
            self._meter.content_reason = self.content_reason
        return self._meter.record()

    def close(self) -> None:
        """Free the engines; a call that hangs is left behind. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._meter.set_state("off", "closed")
        if self._loader is not None:
            self._loader.join(timeout=1.0)
        ended = self._runner.close()
        for chain in self._chains.values():
            # An engine must not be freed while it runs; one that hangs is left to the thread it hangs in.
            if ended:
                chain.close()

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _session(self) -> Session | None:
        return self._chain.networks[0].session if self._chain else None

    def _load(self) -> None:
        """Open every variant that may be needed; what goes wrong is kept in ``_load_error``."""
        try:
            with contextlib.ExitStack() as opened:  # closed again unless all of them are needed
                for content in self._contents_to_load():
                    if self._closed:
                        break
                    networks: list[LumaNetwork] = []
                    for _ in range(self._passes):
                        session = Session.open(
                            self.bundle, backend=self._asked_backend, content=content, threads=self._threads,
                            isolation=self._isolation,
                        )  # fmt: skip
                        networks.append(LumaNetwork(opened.enter_context(session)))
                    self._chains[content] = LumaChain(networks, self.scale)
                if not self._closed:
                    opened.pop_all()
        except Exception as error:  # in the background nobody else would hear of it
            if not isinstance(error, LumavoxError):
                error = EngineError(f"loading {self.bundle.id!r} failed: {error!r}")
            self._load_error = error
            self._meter.add_error("SR.E_LOAD")
            self._meter.set_state("failed", str(error))
        else:
            if not self._closed:
                self._meter.set_state("warming", "no frame came yet")
        self._loaded.set()

    def _contents_to_load(self) -> list[str]:
        if self._asked_content.content != "auto":
            return [self._asked_content.content]
        if {"clean", "streamed"} <= _offered(self.bundle):
            return ["streamed", "clean"]
        return ["any"]

    def _chain_for(self, luma: np.ndarray) -> LumaChain | None:
        """The network for this frame, or None while there is none."""
        if not self.ready():
            return None
        if self._chain is None or (len(self._chains) > 1 and not self._chooser.decided):
            wanted = self._chooser.add(luma) if len(self._chains) > 1 else next(iter(self._chains))
            if self._chain is not self._chains[wanted]:
                self._chain = self._chains[wanted]
                self._chain.networks[0].session.tell(self._meter)
        return self._chain

    def _surface_for(self, frame: Frame) -> Surface:
        if not isinstance(frame, Frame):
            raise FrameError(f"process() takes a lumavox.Frame, got {type(frame).__name__}")
        if self._surface is None or not self._surface.fits(frame):
            width, height = (enlarged_side(side, self.scale) for side in (frame.width, frame.height))
            if max(width, height) > MAX_SIDE:
                raise FrameError(
                    f"{frame.width}x{frame.height} enlarged by {self.scale:g} is {width}x{height}; "
                    f"at most {MAX_SIDE} is possible: use a smaller scale, or pass this frame by"
                )
            self._surface = Surface(frame.format, frame.width, frame.height, self.scale)
            if self._meter.deadline_us is not None:  # to know how long it takes, before it is needed
                scratch = Frame.empty(frame.format, width, height)
                self._bypass(self._surface, self._surface.luma(frame), self._surface.target(scratch))
        return self._surface

    def _bypass(self, surface: Surface, luma: np.ndarray, target: np.ndarray) -> None:
        begun = time.perf_counter()
        surface.bypass(luma, target)
        self._runner.reserve_s = time.perf_counter() - begun


def _offered(bundle: Bundle) -> set[str]:
    """The kinds of content that the bundle has networks for."""
    return {variant.content for variant in bundle.variants}
