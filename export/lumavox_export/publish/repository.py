"""``ModelRepository``: writes a TUF repository of model bundles. Devices read it by `lumavox.update`.

    <folder>/metadata/  root.json, timestamp.json, N.<role>.json
    <folder>/targets/   <chipset>/<task>/<sha256>.<name>.zip

Every chipset is a delegated role with a key of its own, which can publish ``<chipset>/sr/*`` and
``<chipset>/de/*`` and nothing else. Files are written before what names them, the timestamp last: devices
see the old repository or the new one. Snapshot and timestamp name length and hash of what they point to.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.repository import Repository

from lumavox._files import replace_file
from lumavox.bundle import Bundle
from lumavox.bundle_writer import pack_bundle
from lumavox.errors import OptionError
from lumavox.signing import TrustedKeys
from lumavox.update.device import CHIPSET
from lumavox.update.release import CUSTOM_KEY, SCHEMA, KnownBad, Model, Release

from .keyring import Keyring

TOP_LEVEL = ("root", "targets", "snapshot", "timestamp")
EXPIRY_DAYS: Mapping[str, int] = {"root": 365, "targets": 90, "snapshot": 14, "timestamp": 2}
CHIPSET_EXPIRY_DAYS = 90
ROOT_KEYS, ROOT_THRESHOLD = 2, 2


class ModelRepository(Repository):  # type: ignore[misc]
    """The repository in ``folder``, signed by the keys of ``keyring``. ``now`` is for tests."""

    def __init__(self, folder: Path, keyring: Keyring, *, now: datetime.datetime | None = None) -> None:
        self.folder, self._keyring, self._now = folder, keyring, now
        self._metadata, self._targets = folder / "metadata", folder / "targets"

    @classmethod
    def init(cls, folder: Path, keyring: Keyring, *, now: datetime.datetime | None = None) -> ModelRepository:
        """A new, empty repository with new keys. Raises OptionError if there is one."""
        repository = cls(folder, keyring, now=now)
        if repository._metadata.exists():
            raise OptionError(f"{folder} holds a repository; its keys and versions would be lost")
        repository._metadata.mkdir(parents=True)
        repository._targets.mkdir()
        with repository.edit_root() as root:
            for role in TOP_LEVEL:
                for _ in range(ROOT_KEYS if role == "root" else 1):
                    root.add_key(keyring.new(role), role)
            root.roles["root"].threshold = ROOT_THRESHOLD
        with repository.edit_targets():
            pass
        repository.publish()
        return repository

    def trust_anchor(self) -> bytes:
        """The newest root.json, for the system images of devices."""
        return (self._metadata / "root.json").read_bytes()

    def delegate(self, chipset: str) -> None:
        """A role and a key for the models of ``chipset``. Raises OptionError if it is there."""
        paths = [f"{chipset}/{task}/*" for task in ("sr", "de")]
        if not CHIPSET.fullmatch(chipset):
            raise OptionError(f"chipset: {chipset!r} is not a folder name such as 'rk3588'")
        if chipset in TOP_LEVEL or chipset in self.chipsets():
            raise OptionError(f"{chipset!r} is a role already; rotate gives it another key")
        key = self._keyring.new(chipset)
        with self.edit_targets() as targets:
            if targets.delegations is None:
                targets.delegations = Delegations({}, roles={})
            role = DelegatedRole(chipset, [], 1, terminating=True, paths=paths)
            targets.delegations.roles[chipset] = role
            targets.add_key(key, chipset)
        with self.edit_targets(chipset):
            pass
        self.publish()

    def chipsets(self) -> list[str]:
        """The delegated roles."""
        delegations = self.targets().delegations if self._newest("targets") else None
        return sorted(delegations.roles) if delegations and delegations.roles else []

    def add(
        self,
        bundle: Path,
        chipset: str,
        *,
        expires_days: int = 180,
        manifest: Mapping[str, object] | None = None,
        trusted: TrustedKeys | None = None,
        share: float = 1.0,
    ) -> Release:
        """Publish a bundle (folder or zip) for ``chipset``, with the next release counter.

        ``manifest`` holds further members of `Release` as JSON values. Raises BundleError for a bundle that
        devices would refuse, OptionError for an unknown chipset or a version that is out already.
        """
        self._known(chipset)
        opened = Bundle.open(bundle, trusted_keys=trusted)
        path = f"{chipset}/{opened.id}.zip"
        before = self._release(chipset, path)
        if before is not None and before.model.digest == opened.digest:
            raise OptionError(f"{path}: this bundle ({opened.version}) is published already")
        scale = opened.front_end.get("scale")
        graphs = {v.name: hashlib.sha256(opened.read(v.file)).hexdigest() for v in opened.variants}
        release = Release(
            schema=SCHEMA,
            model=Model(
                opened.id,
                opened.version,
                opened.task,  # type: ignore[arg-type]
                opened.digest,
                None if scale is None else f"{scale:g}",
                graphs,
            ),
            release_counter=before.release_counter + 1 if before else 1,
            expires=self._time(expires_days).strftime("%Y-%m-%dT%H:%M:%SZ"),
            provides={f"model.{opened.id.replace('/', '.')}.version": opened.version},
            share_permille=permille(share),
        )
        release = Release.of(release.plain() | dict(manifest or {}), path)
        staged = self.folder / "adding.zip"
        if bundle.is_dir():
            pack_bundle(bundle, staged)
        else:
            shutil.copyfile(bundle, staged)
        target = TargetFile.from_file(path, str(staged))
        target.unrecognized_fields["custom"] = {CUSTOM_KEY: release.plain()}
        place = self._targets / Path(path).parent / f"{target.hashes['sha256']}.{Path(path).name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, place)
        with self.edit_targets(chipset) as targets:
            targets.targets[path] = target
        self.publish()
        return release

    def amend(
        self, chipset: str, id: str, *, share: float | None = None, bad: KnownBad | None = None
    ) -> Release:
        """Change what is said of the published model: its share of the fleet, or a device it fails on."""
        path = f"{chipset}/{id}.zip"
        release = self._release(chipset, path)
        if release is None:
            raise OptionError.unknown("model", path, self.published())
        if share is not None:
            release = replace(release, share_permille=permille(share))
        if bad is not None:
            release = replace(release, known_bad=(*release.known_bad, bad))
        with self.edit_targets(chipset) as targets:
            targets.targets[path].unrecognized_fields["custom"] = {CUSTOM_KEY: release.plain()}
        self.publish()
        return release

    def withdraw(self, chipset: str, id: str) -> None:
        """Offer a model to no device any more; those that have it keep it."""
        path = f"{chipset}/{id}.zip"
        if path not in self.published():
            raise OptionError.unknown("model", path, self.published())
        with self.edit_targets(chipset) as targets:
            del targets.targets[path]
        self.publish()

    def published(self) -> dict[str, Release]:
        """Everything that is offered, by path."""
        found = {}
        for chipset in self.chipsets():
            for path in self.targets(chipset).targets:
                release = self._release(chipset, path)
                if release is not None:
                    found[path] = release
        return found

    def sign(self) -> None:
        """New signatures with new expiry for snapshot and timestamp: what a daily job runs."""
        self.publish(force=True)

    def renew(self, role: str) -> None:
        """New signature and expiry for one role: root, targets or a chipset."""
        self._known(role, *TOP_LEVEL)
        with self.edit(role):
            pass
        self.publish()

    def rotate(self, role: str) -> None:
        """Give ``role`` a new key in place of its oldest, in a new root (or targets, for a chipset).

        A new root is signed by its old and its new keys, so devices follow from any older one.
        """
        self._known(role, *TOP_LEVEL)
        key = self._keyring.new(role)
        if role in TOP_LEVEL:
            with self.edit_root() as root:
                root.revoke_key(root.roles[role].keyids[0], role)
                root.add_key(key, role)
        else:
            with self.edit_targets() as targets:
                assert targets.delegations is not None
                assert targets.delegations.roles is not None
                targets.revoke_key(targets.delegations.roles[role].keyids[0], role)
                targets.add_key(key, role)
        if role not in ("root", "snapshot", "timestamp"):
            with self.edit(role):
                pass
        self.publish(force=role in ("snapshot", "timestamp"))

    def publish(self, force: bool = False) -> None:
        """Snapshot, then timestamp, if something changed."""
        changed, _ = self.do_snapshot(force)
        self.do_timestamp(force or changed)

    # What tuf's Repository asks for.

    def open(self, role: str) -> Metadata[Signed]:
        """The newest metadata of ``role``, or its first."""
        path = self._newest(role)
        if path is not None:
            return Metadata.from_bytes(path.read_bytes())
        signed: Signed
        if role == "root":
            signed = Root()
        elif role == "snapshot":
            signed = Snapshot()
            signed.meta = {}  # the default has no lengths and hashes
        elif role == "timestamp":
            signed = Timestamp(snapshot_meta=self.snapshot_info)
        else:
            signed = Targets()
        signed.version = 0
        return Metadata(signed)

    def close(self, role: str, md: Metadata[Signed]) -> None:
        """Next version, new expiry, signed by every key of the role that is at hand, written."""
        previous = self.root() if role == "root" and self._newest("root") else None
        md.signed.version += 1
        md.signed.expires = self._time(EXPIRY_DAYS.get(role, CHIPSET_EXPIRY_DAYS))
        md.signatures.clear()
        delegators = [md.signed, previous] if role == "root" else [self._delegator(role)]
        for delegator in delegators:
            if delegator is None:
                continue
            keys = delegator.get_delegated_role(role)
            for signer in self._keyring.signers(keys.keyids, keys.threshold, role):
                md.sign(signer, append=True)
        data = md.to_bytes()
        if role != "timestamp":
            replace_file(self._metadata / f"{md.signed.version}.{role}.json", data)
        if role in ("root", "timestamp"):
            replace_file(self._metadata / f"{role}.json", data)

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        """Version, length and hash of all targets metadata."""
        return {f"{role}.json": self._info(role) for role in ("targets", *self.chipsets())}

    @property
    def snapshot_info(self) -> MetaFile:
        """Version, length and hash of the snapshot."""
        return self._info("snapshot")

    def _info(self, role: str) -> MetaFile:
        path = self._newest(role)
        assert path is not None
        return MetaFile.from_data(_version(path), path.read_bytes(), ["sha256"])

    def _newest(self, role: str) -> Path | None:
        if role == "timestamp":
            path = self._metadata / "timestamp.json"
            return path if path.exists() else None
        named = re.compile(rf"[0-9]+\.{re.escape(role)}\.json")
        paths = [p for p in self._metadata.iterdir() if named.fullmatch(p.name)]
        return max(paths, key=_version, default=None)

    def _delegator(self, role: str) -> Root | Targets:
        return self.root() if role in TOP_LEVEL else self.targets()

    def _release(self, chipset: str, path: str) -> Release | None:
        target = self.targets(chipset).targets.get(path)
        return None if target is None else Release.of(target.custom[CUSTOM_KEY], path)

    def _known(self, role: str, *others: str) -> None:
        known = [*self.chipsets(), *others]
        if role not in known:
            raise OptionError.unknown("role" if others else "chipset", role, known, str(self.folder))

    def _time(self, days: float) -> datetime.datetime:
        now = self._now or datetime.datetime.now(datetime.timezone.utc)
        return (now + datetime.timedelta(days=days)).replace(microsecond=0)


def permille(share: float) -> int:
    """A share of the fleet in whole thousandths. Raises OptionError outside 0 to 1."""
    if not 0 <= share <= 1:
        raise OptionError(f"share: must be 0 to 1, got {share}")
    return round(share * 1000)


def _version(path: Path) -> int:
    return int(path.name.partition(".")[0])
