"""``State``: which model of an id starts, and what is known of its slots. Pure values: no file is touched.

             staged          activated            healthy × needed
(nothing) ──────────▶ spare ───────────▶ on trial ────────────────▶ committed
                                            │ rolled_back
                                            ▼
                              the one before starts, the failed one is set aside
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from .._parse import dump_json, load_json, parse, plain
from ..errors import UpdateError
from .release import Release

SCHEMA = 1
FACTORY: Final = "factory"
"""The model that came with the system image: always there, never written."""

MAX_SET_ASIDE = 16

_FILE = re.compile(r"[0-9a-f]{16}\.zip")

Source = Literal["a", "b", "factory"]


@dataclass(frozen=True)
class Installed:
    """One slot: a bundle's zip beside the state, and for which combination it was found good."""

    file: str
    sha256: str
    bytes: int
    release: Release
    device: str  # Device.digest
    committed: bool = False


@dataclass(frozen=True)
class Trial:
    """The active slot is new: it has to earn its place in ``needed`` healthy sessions."""

    previous: Source  # what starts if it fails
    needed: int
    starts: int = 0
    healthy: int = 0


@dataclass(frozen=True)
class SetAside:
    """A model that failed on a combination; it is not tried again there."""

    digest: str
    device: str
    reason: str


@dataclass(frozen=True)
class State:
    """``state.json`` of one model id."""

    schema: int = SCHEMA
    active: Source = FACTORY
    slots: Mapping[Source, Installed] = field(default_factory=dict)
    trial: Trial | None = None
    counter_floor: int = 0  # the highest committed release counter; lower ones are not installed any more
    set_aside: tuple[SetAside, ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema} is not {SCHEMA}")
        for slot, one in self.slots.items():
            if slot not in ("a", "b") or not _FILE.fullmatch(one.file):
                raise ValueError(f"slots: {slot!r}: {one.file!r} is not a slot and its file")
        starting: tuple[Source, ...] = (self.active, self.trial.previous if self.trial else FACTORY)
        for name in starting:
            if name != FACTORY and name not in self.slots:
                raise ValueError(f"the slot {name!r} is in use but empty")
        if self.trial and (self.active == FACTORY or self.trial.previous == self.active):
            raise ValueError("a trial is of a slot, with another one before it")

    @classmethod
    def read(cls, data: bytes, where: str) -> State:
        """Raises UpdateError with file and key."""
        return parse(cls, load_json(data, where, UpdateError), where, error=UpdateError)

    def text(self) -> bytes:
        """What `read` reads."""
        return dump_json(plain(self))

    @property
    def current(self) -> Installed | None:
        """The active slot; None is the factory model."""
        return None if self.active == FACTORY else self.slots[self.active]

    def holding(self, digest: str) -> Source | None:
        """The slot that holds the model of that bundle digest."""
        return next((name for name, one in self.slots.items() if one.release.model.digest == digest), None)

    def failed(self, digest: str, device: str) -> str | None:
        """Why the model of that bundle digest is set aside on this combination."""
        return next((s.reason for s in self.set_aside if (s.digest, s.device) == (digest, device)), None)

    def room(self) -> None:
        """Raises UpdateError while a trial needs both slots."""
        if self.trial and self.trial.previous != FACTORY:
            raise UpdateError(
                "a trial is running and needs both slots; commit it, roll it back, or let it end"
            )

    def staged(self, installed: Installed) -> tuple[State, Source]:
        """With ``installed`` in the spare slot, which does not start yet.

        Raises UpdateError while a trial needs both slots.
        """
        digest = installed.release.model.digest
        busy = {self.active, self.trial.previous if self.trial else self.active}
        order: tuple[Source, ...] = ("a", "b")
        held = self.holding(digest)
        spare = held if held and held not in busy else next((s for s in order if s not in busy), None)
        if spare is None or held in busy:
            self.room()
            raise UpdateError(f"{digest[:16]} is in use")
        slots = {name: one for name, one in self.slots.items() if name not in (spare, held)}
        return replace(self, slots=slots | {spare: installed}), spare

    def activated(self, slot: Source, needed: int) -> State:
        """With ``slot`` on trial (at once committed if no session is needed)."""
        previous = self.trial.previous if self.trial else self.active
        if previous == slot:  # qualified anew: what is before it is the other slot, or the factory's
            committed: list[Source] = [s for s, one in self.slots.items() if s != slot and one.committed]
            previous = (*committed, FACTORY)[0]
        fresh = replace(self.slots[slot], committed=False)
        slots = {**self.slots, slot: fresh}
        state = replace(self, active=slot, slots=slots, trial=Trial(previous, max(needed, 1)))
        return state if needed > 0 else state.committed()

    def begun(self) -> State:
        """One more session has begun."""
        return replace(self, trial=replace(self.trial, starts=self.trial.starts + 1)) if self.trial else self

    def healthy(self) -> State:
        """One more session ended well; the last one needed commits."""
        if not self.trial:
            return self
        trial = replace(self.trial, healthy=self.trial.healthy + 1)
        state = replace(self, trial=trial)
        return state.committed() if trial.healthy >= trial.needed else state

    def unbegun(self) -> State:
        """The session that has begun was too short to tell anything."""
        return replace(self, trial=replace(self.trial, starts=self.trial.starts - 1)) if self.trial else self

    def renewed(self, device: str) -> State:
        """The active slot was found good on the combination ``device``."""
        if self.active == FACTORY:
            return self
        one = replace(self.slots[self.active], device=device)
        return replace(self, slots={**self.slots, self.active: one})

    def amended(self, release: Release) -> State:
        """With what the publisher says by now of a model that lies in a slot."""
        held = self.holding(release.model.digest)
        if held is None:
            return self
        return replace(self, slots={**self.slots, held: replace(self.slots[held], release=release)})

    def without(self, digest: str, device: str, reason: str) -> State:
        """With the model of that bundle digest set aside on a combination; a slot in use is kept."""
        aside = SetAside(digest, device, reason[:300])
        kept = tuple(s for s in self.set_aside if (s.digest, s.device) != (digest, device))
        busy = {self.active, self.trial.previous if self.trial else self.active}
        slots = {n: one for n, one in self.slots.items() if n in busy or one.release.model.digest != digest}
        return replace(self, slots=slots, set_aside=(*kept, aside)[-MAX_SET_ASIDE:])

    def committed(self) -> State:
        """The trial is over: the active slot stays, and older releases are not installed any more."""
        if not self.trial or self.active == FACTORY:
            return self
        one = replace(self.slots[self.active], committed=True)
        floor = max(self.counter_floor, one.release.release_counter)
        return replace(self, slots={**self.slots, self.active: one}, trial=None, counter_floor=floor)

    def lost(self) -> State:
        """The one before starts; the active slot is empty: its file was damaged. It may be installed anew."""
        if self.active == FACTORY:
            return self
        others = {name: one for name, one in self.slots.items() if name != self.active}
        committed: list[Source] = [name for name, one in others.items() if one.committed]
        previous = self.trial.previous if self.trial else (*committed, FACTORY)[0]
        return replace(self, active=previous, slots=others, trial=None)

    def rolled_back(self, reason: str, device: str) -> State:
        """The one before starts again; what failed leaves its slot and is set aside on this combination.

        Raises UpdateError if the factory model is active: there is nothing before it.
        """
        if self.active == FACTORY:
            raise UpdateError("the factory model is active; there is nothing to roll back to")
        return self.lost().without(self.slots[self.active].release.model.digest, device, reason)
