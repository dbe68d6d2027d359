"""Calls to one worker that is ready: begin one, send it, wait for it. For the player's thread.

Nothing here waits longer than it was told to, and nothing the worker does can make it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from . import _isolation_order as wire
from ._isolation_errors import CRASH, MEMORY, SHARED, WorkerAway, WorkerFault, WorkerLate
from ._isolation_link import Link, WorkerEnded
from ._isolation_memory import SLOTS, Segment
from .errors import EngineError


class Channel:
    """A link with a segment for ``shapes``. ``answered`` counts the calls since the worker started."""

    def __init__(
        self, link: Link, segment: Segment, shapes: Mapping[str, tuple[int, ...]], answered: int = 0
    ) -> None:
        self.link, self.segment, self.shapes = link, segment, dict(shapes)
        self.answered = answered
        self._sent = self._done = 0  # sequences; calls between them are under way
        self._sent_at = [0.0] * SLOTS

    def begin(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Inputs and outputs of the next call. Raises `WorkerAway` while all slots are taken by late calls,
        `WorkerFault`."""
        while self._done < self._sent:
            message = self._receive(0.0)
            if message is None:
                break
            self._finished(message)
        if self._sent - self._done >= SLOTS:
            raise WorkerAway("the worker is still busy with late calls")
        slot = (self._sent + 1) % SLOTS
        return self.segment.inputs[slot], self.segment.outputs[slot]

    def call(self, fault: int, until: float, meanwhile: Callable[[], None] | None) -> None:
        """Run the call begun; ``meanwhile`` is called while the worker runs.

        Raises `WorkerLate` if there is no answer ``until`` that time of ``perf_counter``, `EngineError` if
        the engine raised, `WorkerFault`.
        """
        sequence = self._sent + 1
        self.segment.request(sequence)
        try:
            self.link.send(wire.CALL + wire.CALL_WORDS.pack(sequence, fault))
        except WorkerEnded as error:
            raise WorkerFault(CRASH, str(error)) from error
        self._sent = sequence
        self._sent_at[sequence % SLOTS] = time.perf_counter()
        if meanwhile is not None:
            meanwhile()
        while self._done < sequence:
            message = self._receive(until)
            if message is None:
                raise WorkerLate("the worker did not answer in time")
            status, sentence = self._finished(message)
        fault_found = self.segment.reply_fault(sequence, status)
        if fault_found or status == wire.CORRUPT:
            raise WorkerFault(SHARED, f"the shared memory was spoilt: {fault_found or sentence}")
        if status == wire.EXHAUSTED:
            raise WorkerFault(MEMORY, sentence)
        if status != wire.OK:
            raise EngineError(sentence)

    def waiting_since(self) -> float | None:
        """When the oldest call that the worker has not answered was sent; for any thread."""
        for sequence in range(self._done + 1, self._sent + 1):
            if not self.segment.replied(sequence):
                return self._sent_at[sequence % SLOTS]
        return None

    def _receive(self, until: float) -> bytes | None:
        try:
            return self.link.receive(until)
        except WorkerEnded as error:
            raise WorkerFault(CRASH, str(error)) from error

    def _finished(self, message: bytes) -> tuple[int, str]:
        """Note the end of a call: status, and what the worker said."""
        head, words = message[:1], message[1 : 1 + wire.DONE_WORDS.size]
        if head != wire.DONE or len(words) != wire.DONE_WORDS.size:
            raise WorkerFault(SHARED, "the worker sent something that is no answer")
        sequence, status = wire.DONE_WORDS.unpack(words)
        if sequence != self._done + 1 or sequence > self._sent:
            raise WorkerFault(SHARED, f"the worker answered call {sequence}, which was not next")
        self._done = sequence
        self.answered += 1
        return status, message[1 + wire.DONE_WORDS.size :].decode(errors="replace")
