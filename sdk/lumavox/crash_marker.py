"""``CrashMarker``: how often a worker crashed on one exact configuration, kept on disk.

A configuration is everything that a crash may depend on: model, variant, engine, its version, driver,
firmware, SoC. When it crashed ``limit`` times without a long healthy run between, the model is set aside on
it, and only on it: there is no list of vendors or chips. Any change of the configuration, an update for
one, begins anew.

    marker = CrashMarker(folder, configuration, limit=5)
    marker.set_aside                                 # why, or None
    marker.begin(); marker.settle(); marker.crashed("SIGSEGV"); marker.forgive()

``begin`` leaves a note that ``settle`` takes away: a note that is found later, with its process gone, says
that the whole system went down while the model was being loaded, which counts as a crash.

Files are small, one per configuration, and replaced atomically; one that cannot be read counts as none, and a
folder that cannot be written only costs the memory (``problem`` says so). Nothing here raises.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ._parse import dump_json, load_json, parse, plain
from ._system import text_of
from .errors import OptionError

__all__ = ["Configuration", "CrashMarker", "remembered", "state_folder"]

SCHEMA = 1
ENVIRONMENT = "LUMAVOX_STATE"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Configuration:
    """What a crash may depend on; every member is text, ``digest`` names them all."""

    model: str  # digest of the bundle
    variant: str
    engine: str
    version: str  # of the engine
    driver: str
    firmware: str
    soc: str

    @property
    def digest(self) -> str:
        """32 hex digits."""
        return hashlib.sha256(dump_json(asdict(self))).hexdigest()[:32]


@dataclass(frozen=True)
class Attempt:
    """A load that has not been seen to succeed: which process, since which boot."""

    pid: int
    boot_id: str

    @property
    def lost(self) -> bool:
        """Whether that process is gone without a word."""
        return self.boot_id != _boot_id() or not Path(f"/proc/{self.pid}").exists()


@dataclass(frozen=True)
class Note:
    """The file."""

    schema: int
    configuration: Configuration
    crashes: int = 0
    last: str = ""
    attempt: Attempt | None = None


class CrashMarker:
    """The count for one configuration. For one thread at a time; processes may share a folder (two that
    crash at once may be counted as one)."""

    def __init__(self, folder: Path, configuration: Configuration, limit: int | None) -> None:
        self.path = folder / f"{configuration.digest}.json"
        self.problem: str | None = None
        self._limit = limit
        self._note = _read(self.path) or Note(SCHEMA, configuration)
        if self._note.attempt is not None and self._note.attempt.lost:
            self.crashed("the system went down, or the player was ended, while the model was loaded")

    @property
    def crashes(self) -> int:
        """Since the last long healthy run."""
        return self._note.crashes

    @property
    def set_aside(self) -> str | None:
        """Why the model is not to be used on this configuration, with what lifts it; None if it may be."""
        if self._limit is None or self._note.crashes < self._limit:
            return None
        c = self._note.configuration
        return (
            f"set aside after {self._note.crashes} crashes ({self._note.last}) of {c.variant!r} on "
            f"{c.engine} {c.version}, driver {c.driver}, firmware {c.firmware}, {c.soc}; "
            f"an update of any of these lifts it, and so does deleting {self.path}"
        )

    def begin(self) -> None:
        """The model is about to be loaded."""
        self._write(replace(self._note, attempt=Attempt(os.getpid(), _boot_id())), durable=True)

    def settle(self) -> None:
        """It was loaded and answers."""
        if self._note.attempt is not None:
            self._write(replace(self._note, attempt=None))

    def crashed(self, cause: str) -> None:
        """A worker crashed."""
        self._write(replace(self._note, crashes=self._note.crashes + 1, last=cause, attempt=None))

    def forgive(self) -> None:
        """A long healthy run."""
        if self._note.crashes or self._note.attempt:
            self._write(replace(self._note, crashes=0, attempt=None))

    def _write(self, note: Note, durable: bool = False) -> None:
        """``durable``: also if the power fails now, which takes a disk some 10 ms."""
        self._note = note
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            if not note.crashes and note.attempt is None:  # nothing to remember
                self.path.unlink(missing_ok=True)
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(dump_json(plain(note)))
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            self.problem = f"crashes are not remembered beyond this process: {self.path}: {error.strerror}"
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def remembered(folder: Path) -> list[str]:
    """A sentence for each configuration whose crashes are remembered in ``folder``."""
    notes = [(path, _read(path)) for path in sorted(folder.glob("*.json"))]
    return [
        f"{note.crashes} crash(es) of {note.configuration.variant} on {note.configuration.engine} "
        f"{note.configuration.version}, the last by {note.last} ({path})"
        for path, note in notes
        if note is not None and note.crashes
    ]


def _read(path: Path) -> Note | None:
    try:
        note = parse(Note, load_json(path.read_bytes(), str(path)), str(path))
    except (OSError, OptionError):
        return None
    return note if note.schema == SCHEMA and note.crashes >= 0 else None


def state_folder() -> Path:
    """Where markers are kept: ``LUMAVOX_STATE``, else the user's folder for state."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named) / "crashes"
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "lumavox" / "crashes"


def _boot_id() -> str:
    return text_of(_BOOT_ID).strip() or "not known"
