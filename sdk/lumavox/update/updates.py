"""``Updates``: models of one device kept up to date, step by step, each step safe to be cut off.

    updates = Updates.open("/etc/lumavox/update.json")     # or Updates(settings, device)
    offer = updates.check("sr/base-x2")                    # writes nothing but what was vouched for
    if offer.installable:
        updates.install(offer)                             # download, verify, self-test; on trial from now on
    with updates.session("sr/base-x2") as session:         # counts towards the trial
        with Upscaler.open(session.bundle) as upscaler:
            ...
            session.finish(upscaler.record())

`boot` is to be called once after the device starts: a changed firmware re-opens the question whether the
model may run, and a trial that keeps dying is rolled back.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..catalog import find_bundle
from ..errors import (
    BundleError,
    BundleNotFoundError,
    UpdateBlockedError,
    UpdateError,
    UpdateRefusedError,
)
from ..signing import TrustedKeys
from ._disk import Disk, locked
from ._state import State
from .client import Found, Repository, Server
from .compatibility import Answer, Verdict, resolve
from .device import Device
from .self_test import SelfTest, self_test
from .session import Session
from .settings import Settings
from .slots import Bootable, Slots

__all__ = ["Offer", "Session", "Settings", "Updates"]

MAX_COUNTER_LEAP = 100_000
"""How much a release counter may rise at once: a stolen key cannot use up all numbers with one release."""

MAX_LOST_SESSIONS = 3
"""A trial that began so many sessions more than it ended well is rolled back."""

ANY = "any"
"""The folder of the repository with models for every chipset."""


@dataclass(frozen=True)
class Offer:
    """What the repository has for a model, and the answer for this device. ``note`` says what will happen.

    ``recalled``: it is installed, and by now known not to be for this device; `Updates.recall` goes back.
    """

    id: str
    found: Found | None
    answer: Answer | None
    installable: bool
    note: str
    recalled: bool = False


class Updates:
    """The models of one device. ``clock`` is Unix time."""

    def __init__(
        self,
        settings: Settings,
        device: Device,
        *,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
        test: Callable[..., SelfTest] = self_test,
    ) -> None:
        self.settings, self.device = settings, device
        self._disk, self._clock, self._test = disk or Disk(), clock, test
        keys = [key.read_bytes() for key in settings.keys]
        self._trusted = TrustedKeys.of(*keys) if keys else None
        self._repository: Repository | None = None

    @classmethod
    def open(cls, path: str | Path) -> Updates:
        """By a settings file. Raises OptionError."""
        settings = Settings.load(path)
        return cls(settings, Device.load(settings.device))

    def slots(self, id: str) -> Slots:
        """The slots of a model."""
        try:
            factory: Path | None = find_bundle(id)
        except BundleNotFoundError:
            factory = None
        return Slots(self.settings.store, id, factory=factory, trusted=self._trusted, disk=self._disk)

    def check(self, id: str) -> Offer:
        """Ask the repository. Raises UpdateError and its kind, MissingExtraError."""
        return self.check_all([id])[0]

    def check_all(self, ids: Sequence[str]) -> list[Offer]:
        """One refresh for several models."""
        settings = self.settings
        server = Server(settings.metadata_url, settings.targets_url, settings.root.read_bytes())
        self.close()
        self._repository = Repository(
            server, settings.store / "metadata", settings.limits, disk=self._disk, clock=self._clock
        )
        self._disk.make_folders(settings.store)
        with locked(settings.store):  # tuf keeps its metadata for one process at a time
            self._repository.refresh()
            return [self._offer(id, self._repository) for id in ids]

    def install(self, offer: Offer) -> None:
        """Download, verify, self-test where it was never measured, and start it on trial.

        Raises UpdateBlockedError if the offer is not installable, UpdateRefusedError or
        UpdateTransportError for what came, UpdateError if a trial needs both slots. In every case the model
        that was active still is.
        """
        found, answer = offer.found, offer.answer
        if found is None or answer is None or not offer.installable:
            raise UpdateBlockedError(f"{offer.id}: {offer.note}")
        if self._repository is None:
            raise UpdateError(f"{offer.id}: this offer is of a check that was closed; check again")
        slots = self.slots(offer.id)
        slots.disk.make_folders(slots.folder)
        with locked(slots.folder, "install.lock", wait=False):
            self._install(found, answer, slots, self._repository)

    def _install(self, found: Found, answer: Answer, slots: Slots, repository: Repository) -> None:
        device = self.device.digest()
        slot = slots.state().holding(found.release.model.digest)
        if slot is None:
            slots.state().room()  # before a download that could not be kept
            path = slots.incoming()
            try:
                repository.download(found, path)
                slots.check(path, found.release)
                self._require(answer, path, slots, found.release.model.digest)
                slot = slots.stage(found.release, device)
            except BundleError as cause:
                raise UpdateRefusedError(f"{found.path}: {cause}", "wrong content") from cause
            except OSError as cause:
                raise UpdateError(f"{found.path}: cannot be kept in {slots.folder}: {cause}") from cause
            finally:
                self._disk.remove(path)
        else:
            one = slots.state().slots[slot]
            self._require(answer, slots.folder / one.file, slots, one.release.model.digest)
        needed = self.settings.healthy_sessions
        slots.change(lambda state: state.activated(slot, needed))

    def recall(self, offer: Offer) -> State:
        """Go back from an installed model that its publisher has blocked for this device since."""
        if not offer.recalled:
            raise UpdateError(f"{offer.id}: is not recalled: {offer.note}")
        return self.rollback(offer.id, offer.note)

    def boot(self, id: str) -> Bootable:
        """Once after the device started: the model that starts, its qualification renewed where the device
        has changed. Raises UpdateError only if nothing can start."""
        slots, device = self.slots(id), self.device.digest()
        damage = slots.heal()
        slots.clean()
        for _ in range(3):  # active slot, the one before it, the factory model
            one = slots.state().current
            if one is None:
                break
            complaint = self._lost(slots.state())
            if complaint is None and one.device != device:
                complaint = self._renew(slots)
            if complaint is None:
                break
            slots.change(lambda state, why=complaint: state.rolled_back(why, device))  # type: ignore[misc]
        bootable = slots.bootable()
        if slots.state().active != bootable.source:  # its file is damaged
            slots.change(State.lost)
        return replace(bootable, problems=(damage, *bootable.problems)) if damage else bootable

    def session(self, id: str) -> Session:
        """A session with the active model, counted if it is on trial."""
        return Session(self, id)

    def commit(self, id: str) -> State:
        """End the trial: the model stays. Raises UpdateError if there is none."""
        slots = self.slots(id)
        if slots.state().trial is None:
            raise UpdateError(f"{id}: nothing is on trial")
        return slots.change(State.committed)

    def rollback(self, id: str, reason: str = "asked for") -> State:
        """Start the model before from now on; the failed one is not installed again on this combination."""
        device = self.device.digest()
        return self.slots(id).change(lambda state: state.rolled_back(reason, device))

    def close(self) -> None:
        """Close connections."""
        if self._repository is not None:
            self._repository.close()
            self._repository = None

    def __enter__(self) -> Updates:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def provided(self) -> Mapping[str, str]:
        """What the active, committed models bring, for `depends` of others."""
        found: dict[str, str] = {}
        for path in sorted(self.settings.store.glob("*/*/state.json")):
            id = path.parent.relative_to(self.settings.store).as_posix()
            try:
                one = self.slots(id).state().current
            except UpdateError:
                continue
            if one is not None and one.committed:
                found |= one.release.provides
        return found

    def _offer(self, id: str, repository: Repository) -> Offer:
        paths = [f"{folder}/{id}.zip" for folder in dict.fromkeys((self.device.chipset, ANY))]
        found = repository.find(paths)
        if found is None:
            return Offer(id, None, None, False, f"the repository has no {' or '.join(paths)}")
        release = found.release
        now = datetime.datetime.fromtimestamp(self._clock(), datetime.timezone.utc)
        answer = resolve(release, self.device, provided=self.provided(), now=now)
        slots = self.slots(id)
        slots.heal()
        state = slots.state()
        current = state.current
        if current is not None and current.release.model.digest == release.model.digest:
            slots.change(lambda state: state.amended(release))
            answer = resolve(release, self.device, provided=self.provided())  # its expiry does not matter
            if answer.verdict is Verdict.BLOCKED:
                note = f"{release.model.version} is recalled: {'; '.join(answer.reasons)}"
                return Offer(id, found, answer, False, note, recalled=True)
            return Offer(id, found, answer, False, f"{release.model.version} is installed")
        if reason := state.failed(release.model.digest, self.device.digest()):
            return Offer(id, found, answer, False, f"set aside on this combination: {reason}")
        if release.release_counter < state.counter_floor:
            raise UpdateRefusedError(
                f"{found.path}: release {release.release_counter} is older than {state.counter_floor}, "
                "which this device has had",
                "rollback",
            )
        highest = max([state.counter_floor, *(one.release.release_counter for one in state.slots.values())])
        if highest and release.release_counter > highest + MAX_COUNTER_LEAP:
            raise UpdateRefusedError(
                f"{found.path}: release {release.release_counter} leaps by more than {MAX_COUNTER_LEAP} "
                f"from {highest}",
                "fast-forward",
            )
        if answer.verdict is Verdict.BLOCKED:
            instead = f"; instead: {', '.join(release.fallbacks)}" if release.fallbacks else ""
            return Offer(id, found, answer, False, f"{'; '.join(answer.reasons)}{instead}")
        share = release.share_permille / 1000
        if share < 1 and self.device.bucket(release.model.digest) >= share:
            return Offer(id, found, answer, False, f"offered to {share:.1%} of devices so far")
        return Offer(id, found, answer, True, f"{release.model.version}, {found.bytes} bytes")

    def _require(self, answer: Answer, path: Path, slots: Slots, digest: str) -> None:
        """Let a model that was never measured here prove itself. A failure is remembered."""
        if answer.verdict is Verdict.QUALIFIED:
            return
        result = self._self_test(path)
        if not result.passed:
            device = self.device.digest()
            slots.change(lambda state: state.without(digest, device, f"self-test: {result.reason}"))
            raise UpdateBlockedError(f"{slots.id}: the golden self-test did not pass: {result.reason}")

    def _renew(self, slots: Slots) -> str | None:
        """Ask anew whether the active model may run on the changed device; None if it may."""
        active = slots.state().active
        one = slots.state().slots[active]  # type: ignore[index]
        answer = resolve(one.release, self.device, provided=self.provided())
        if answer.verdict is Verdict.BLOCKED:
            return f"the device changed: {answer}"
        device, needed = self.device.digest(), self.settings.healthy_sessions
        if answer.verdict is Verdict.QUALIFIED:
            slots.change(lambda state: state.renewed(device))
            return None
        result = self._self_test(slots.folder / one.file)
        if not result.passed:
            return f"the device changed, and the golden self-test did not pass: {result.reason}"
        slots.change(lambda state: state.renewed(device).activated(active, needed))  # type: ignore[arg-type]
        return None

    def _self_test(self, path: Path) -> SelfTest:
        settings = self.settings
        return self._test(
            path, trusted=self._trusted, backend=settings.backend, timeout_s=settings.self_test_s
        )

    @staticmethod
    def _lost(state: State) -> str | None:
        lost = state.trial.starts - state.trial.healthy if state.trial else 0
        return f"{lost} sessions began and did not end well" if lost >= MAX_LOST_SESSIONS else None
