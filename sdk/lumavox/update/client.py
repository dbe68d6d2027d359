"""``Repository``: what the model repository vouches for, asked by TUF. It installs nothing.

    repository = Repository(server, folder, limits)
    repository.refresh()                                  # root, timestamp, snapshot, targets: all or nothing
    found = repository.find(["rk3588/sr/base-x2.zip", "any/sr/base-x2.zip"])
    repository.download(found, path)

Beyond TUF's own rules, this bounds time as well as bytes, keeps the versions it has seen in a second place
(damaged metadata is no way back), and does not judge expiry by a clock that went backwards.
Every failure is an UpdateTransportError or an UpdateRefusedError that names the attack it would be.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._bundle_rules import MAX_BUNDLE_BYTES
from .._parse import dump_json, load_json, parse, plain
from ..errors import MissingExtraError, UpdateError, UpdateRefusedError, UpdateTransportError
from ._disk import Disk
from ._fetcher import BoundedFetcher
from .release import CUSTOM_KEY, Release

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

SEEN = "seen.json"
CLOCK_SLACK_S = 86_400.0


@dataclass(frozen=True)
class Server:
    """Where the repository is. ``root`` is the trust anchor: the bytes of a root.json, out of the image."""

    metadata_url: str
    targets_url: str
    root: bytes


@dataclass(frozen=True)
class Limits:
    """What one check or download may take."""

    check_s: float = 60.0  # root, timestamp, snapshot, targets and delegations together
    silence_s: float = 10.0
    min_bytes_per_s: float = 16_000.0  # of a bundle
    max_bundle_bytes: int = MAX_BUNDLE_BYTES
    root_bytes: int = 256_000
    timestamp_bytes: int = 16_384
    snapshot_bytes: int = 1_000_000
    targets_bytes: int = 4_000_000
    root_rotations: int = 64
    delegations: int = 16


@dataclass(frozen=True)
class Found:
    """A published model: its path in the repository and its manifest."""

    path: str
    bytes: int
    release: Release
    target: TargetFile


@dataclass(frozen=True)
class Seen:
    """The newest metadata that was accepted, and when (Unix time)."""

    root_version: int = 1
    timestamp_version: int = 0
    checked_at: float = 0.0


class Repository:
    """One check and the downloads that follow from it; make a new one for the next check."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        limits: Limits | None = None,
        *,
        disk: Disk | None = None,
        clock: Any = time.time,
    ) -> None:
        self._server, self._folder, self._limits = server, folder, limits or Limits()
        self._disk, self._clock = disk or Disk(), clock
        self._fetcher: BoundedFetcher | None = None
        self._updater: Any = None

    def refresh(self) -> None:
        """Get and verify the metadata. Raises UpdateTransportError, UpdateRefusedError, MissingExtraError;
        what was known before is then still known."""
        ngclient = _tuf()
        limits = self._limits
        now, seen = self._clock(), self._seen()
        if now < seen.checked_at - CLOCK_SLACK_S:
            raise UpdateRefusedError(
                f"the clock went back: it says {_utc(now)}, the last check was {_utc(seen.checked_at)}; "
                "set it, since expired metadata cannot be told by it",
                "freeze",
            )
        self._disk.make_folders(self._folder)
        for stray in self._folder.glob("tmp*"):  # an interrupted write of metadata
            self._disk.remove(stray)
        config = ngclient.UpdaterConfig(
            max_root_rotations=limits.root_rotations,
            max_delegations=limits.delegations,
            root_max_length=limits.root_bytes,
            timestamp_max_length=limits.timestamp_bytes,
            snapshot_max_length=limits.snapshot_bytes,
            targets_max_length=limits.targets_bytes,
        )
        self._fetcher = BoundedFetcher(self._folder, limits.silence_s)
        self._fetcher.allow(limits.check_s)
        with _named("the repository's metadata"):
            self._updater = ngclient.Updater(
                str(self._folder),
                self._server.metadata_url,
                target_base_url=self._server.targets_url,
                fetcher=self._fetcher,
                config=config,
                bootstrap=self._server.root,
            )
            self._updater.refresh()
        self._remember(seen, now)

    def find(self, paths: Sequence[str]) -> Found | None:
        """The first of ``paths`` that somebody entitled to it has published; None if there is none.

        Raises like `refresh`, and UpdateBlockedError for a manifest that needs a newer lumavox.
        """
        for path in paths:
            with _named(f"what is published as {path}"):
                target = self._updater.get_targetinfo(path)
            if target is not None:
                self._flush()
                return self._found(path, target)
        return None

    def download(self, found: Found, path: Path) -> None:
        """Get the file into ``path``, verified and flushed. Raises like `refresh`; then ``path`` is no file
        of worth. It is overwritten as it is: give a name that nothing else reads."""
        assert self._fetcher is not None
        limits = self._limits
        self._fetcher.allow(limits.check_s + found.bytes / limits.min_bytes_per_s)
        with _named(found.path):
            self._updater.download_target(found.target, str(path))
        self._disk.flush(path)

    def close(self) -> None:
        """Close the connections."""
        if self._fetcher is not None:
            self._fetcher.close()

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _found(self, path: str, target: TargetFile) -> Found:
        if target.length > self._limits.max_bundle_bytes:
            raise UpdateRefusedError(
                f"{path}: {target.length} bytes are announced, {self._limits.max_bundle_bytes} are possible",
                "endless data",
            )
        custom = target.custom if isinstance(target.custom, dict) else {}
        if CUSTOM_KEY not in custom:
            raise UpdateRefusedError(f"{path}: has no compatibility manifest ({CUSTOM_KEY})", "malformed")
        release = Release.of(custom[CUSTOM_KEY], path)
        if not path.endswith(f"/{release.model.id}.zip"):
            raise UpdateRefusedError(f"{path}: its manifest describes {release.model.id}", "arbitrary target")
        return Found(path, target.length, release, target)

    def _seen(self) -> Seen:
        path = self._folder / SEEN
        try:
            return parse(Seen, load_json(path.read_bytes(), SEEN, UpdateError), SEEN, error=UpdateError)
        except (OSError, UpdateError):  # a new device, or a damaged file: TUF's own memory remains
            return Seen()

    def _remember(self, seen: Seen, now: float) -> None:
        from tuf.api.metadata import Metadata

        root = Metadata.from_file(str(self._folder / "root.json")).signed.version
        stamp = Metadata.from_file(str(self._folder / "timestamp.json")).signed.version
        # A new root may have replaced a stolen timestamp key, whose versions then count no longer.
        if root < seen.root_version or (root == seen.root_version and stamp < seen.timestamp_version):
            raise UpdateRefusedError(
                f"the repository shows root {root}, timestamp {stamp}; this device has seen root "
                f"{seen.root_version}, timestamp {seen.timestamp_version}",
                "rollback",
            )
        self._flush()
        self._disk.put(self._folder / SEEN, dump_json(plain(Seen(root, stamp, now))))

    def _flush(self) -> None:
        """TUF renames its files into place but does not flush them."""
        for path in sorted(self._folder.rglob("*.json")):
            if path.is_file() and not path.is_symlink():
                self._disk.flush(path)
        self._disk.flush(self._folder)


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Errors of tuf as ours, with the name of the attack that they would be."""
    from tuf.api import exceptions as tuf

    refused = {
        tuf.BadVersionNumberError: ("rollback", "its version is not the one that is due"),
        tuf.ExpiredMetadataError: (
            "freeze",
            "it has expired: stale, held back, or the clock is wrong",
        ),
        tuf.LengthOrHashMismatchError: ("wrong content", "its length or hash is not the signed one"),
        tuf.UnsignedMetadataError: ("wrong key", "too few trusted keys have signed it"),
        tuf.DownloadLengthMismatchError: ("endless data", "it is longer than it may be"),
        tuf.RepositoryError: ("malformed", "it contradicts itself or cannot be read"),
    }
    try:
        yield
    except tuf.SlowRetrievalError as cause:
        raise UpdateTransportError(f"{what}: too slow, given up: {cause}; try again later") from cause
    except (tuf.RepositoryError, tuf.DownloadLengthMismatchError) as cause:
        attack, words = next(v for k, v in refused.items() if isinstance(cause, k))
        raise UpdateRefusedError(f"{what}: refused: {words} ({cause})", attack) from cause
    except OSError as cause:
        raise UpdateError(f"{what}: cannot be kept on this device: {cause}") from cause
    except tuf.DownloadError as cause:
        raise UpdateTransportError(f"{what}: cannot be fetched: {cause}; try again later") from cause


def _tuf() -> Any:
    try:
        from tuf import ngclient
    except ImportError as cause:
        raise MissingExtraError("tuf", "update", "Updating models") from cause
    return ngclient


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")
