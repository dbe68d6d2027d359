"""``HotSwap``: another model for a running `Upscaler`, between two frames, none lost, and back at once.

    swap = HotSwap(Upscaler.open(old_bundle))
    swap.offer(lambda: Upscaler.open(new_bundle))     # returns at once; loads in a thread
    for frame in frames:
        show(swap.process(frame))                     # by the new one as soon as it is ready
    swap.back()                                       # the next frame comes from the old one again
    swap.settle()                                     # or: the new one stays, the old one is freed

The new model is opened, self-checked and warmed on a blank frame of the stream's size beside the running
one (its record counts that frame). If that fails, the running one goes on, and ``reason`` says why.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from ..errors import LumavoxError, OptionError
from ..picture import Frame, PixelFormat
from ..video import Upscaler


class HotSwap:
    """One thread processes; `offer`, `back` and `settle` may come from any thread."""

    def __init__(self, upscaler: Upscaler) -> None:
        self.current = upscaler
        self.reason = "no other model was offered"
        self._next: Upscaler | None = None
        self._previous: Upscaler | None = None
        self._retired: list[Upscaler] = []  # freed once no call can be inside
        self._geometry: tuple[PixelFormat, int, int] | None = None
        self._lock = threading.Lock()
        self._loader: threading.Thread | None = None

    def offer(self, opened: Callable[[], Upscaler]) -> None:
        """Open another Upscaler in a thread; it takes over before the first frame after it is ready.

        Raises OptionError while another one is being loaded.
        """
        if self._loader is not None and self._loader.is_alive():
            raise OptionError("another model is being loaded; wait() for it first")
        self._loader = threading.Thread(target=self._load, args=(opened,), name="lumavox-swap", daemon=True)
        self._loader.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the offered model is ready or has failed; True if the next frame comes from it."""
        if self._loader is not None:
            self._loader.join(timeout_s)
        with self._lock:
            return self._next is not None

    def process(self, frame: Frame, out: Frame | None = None) -> Frame:
        """As `Upscaler.process`; exactly one frame out for each one in, of one size throughout."""
        with self._lock:
            if self._next is not None:
                if self._previous is not None:
                    self._retired.append(self._previous)
                self._previous, self.current, self._next = self.current, self._next, None
            retired, self._retired = self._retired, []
        for upscaler in retired:  # not here: freeing an engine takes time, one that hangs longer still
            threading.Thread(target=upscaler.close, name="lumavox-retire", daemon=True).start()
        self._geometry = frame.format, frame.width, frame.height
        return self.current.process(frame, out)

    def back(self, reason: str = "asked for") -> bool:
        """From the next frame on the model before; False if there is none. It is open still: no load time."""
        with self._lock:
            if self._next is not None:  # was never shown
                self._retired.append(self._next)
                self._next = None
            elif self._previous is None:
                return False
            else:
                self._retired.append(self.current)
                self.current, self._previous = self._previous, None
            self.reason = f"went back: {reason}"
            return True

    def settle(self) -> None:
        """The model in use stays; the one before is freed, and there is no way back."""
        with self._lock:
            if self._previous is not None:
                self._retired.append(self._previous)
                self._previous = None

    def close(self) -> None:
        """Free all of them; no other thread may be processing."""
        if self._loader is not None:
            self._loader.join()
        for upscaler in (self.current, self._next, self._previous, *self._retired):
            if upscaler is not None:
                upscaler.close()

    def __enter__(self) -> HotSwap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self, opened: Callable[[], Upscaler]) -> None:
        try:
            upscaler = opened()
        except LumavoxError as error:
            self.reason = f"not swapped: {error}"
            return
        running = self.current
        if (upscaler.scale, upscaler.delay_frames) != (running.scale, running.delay_frames):
            self.reason = (
                f"not swapped: it enlarges by {upscaler.scale:g}, {upscaler.delay_frames} frames later, "
                f"the running one by {running.scale:g}, {running.delay_frames} later; open a stream anew"
            )
            upscaler.close()
            return
        if self._geometry is not None:
            upscaler.process(Frame.empty(*self._geometry))  # so that its first frame is not a slow one
            upscaler.reset()
        with self._lock:
            if self._next is not None:
                self._retired.append(self._next)
            self._next = upscaler
            self.reason = f"swapped to {upscaler.bundle.id} {upscaler.bundle.version}"
