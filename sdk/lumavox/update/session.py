"""``Session``: one use of a model that may be on trial: it counts, it judges, and it is the way back.

with updates.session("sr/base-x2") as session:
    with Upscaler.open(session.bundle) as upscaler:
        ...
        session.watch(upscaler.record())               # now and then; True: rolled back, stop using it
    session.finish(upscaler.record())
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..bundle import Bundle
from ..telemetry import TelemetryRecord
from ._state import FACTORY, Source, State

if TYPE_CHECKING:
    from .updates import Updates


class Session:
    """Made by `Updates.session`. Leaving it without `finish` counts as a session that ended badly.

    ``bundle`` is what to run, ``source`` its slot, ``on_trial`` whether this session decides about it.
    """

    def __init__(self, updates: Updates, id: str) -> None:
        self._updates, self._id = updates, id
        self.bundle: Bundle
        self.source: Source = FACTORY
        self.on_trial = False

    def __enter__(self) -> Session:
        bootable = self._updates.boot(self._id)
        self.bundle, self.source = bootable.bundle, bootable.source
        slots = self._updates.slots(self._id)
        self.on_trial = self._decides(slots.state())
        if self.on_trial:
            slots.change(State.begun)
        return self

    def watch(self, record: TelemetryRecord) -> bool:
        """Judge the session so far. True if its model was on trial and has just been rolled back:
        ``bundle`` is then the one to go on with."""
        complaint = self._updates.settings.health.complaint(record)
        if complaint is None or not self.on_trial:
            return False
        self.trip(complaint)
        return True

    def finish(self, record: TelemetryRecord) -> str | None:
        """Judge the session by its record; returns the complaint, if any. An unhealthy one rolls a trial
        back; one too short to tell changes nothing."""
        health = self._updates.settings.health
        complaint = health.complaint(record)
        if self.on_trial and complaint is not None:
            self.trip(complaint)
        elif self.on_trial:
            step = State.healthy if health.proves(record) else State.unbegun
            self._updates.slots(self._id).change(lambda state: step(state) if self._decides(state) else state)
        self.on_trial = False
        return complaint

    def trip(self, reason: str) -> Bundle:
        """A watchdog has tripped: roll a trial back at once. Returns the bundle that is to run now."""
        slots, device = self._updates.slots(self._id), self._updates.device.digest()
        if self.on_trial:
            slots.change(lambda state: state.rolled_back(reason, device) if self._decides(state) else state)
            self.on_trial = False
        bootable = slots.bootable()
        self.bundle, self.source = bootable.bundle, bootable.source
        return self.bundle

    def _decides(self, state: State) -> bool:
        """Whether ``state`` still has this session's model on trial; another process may have decided."""
        one = state.current
        return (
            state.trial is not None
            and one is not None
            and state.active == self.source
            and one.release.model.digest == self.bundle.digest
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.on_trial = False
