"""Batches made ahead of the step that needs them, in order, so that training is bound by arithmetic."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset, Subset

from .ranks import Batch

T = TypeVar("T")
_END = object()


class Prefetch(Generic[T]):
    """``prepare(make(step))`` of the steps, made by a background thread, at most ``depth`` ahead.

    With ``workers`` processes ``make`` runs there: right for batches that are made in Python for longer than
    a step takes. ``make`` must depend on the step alone; an error of it is raised where its batch is asked
    for. Close it (or leave its ``with``) to end the thread.
    """

    def __init__(
        self,
        make: Callable[[int], Batch],
        steps: range,
        prepare: Callable[[Batch], T],
        *,
        workers: int = 0,
        depth: int = 4,
    ) -> None:
        self._made: queue.Queue[object] = queue.Queue(depth)
        self._closed = threading.Event()
        source = _from_processes(make, steps, workers, depth) if workers else map(make, steps)
        self._thread = threading.Thread(target=self._run, args=(source, prepare), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._made.get()
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, and the processes with it."""
        self._closed.set()
        self._thread.join()

    def _run(self, source: Iterator[Batch], prepare: Callable[[Batch], T]) -> None:
        try:
            for batch in source:
                if not self._put(prepare(batch)):
                    return
            self._put(_END)
        except BaseException as error:
            self._put(error)

    def _put(self, item: object) -> bool:
        while not self._closed.is_set():
            try:
                self._made.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


class _Steps(Dataset[Batch]):
    def __init__(self, make: Callable[[int], Batch], length: int) -> None:
        self.make, self.length = make, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:
        return self.make(step)


def _from_processes(make: Callable[[int], Batch], steps: range, workers: int, depth: int) -> Iterator[Batch]:
    ahead = -(-depth // workers)
    rest = Subset(_Steps(make, steps.stop), steps)
    # Begun by the thread: in the main one torch would raise, at any place, when a worker ends.
    yield from DataLoader(rest, batch_size=None, num_workers=workers, prefetch_factor=ahead)
