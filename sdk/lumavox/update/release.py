"""``Release``: the compatibility manifest of one published model, in the signed metadata of its file.

It says what a device must be for this model (``requires``, ``depends``), what the model brings
(``provides``), on which exact devices it was measured (``evidence``), and on which it is known to fail
(``known_bad``). It is read from the ``custom`` member of a TUF target; unknown keys are errors, a newer
schema is refused by name.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .._parse import parse, plain
from .._version import __version__
from ..errors import UpdateBlockedError, UpdateRefusedError
from ._ranges import check_range

SCHEMA = 1
CUSTOM_KEY = "lumavox"
"""The member of a target's ``custom`` that holds the manifest."""

MAX_COUNTER = 2**31 - 1
MAX_PATTERN_CHARACTERS = 200

_MODEL_ID = re.compile(r"(sr|de)/[A-Za-z0-9_][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Model:
    """Which model: ``digest`` is that of its bundle (SHA-256 of manifest.json), hex."""

    id: str
    version: str
    task: Literal["sr", "de"]
    digest: str
    scale: str | None = None  # "2", "1.5": signed metadata has whole numbers only
    graphs: Mapping[str, str] = field(default_factory=dict)  # variant: SHA-256 of its model file

    def __post_init__(self) -> None:
        if not _MODEL_ID.fullmatch(self.id) or not self.id.startswith(f"{self.task}/"):
            raise ValueError(f"id: {self.id!r} is not a model of task {self.task!r} such as 'sr/base-x2'")
        if not _SHA256.fullmatch(self.digest):
            raise ValueError(f"digest: {self.digest!r} is not 64 hex digits")


@dataclass(frozen=True)
class Ranged:
    """Something by name, and which versions of it (``>=2.1,<3``; empty: any that is known)."""

    name: str
    range: str = ""

    def __post_init__(self) -> None:
        check_range(self.range)


@dataclass(frozen=True)
class FirmwareRange:
    """Which firmware: by ``build_range`` where builds are dotted numbers, else by ``builds`` (globs)."""

    vendor: str
    build_range: str = ""
    builds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_range(self.build_range)
        _check_patterns(self.builds)
        if bool(self.build_range) == bool(self.builds):
            raise ValueError("give either build_range or builds: a firmware requirement names its builds")


@dataclass(frozen=True)
class Requires:
    """What the device must be; a member left out is not asked for. Lists: one of them."""

    lumavox: str = ""  # range of the runtime library
    engine: tuple[Ranged, ...] = ()  # one of these backends
    driver: tuple[Ranged, ...] = ()  # all of these
    firmware: tuple[FirmwareRange, ...] = ()
    soc_model: tuple[str, ...] = ()
    hardware_id: tuple[str, ...] = ()
    ram_mb: int | None = None
    vtcm_mb: int | None = None

    def __post_init__(self) -> None:
        check_range(self.lumavox)


@dataclass(frozen=True)
class Compiled:
    """A variant compiled for chips: which tool made it, and which runtimes read it."""

    format: str  # "tflite", "qnn_ctx", ...
    compiler: str
    compiler_version: str
    target_soc: tuple[str, ...]
    engine: str  # the backend that runs it
    min_runtime: str = ""
    max_runtime_major: int | None = None


@dataclass(frozen=True)
class Evidence:
    """Where the model was measured: ``devices`` are `Device.digest` of those that passed."""

    devices: tuple[str, ...] = ()
    matrix_report_sha256: str | None = None
    cell_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnownBad:
    """Devices that the model fails on; globs, "*" is any. ``issue`` says where to read more."""

    reason: str
    issue: str
    soc_model: str = "*"
    firmware_build: str = "*"
    device: str | None = None  # Device.digest

    def __post_init__(self) -> None:
        _check_patterns((self.soc_model, self.firmware_build))


@dataclass(frozen=True)
class Release:
    """One published model. ``release_counter`` rises with every release of an id and never falls."""

    schema: int
    model: Model
    release_counter: int
    expires: str  # not installed from then on, "2027-01-31T00:00:00Z"; what is installed stays
    requires: Requires = Requires()
    compiled: tuple[Compiled, ...] = ()
    provides: Mapping[str, str] = field(default_factory=dict)  # {"model.sr.version": "2.3.1", "abi": "4"}
    depends: Mapping[str, str] = field(default_factory=dict)  # name: range of what others provide
    evidence: Evidence = Evidence()
    known_bad: tuple[KnownBad, ...] = ()
    fallbacks: tuple[str, ...] = ()  # what to show instead where it is blocked
    share_permille: int = 1000  # of the fleet that is offered it

    def __post_init__(self) -> None:
        if not 1 <= self.release_counter <= MAX_COUNTER:
            raise ValueError(f"release_counter: must be 1 to {MAX_COUNTER}, got {self.release_counter}")
        if not 0 <= self.share_permille <= 1000:
            raise ValueError(f"share_permille: must be 0 to 1000, got {self.share_permille}")
        for name, text in self.depends.items():
            try:
                check_range(text)
            except ValueError as cause:
                raise ValueError(f"depends.{name}: {cause}") from cause
        self.expires_at()

    @classmethod
    def of(cls, value: object, where: str) -> Release:
        """From plain JSON values. Raises UpdateBlockedError if it needs a newer lumavox, else
        UpdateRefusedError with file and key for whatever is wrong."""
        schema = value.get("schema") if isinstance(value, Mapping) else None
        if type(schema) is int and schema > SCHEMA:
            raise UpdateBlockedError(
                f"{where}: has schema {schema}, lumavox {__version__} reads up to {SCHEMA}; upgrade lumavox"
            )
        if schema != SCHEMA:
            raise UpdateRefusedError(f"{where}: schema: expected {SCHEMA}, got {schema!r}", "malformed")
        try:
            return parse(cls, value, where, error=_Malformed)
        except _Malformed as cause:
            raise UpdateRefusedError(str(cause), "malformed") from cause

    def plain(self) -> dict[str, Any]:
        """The JSON values that `of` reads."""
        values: dict[str, Any] = plain(self)
        return values

    def expires_at(self) -> datetime.datetime:
        """``expires`` as a time. Raises ValueError if it is none."""
        try:
            return datetime.datetime.strptime(self.expires, "%Y-%m-%dT%H:%M:%SZ").replace(
                tzinfo=datetime.timezone.utc
            )
        except ValueError as cause:
            raise ValueError(
                f"expires: {self.expires!r} is not a UTC time such as '2027-01-31T00:00:00Z'"
            ) from cause


class _Malformed(UpdateRefusedError):
    """What the parser raises; it knows no attack."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "malformed")


def _check_patterns(patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not pattern or len(pattern) > MAX_PATTERN_CHARACTERS or pattern.count("*") > 4:
            raise ValueError(f"{pattern[:40]!r} is not a glob of at most 200 characters and 4 stars")
