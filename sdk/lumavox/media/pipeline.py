"""Threads joined by bounded channels: `Pipeline`.

Not a scheduler and not for processes: each stage is one plain function on one thread, written as a loop
that takes from a channel and gives to another. The numpy, engine and codec calls within release the GIL.

    pipeline = Pipeline()
    frames = pipeline.channel("frames", capacity=4)
    pipeline.stage("decode", lambda stage: [stage.give(frames, f) for f in source], gives=[frames])
    pipeline.stage("encode", lambda stage: [sink(f) for f in stage.items(frames)])
    pipeline.run()

The first failure in any stage (or Ctrl-C in the thread that runs it) stops all stages, and is raised once,
after every thread has ended. A channel never holds more than its capacity, so memory does not grow with
the length of the material.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class Stopped(BaseException):
    """Raised within a stage when the pipeline stops early. Not an error: it ends the thread."""


class Channel:
    """A bounded queue from one or more stages to one stage. ``peak`` is the most it ever held."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.peak = 0
        self.producers = 0
        self._items: collections.deque[Any] = collections.deque()
        self._changed = threading.Condition()
        self._stopped = False

    def put(self, item: Any) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self.capacity)
            if self._stopped:
                raise Stopped
            self._items.append(item)
            self.peak = max(self.peak, len(self._items))
            self._changed.notify_all()

    def get(self) -> tuple[bool, Any]:
        """``(True, item)``, or ``(False, None)`` once all producers have ended and it is empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._items or self.producers == 0)
            if self._stopped:
                raise Stopped
            if not self._items:
                return False, None
            item = self._items.popleft()
            self._changed.notify_all()
            return True, item

    def producer_ended(self) -> None:
        with self._changed:
            self.producers -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


class Stage:
    """One thread of a pipeline, and how long it worked."""

    def __init__(
        self, pipeline: Pipeline, name: str, work: Callable[[Stage], None], gives: Sequence[Channel]
    ) -> None:
        self.name = name
        self._pipeline = pipeline
        self._work = work
        self._gives = gives
        self._waited_s = 0.0
        self._lived_s = 0.0
        self.thread = threading.Thread(target=self._run, name=f"lumavox-{name}", daemon=True)

    @property
    def busy_s(self) -> float:
        """Seconds from start to end, less those spent waiting at channels."""
        return max(0.0, self._lived_s - self._waited_s)

    def give(self, channel: Channel, item: Any) -> None:
        """Put ``item`` into ``channel``, waiting while it is full."""
        began = time.perf_counter()
        channel.put(item)
        self._waited_s += time.perf_counter() - began

    def items(self, channel: Channel) -> Iterator[Any]:
        """All items of ``channel``, waiting while it is empty."""
        while True:
            began = time.perf_counter()
            more, item = channel.get()
            self._waited_s += time.perf_counter() - began
            if not more:
                return
            yield item

    def _run(self) -> None:
        began = time.perf_counter()
        try:
            self._work(self)
        except Stopped:
            pass
        except BaseException as error:  # carried to the thread that runs the pipeline, and raised there
            self._pipeline.stop(error)
        finally:
            self._lived_s = time.perf_counter() - began
            for channel in self._gives:
                channel.producer_ended()


class Pipeline:
    """Stages and channels of one job; `run` returns when all stages have ended."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.stages: list[Stage] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def channel(self, name: str, capacity: int) -> Channel:
        """A new channel that holds at most ``capacity`` items."""
        channel = Channel(name, capacity)
        self.channels.append(channel)
        return channel

    def stage(self, name: str, work: Callable[[Stage], None], gives: Sequence[Channel] = ()) -> Stage:
        """A new stage: ``work(stage)`` on its own thread; ``gives`` are the channels it puts into."""
        for channel in gives:
            channel.producers += 1
        stage = Stage(self, name, work, gives)
        self.stages.append(stage)
        return stage

    def run(self, on_tick: Callable[[], None] | None = None, tick_s: float = 0.1) -> None:
        """Start all stages and wait for them; ``on_tick`` is called here every ``tick_s`` meanwhile.

        Raises what the first failing stage raised.
        """
        try:
            for stage in self.stages:
                stage.thread.start()
            for stage in self.stages:
                while stage.thread.is_alive():
                    stage.thread.join(tick_s)
                    if on_tick is not None:
                        on_tick()
        except BaseException as error:  # Ctrl-C, or a failing on_tick
            self.stop(error)
        for stage in self.stages:
            if stage.thread.ident is not None:
                stage.thread.join()
        if self._error is not None:
            first, self._error = self._error, None
            raise first

    def stop(self, error: BaseException) -> None:
        """End all stages; ``error`` is what `run` will raise, unless another came first."""
        with self._lock:
            if self._error is None:
                self._error = error
        for channel in self.channels:
            channel.stop()

    def busy_s(self) -> dict[str, float]:
        """Seconds each stage worked, by its name."""
        return {stage.name: stage.busy_s for stage in self.stages}
