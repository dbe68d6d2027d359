"""``Slots``: the two models of one id on disk, and the factory's; always one of them is whole and starts.

    <store>/sr/base-x2/state.json               which slot starts (`_state.State`); replaced as a whole
    <store>/sr/base-x2/<digest>.zip             a slot's bundle; complete before it gets this name
    <store>/sr/base-x2/incoming.zip             a download; garbage until it is whole and verified

The order makes it safe against a power cut anywhere: a bundle is complete and flushed before a state names
it, and a file is removed only after no state names it. ``bootable`` trusts nothing it has not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..bundle import Bundle
from ..errors import BundleError, UpdateError
from ..signing import TrustedKeys
from ._disk import PARTIAL, Disk, locked
from ._state import FACTORY, Installed, Source, State
from .release import Release

STATE = "state.json"
INCOMING = "incoming.zip"


@dataclass(frozen=True)
class Bootable:
    """What starts: a verified bundle, from which slot, and what was wrong with those before it."""

    bundle: Bundle
    source: Source
    problems: tuple[str, ...] = ()


class Slots:
    """The slots of the model ``id`` in the folder ``store``."""

    def __init__(
        self,
        store: Path,
        id: str,
        *,
        factory: Path | None = None,
        trusted: TrustedKeys | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.id, self.folder = id, store / id
        self._factory, self._trusted = factory, trusted
        self.disk = disk or Disk()

    def state(self) -> State:
        """What `state.json` says; that of a new device if there is none.

        Raises UpdateError if it cannot be understood: then only the factory model is known to be good.
        """
        path = self.folder / STATE
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return State()
        except OSError as cause:
            raise UpdateError(f"{path} cannot be read: {cause}") from cause
        return State.read(data, str(path))

    def bootable(self) -> Bootable:
        """The active model, or the next best that is whole: the one before it, the factory's.

        Writes nothing. Raises UpdateError if nothing can start, which needs a damaged system image.
        """
        problems: list[str] = []
        order: list[Source] = [FACTORY]
        state = State()
        try:
            state = self.state()
        except UpdateError as error:
            problems.append(str(error))
        if state.trial:
            order.insert(0, state.trial.previous)
        order = [state.active, *(s for s in state.slots if state.slots[s].committed), *order]
        for source in dict.fromkeys(order):
            try:
                return Bootable(self._open(source, state), source, tuple(problems))
            except (BundleError, UpdateError, OSError) as error:
                problems.append(f"{source}: {error}")
        raise UpdateError(f"no model of {self.id} can start: {'; '.join(problems)}")

    def incoming(self) -> Path:
        """Where a download goes; what an interrupted one left there is gone."""
        self.disk.make_folders(self.folder)
        path = self.folder / INCOMING
        self.disk.remove(path)
        return path

    def check(self, path: Path, release: Release) -> Bundle:
        """The bundle at ``path``, verified, if it is the one that ``release`` describes.

        Raises BundleError, or UpdateError if it is another one.
        """
        bundle = Bundle.open(path, task=release.model.task, trusted_keys=self._trusted)
        model = release.model
        if (bundle.id, bundle.version, bundle.digest) != (model.id, model.version, model.digest):
            raise UpdateError(
                f"{path}: is {bundle.id} {bundle.version} ({bundle.digest[:16]}), the release describes "
                f"{model.id} {model.version} ({model.digest[:16]})"
            )
        return bundle

    def stage(self, release: Release, device: str) -> Source:
        """Put the verified download into the spare slot; it does not start yet.

        Raises UpdateError while a trial needs both slots; the download is then garbage.
        """
        path = self.folder / INCOMING
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        installed = Installed(f"{sha256[:16]}.zip", sha256, len(data), release, device)
        with locked(self.folder):
            state, slot = self.state().staged(installed)
            self.disk.move(path, self.folder / installed.file)
            self._write(state)
        return slot

    def change(self, step: Callable[[State], State]) -> State:
        """Replace the state by ``step`` of it, then remove what no slot needs any more."""
        self.disk.make_folders(self.folder)
        with locked(self.folder):
            state = step(before := self.state())
            if state != before:
                self._write(state)
        return state

    def heal(self) -> str | None:
        """Forget everything but the factory model if the state cannot be read; returns what was wrong."""
        try:
            self.state()
        except UpdateError as damage:
            with locked(self.folder):
                self._write(State())
            return str(damage)
        return None

    def clean(self) -> None:
        """Remove what a power cut left behind. A download that may be running is let be."""
        if self.folder.is_dir():
            with contextlib.suppress(OSError, UpdateError), locked(self.folder):
                self._sweep(self.state())

    def _write(self, state: State) -> None:
        self.disk.put(self.folder / STATE, state.text())
        self._sweep(state)

    def _sweep(self, state: State) -> None:
        needed = {one.file for one in state.slots.values()} | {INCOMING}
        for path in sorted((*self.folder.glob("*.zip"), *self.folder.glob(f"*{PARTIAL}"))):
            if path.name not in needed:
                with contextlib.suppress(OSError):  # garbage that cannot be removed harms nobody
                    self.disk.remove(path)

    def _open(self, source: Source, state: State) -> Bundle:
        if source == FACTORY:
            if self._factory is None:
                raise UpdateError("the system image has no such model")
            return Bundle.open(self._factory, trusted_keys=self._trusted)
        one = state.slots[source]
        path = self.folder / one.file
        if hashlib.sha256(path.read_bytes()).hexdigest() != one.sha256:
            raise UpdateError(f"{path}: is not the file that was installed")
        return self.check(path, one.release)
