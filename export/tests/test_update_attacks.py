"""What a hostile network, server or key holder may try, each refused by name, and nothing of it installed.

Every attack runs against a real web server on this machine. The table of docs/update.md is made of this
file's docstrings and is checked at the end.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="updates need tuf, which is in lumavox[update]")

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from lumavox.errors import UpdateError, UpdateRefusedError, UpdateTransportError
from lumavox.update.client import Limits
from lumavox_export.publish.keyring import Keyring
from lumavox_export.publish.repository import ModelRepository
from update_world import CHIPSET, MODEL, World, long_ago

DOCUMENT = Path(__file__).parents[2] / "docs" / "update.md"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Release 1.0.0 is installed and committed; 1.1.0 is published; `before` is what an attacker kept."""
    folder = tmp_path_factory.mktemp("world")
    with World(folder) as world:
        world.publish("1.0.0")
        with world.updates() as updates:
            updates.install(updates.check(MODEL))
            updates.commit(MODEL)
        world.copy("before")
        world.publish("1.1.0")
    return folder


@pytest.fixture
def world(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A copy of `template` that the test may attack."""
    with World.copied(template, tmp_path / "world", monkeypatch) as world:
        yield world


def refused(world: World, error: type[UpdateError] = UpdateRefusedError, **options: object) -> UpdateError:
    """The error of an update that is tried; 1.0.0 still starts, whole, and nothing else lies about."""
    store = world.folder / "store"
    before = {p: p.read_bytes() for p in (store / MODEL).iterdir()}
    with world.updates(**options) as updates, pytest.raises(error) as caught:
        updates.install(updates.check(MODEL))
    bootable = world.updates().boot(MODEL)
    assert (bootable.bundle.version, bootable.source, bootable.problems) == ("1.0.0", "a", ())
    assert {p: p.read_bytes() for p in (store / MODEL).iterdir()} == before
    assert not [p for p in store.rglob("*") if p.suffix in (".partial", ".tmp") or p.name == "incoming.zip"]
    return caught.value


def attack(world: World, **options: object) -> str:
    """The name of the attack that an update was refused for."""
    error = refused(world, **options)
    assert isinstance(error, UpdateRefusedError)
    return error.attack


def recovers(world: World) -> None:
    """Once the attack is over the device updates."""
    world.server.rewrite.clear()
    world.server.stream.clear()
    world.server.headers_only.clear()
    with world.updates() as updates:
        updates.install(updates.check(MODEL))
    assert world.updates().boot(MODEL).bundle.version == "1.1.0"


def bundle_path(world: World) -> Path:
    """The file of release 1.1.0 in the repository."""
    hashes = world.repository.targets(CHIPSET).targets[f"{CHIPSET}/{MODEL}.zip"].hashes["sha256"]
    return next(world.folder.glob(f"repository/targets/**/{hashes}.*"))


def resigned(world: World, path: Path, role: str, change: object) -> None:
    """Change metadata as somebody could who has stolen the key of ``role``."""
    metadata = Metadata.from_file(str(path))
    change(metadata.signed)
    metadata.signatures.clear()
    keys = world.repository.root() if role != CHIPSET else world.repository.targets()
    for signer in world.keyring.signers(keys.get_delegated_role(role).keyids, 1, role):
        metadata.sign(signer, append=True)
    path.write_bytes(metadata.to_bytes())


def test_rollback_of_the_repository(world):
    """**Rollback**: an older, rightly signed repository is served again
    | version of timestamp and snapshot
    """
    with world.updates() as updates:
        updates.check(MODEL)  # the device has seen the newer one
    world.server.folder = world.folder / "before"
    assert attack(world) == "rollback"
    world.server.folder = world.folder / "repository"
    recovers(world)


def test_rollback_after_the_metadata_of_the_device_was_lost(world):
    """**Rollback after damage**: as above, and TUF's memory on the device was damaged
    | versions kept twice
    """
    with world.updates() as updates:
        updates.check(MODEL)
    for name in ("timestamp.json", "snapshot.json"):
        (world.folder / "store" / "metadata" / name).write_bytes(b"")
    world.server.folder = world.folder / "before"
    assert attack(world) == "rollback"


def test_rollback_to_a_lower_release_counter_by_a_stolen_chipset_key(world):
    """**Release rollback**: a chipset's key publishes an older release anew | release counter"""
    world.publish("1.2.0")
    with world.updates() as updates:
        updates.install(updates.check(MODEL))
        updates.commit(MODEL)
    world.publish("1.3.0", manifest={"release_counter": 1})
    with world.updates() as updates, pytest.raises(UpdateRefusedError) as caught:
        updates.check(MODEL)
    assert caught.value.attack == "rollback"
    assert world.updates().boot(MODEL).bundle.version == "1.2.0"


def test_freeze_by_metadata_that_has_expired(world):
    """**Freeze**: the same repository is served for ever | expiry of the timestamp (2 days)"""
    with world.updates() as updates:
        updates.check(MODEL)
    world.repository = ModelRepository(world.folder / "repository", world.keyring, now=long_ago(3))
    world.repository.sign()
    assert attack(world) == "freeze"


def test_freeze_by_turning_the_clock_of_the_device_back(world):
    """**Freeze by clock**: the device's clock is set back so that nothing expires
    | clock of the last check
    """
    assert attack(world, clock=world.later(-30)) == "freeze"
    recovers(world)


def test_mix_and_match_of_a_new_snapshot_with_old_targets(world):
    """**Mix and match**: files of two states of the repository are combined
    | snapshot names version and hash
    """
    old = world.folder / "repository" / "metadata" / f"2.{CHIPSET}.json"
    world.server.rewrite[f"metadata/3.{CHIPSET}.json"] = lambda data: old.read_bytes()
    assert attack(world) == "wrong content"
    recovers(world)


def test_mix_and_match_of_a_new_timestamp_with_an_old_snapshot(world):
    """**Mix and match**: an old snapshot under a new timestamp | timestamp names version and hash"""
    metadata = world.folder / "repository" / "metadata"
    newest = max(int(p.name.split(".")[0]) for p in metadata.glob("*.snapshot.json"))
    old = (metadata / f"{newest - 1}.snapshot.json").read_bytes()
    world.server.rewrite[f"metadata/{newest}.snapshot.json"] = lambda data: old
    assert attack(world) == "wrong content"
    recovers(world)


def test_fast_forward_of_targets_beyond_their_snapshot(world):
    """**Fast-forward**: a chipset's key signs a version far ahead to block later ones
    | snapshot names version
    """
    path = world.folder / "repository" / "metadata" / f"3.{CHIPSET}.json"
    good = path.read_bytes()
    resigned(world, path, CHIPSET, lambda signed: setattr(signed, "version", 9))
    assert attack(world) == "wrong content"
    path.write_bytes(good)
    recovers(world)


def test_fast_forward_of_the_timestamp_is_undone_by_another_key(world):
    """**Fast-forward with a stolen timestamp key**: versions are used up | a new root with another key"""
    path = world.folder / "repository" / "metadata" / "timestamp.json"
    good = path.read_bytes()
    resigned(world, path, "timestamp", lambda signed: setattr(signed, "version", 2**31))
    with world.updates() as updates:
        updates.check(MODEL)  # nothing is wrong with it, but from now on 2**31 is the lowest
    path.write_bytes(good)
    assert attack(world) == "rollback"
    world.repository.rotate("timestamp")
    recovers(world)


def test_fast_forward_of_the_release_counter(world):
    """**Fast-forward of the release counter**: the highest number is published
    | a leap is limited to 100,000
    """
    world.publish("1.2.0", manifest={"release_counter": 2**31 - 1})
    assert attack(world) == "fast-forward"


@pytest.mark.parametrize("file", ["metadata/timestamp.json", "snapshot.json", f"3.{CHIPSET}.json", "2.root"])
def test_endless_metadata(world, file):
    """**Endless data, metadata**: a metadata file that never ends | size limit of every file"""
    asked = itertools.count()

    def for_ever() -> Iterator[bytes]:
        for _ in asked:
            yield b" " * 65536

    world.server.stream[file] = for_ever
    assert attack(world) == "endless data"
    assert next(asked) < 1000  # given up after the limit, not after what the machine can hold
    recovers(world)


def test_an_endless_bundle(world):
    """**Endless data, bundle**: the bundle never ends | signed length"""

    def for_ever() -> Iterator[bytes]:
        while True:
            yield b"\0" * 65536

    world.server.stream[bundle_path(world).name] = for_ever
    assert attack(world) == "endless data"
    recovers(world)


def test_a_bundle_announced_larger_than_possible(world):
    """**Endless data, announced**: metadata announce a bundle that would fill the disk | size limit"""
    path = f"{CHIPSET}/{MODEL}.zip"
    with world.repository.edit_targets(CHIPSET) as targets:
        targets.targets[path].length = 2**40
    world.repository.publish()
    assert attack(world) == "endless data"
    assert not any("targets/" in asked and asked.endswith("1.1.0.zip") for asked in world.server.asked)


def test_a_bundle_with_the_wrong_hash(world):
    """**Wrong hash**: one byte of the bundle is flipped | signed SHA-256"""
    flipped = bytearray(bundle_path(world).read_bytes())
    flipped[99] ^= 1
    world.server.rewrite[bundle_path(world).name] = lambda data: bytes(flipped)
    assert attack(world) == "wrong content"
    recovers(world)


def test_a_bundle_with_the_wrong_length(world):
    """**Wrong length**: a byte is added to the bundle | signed length"""
    world.server.rewrite[bundle_path(world).name] = lambda data: data + b"\0"
    assert attack(world) == "endless data"
    recovers(world)


def test_a_truncated_bundle(world):
    """**Truncated**: the bundle ends early, as if it were all | signed length"""
    world.server.rewrite[bundle_path(world).name] = lambda data: data[: len(data) // 2]
    assert attack(world) == "wrong content"
    recovers(world)


def test_a_connection_that_breaks(world):
    """**Cut connection**: the connection breaks in the middle of the bundle | announced length"""
    name = bundle_path(world).name
    world.server.rewrite[name] = lambda data: data[: len(data) // 2]
    world.server.cut.add(name)
    refused(world, (UpdateTransportError, UpdateRefusedError))
    recovers(world)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", CHIPSET])
def test_metadata_signed_by_the_wrong_key(world, role):
    """**Wrong key**: metadata of any role are signed by a key of the attacker
    | keys named in root and targets
    """
    metadata = world.folder / "repository" / "metadata"
    paths = [p for p in metadata.iterdir() if re.fullmatch(rf"([0-9]+\.)?{role}\.json", p.name)]
    for path in paths:
        signed = Metadata.from_file(str(path))
        signed.signatures.clear()
        signed.sign(CryptoSigner.generate_ed25519())
        path.write_bytes(signed.to_bytes())
    shutil.rmtree(world.folder / "store" / "metadata")  # a new device trusts the root of its image only
    # Lengths and hashes are checked first: only the timestamp's signature is the first thing to be wrong.
    assert attack(world) == ("wrong key" if role == "timestamp" else "wrong content")


def test_a_chipset_role_signed_by_the_wrong_key_but_listed(world):
    """**Wrong key, listed**: as above, with snapshot and timestamp keys stolen too | key of the chipset"""
    path = world.folder / "repository" / "metadata" / f"3.{CHIPSET}.json"
    signed = Metadata.from_file(str(path))
    signed.signatures.clear()
    signed.sign(CryptoSigner.generate_ed25519())
    path.write_bytes(signed.to_bytes())
    world.repository.publish(force=True)  # with new lengths and hashes? only if the version rose
    with world.repository.edit_snapshot() as snapshot:
        snapshot.meta[f"{CHIPSET}.json"] = world.repository.targets_infos[f"{CHIPSET}.json"]
    with world.repository.edit_timestamp() as timestamp:
        timestamp.snapshot_meta = world.repository.snapshot_info
    assert attack(world) == "wrong key"


def test_a_root_that_the_old_root_has_not_signed(world, tmp_path):
    """**Another root**: a root of the attacker is offered as the next version | signatures of the old root"""
    other = ModelRepository.init(tmp_path / "other", Keyring(tmp_path / "other-keys"))
    other.rotate("targets")
    forged = (tmp_path / "other" / "metadata" / "2.root.json").read_bytes()
    world.server.rewrite["metadata/2.root.json"] = lambda data: forged
    assert attack(world) == "wrong key"
    recovers(world)


def test_a_root_signed_by_too_few_of_its_keys(world):
    """**Threshold**: a new root with one of two signatures | threshold of root (2)"""
    world.repository.rotate("root")
    path = world.folder / "repository" / "metadata" / "2.root.json"
    document = json.loads(path.read_bytes())
    document["signatures"] = document["signatures"][:1]
    path.write_text(json.dumps(document))
    assert attack(world) == "wrong key"


def test_an_arbitrary_target_outside_of_a_delegation(world):
    """**Arbitrary target**: one chipset's key publishes for another chipset | paths of the delegation"""
    world.repository.delegate("mt8696")
    path = f"{CHIPSET}/{MODEL}.zip"
    stolen = world.repository.targets(CHIPSET).targets[path]
    with world.repository.edit_targets(CHIPSET) as targets:
        del targets.targets[path]
    with world.repository.edit_targets("mt8696") as targets:
        targets.targets[path] = stolen
    world.repository.publish()
    with world.updates() as updates:
        offer = updates.check(MODEL)
        assert offer.found is None
        assert not offer.installable
        with pytest.raises(UpdateError, match="the repository has no"):
            updates.install(offer)
    assert world.updates().boot(MODEL).bundle.version == "1.0.0"


def test_a_target_that_is_another_model(world):
    """**Swapped model**: a rightly signed model under the name of another
    | id in the manifest and the bundle
    """
    world.bundle("9.0.0", name="other")
    from bundles import trusted

    world.repository.add(
        world.folder / "bundles" / "9.0.0" / "sr" / "other" / "bundle", CHIPSET, trusted=trusted()
    )
    with world.repository.edit_targets(CHIPSET) as targets:
        targets.targets[f"{CHIPSET}/{MODEL}.zip"] = targets.targets[f"{CHIPSET}/sr/other.zip"]
    world.repository.publish()
    assert attack(world) == "arbitrary target"


def test_a_bundle_that_its_manifest_does_not_describe(world):
    """**Swapped bundle**: the manifest of a good release on the file of another | digest in the manifest"""
    path = f"{CHIPSET}/{MODEL}.zip"
    manifest = world.repository.targets(CHIPSET).targets[path].custom
    world.publish("1.2.0")
    with world.repository.edit_targets(CHIPSET) as targets:
        targets.targets[path].unrecognized_fields["custom"] = manifest
    world.repository.publish()
    error = refused(world, UpdateError)
    assert "the release describes" in str(error)


def test_a_bundle_without_the_bundle_signature(world):
    """**Unsigned bundle**: a chipset's key publishes a bundle of its own making | signature of the bundle"""
    from lumavox.signing import SigningKey

    other = world.folder / "other.pem"
    other.write_bytes(SigningKey.generate().public_pem())
    with (
        world.updates(settings={"keys": (other,)}) as updates,
        pytest.raises(UpdateError, match="not trusted"),
    ):
        updates.install(updates.check(MODEL))
    assert world.updates().boot(MODEL).bundle.version == "1.0.0"


@pytest.mark.parametrize("place", ["metadata/timestamp.json", "bundle"])
def test_slow_retrieval_by_a_drip(world, place):
    """**Slow retrieval**: one byte now and then, so that no silence is ever long | deadline of the whole"""

    def drip() -> Iterator[bytes]:
        while not world.server.closing.wait(0.05):
            yield b" "

    name = bundle_path(world).name if place == "bundle" else place
    world.server.stream[name] = drip
    limits = Limits(check_s=0.7, silence_s=5, min_bytes_per_s=1e9)
    error = refused(world, UpdateTransportError, settings={"limits": limits})
    assert "too slow" in str(error)
    recovers(world)


def test_slow_retrieval_by_silence(world):
    """**Silence**: the server answers and then sends nothing | longest silence"""
    world.server.headers_only.add("metadata/timestamp.json")
    limits = Limits(check_s=30, silence_s=0.3)
    error = refused(world, UpdateTransportError, settings={"limits": limits})
    assert "too slow" in str(error)
    recovers(world)


def test_a_server_that_is_not_there(world):
    """**No server**: nobody answers | the device goes on with what it has"""
    refused(world, UpdateTransportError, settings={"metadata_url": "http://127.0.0.1:9/metadata"})


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"\xff\xfe", b'{"signed": {"_type": "timestamp"}, "signatures": []}']
)
def test_junk_in_place_of_metadata(world, junk):
    """**Junk**: something else in place of metadata | strict reading"""
    world.server.rewrite["metadata/timestamp.json"] = lambda data: junk
    assert attack(world) in ("malformed", "wrong key")
    recovers(world)


def test_a_manifest_with_an_unknown_key(world):
    """**Unknown requirement**: a manifest asks for something that this runtime does not know
    | strict reading
    """
    path = f"{CHIPSET}/{MODEL}.zip"
    with world.repository.edit_targets(CHIPSET) as targets:
        targets.targets[path].custom["lumavox"]["requires"]["humidity"] = 3
    world.repository.publish()
    error = refused(world)
    assert "requires: unknown key 'humidity'" in str(error)


def table() -> str:
    """The table of docs/update.md: every attack of this file and what refuses it."""
    rows = []
    for name, value in globals().items():
        words = " ".join((value.__doc__ or "").split())
        if name.startswith("test_") and " | " in words:
            what, _, by = words.partition(" | ")
            title, _, rest = what.partition(": ")
            rows.append(f"| {title.strip('*')} | {rest} | {by} |")
    return "\n".join(["| attack | what happens | refused by |", "|---|---|---|", *rows])


def test_the_table_in_the_documentation_is_the_one_of_these_tests():
    assert table() in DOCUMENT.read_text(), f"put this into {DOCUMENT}:\n{table()}"
