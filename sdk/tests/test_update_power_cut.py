"""The power fails at any step of install, trial, commit, rollback, renewal: a whole, verified model starts.

One life of a device is lived once, and what may be on its medium is noted before every single step; each test
takes such a moment, leaves one possible outcome on disk, and starts the device from it. The network's part
(download, metadata) is killed for real in the exporter's tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundles import signing_key, sr_bundle
from lumavox.bundle_writer import pack_bundle
from lumavox.update.client import Found
from lumavox.update.compatibility import Answer, Verdict
from lumavox.update.device import Device, Firmware
from lumavox.update.release import Model, Release
from lumavox.update.self_test import SelfTest
from lumavox.update.updates import Offer, Settings, Updates
from power_cuts import Cut, Watched

ID = "sr/tiny"
DEVICE = Device("RK3588", "rk3588", firmware=Firmware("acme", "12.4"), engines={"virtual": "1"})
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


class _Repository:
    """In place of the network: bundles out of a folder."""

    def __init__(self, disk: Watched, zips: dict[str, bytes]) -> None:
        self._disk, self._zips = disk, zips

    def download(self, found: Found, path: Path) -> None:
        self._disk.write(path, self._zips[found.release.model.version])
        self._disk.flush(path)

    def close(self) -> None:
        pass


class Life:
    """Settings, releases and the steps of one device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key.pem"
        self.key.write_bytes(signing_key().public_pem())
        self.zips: dict[str, bytes] = {}
        self.offers: dict[str, Offer] = {}
        sr_bundle(folder / "factory", version="0.9.0")
        for counter, version in enumerate(VERSIONS, 1):
            path = sr_bundle(folder / version, version=version)
            self.zips[version] = pack_bundle(path, folder / f"{version}.zip").read_bytes()
            from bundles import opened

            model = Model(ID, version, "sr", opened(path).digest)
            release = Release(1, model, counter, "2099-01-01T00:00:00Z")
            found = Found(f"rk3588/{ID}.zip", len(self.zips[version]), release, None)  # type: ignore[arg-type]
            self.offers[version] = Offer(ID, found, Answer(Verdict.COMPATIBLE_UNTESTED, ("",)), True, version)

    def updates(self, store: Path, disk: Watched | None = None, device: Device = DEVICE) -> Updates:
        settings = Settings(store, "", "", self.key, keys=(self.key,), healthy_sessions=1, backend="virtual")
        updates = Updates(settings, device, disk=disk, test=lambda *_, **__: SelfTest(True, "passed"))
        updates._repository = _Repository(disk or Watched(store), self.zips)  # type: ignore[assignment]
        return updates

    def live(self, store: Path, disk_of: type[Watched] = Watched) -> Watched:
        """From the factory to a rollback after a firmware change; between steps the answer is known."""
        store.mkdir()
        disk = disk_of(store)
        updates = self.updates(store, disk)
        version = "0.9.0"

        def step(then: str, act: Callable[[], object]) -> None:
            nonlocal version
            disk.allowed = {version, then}
            act()
            version = then
            assert updates.slots(ID).bootable().bundle.version == then

        step("1.0.0", lambda: updates.install(self.offers["1.0.0"]))
        step("1.0.0", lambda: updates.slots(ID).change(lambda state: state.begun()))
        step("1.0.0", lambda: updates.slots(ID).change(lambda state: state.healthy()))
        step("1.1.0", lambda: updates.install(self.offers["1.1.0"]))
        step("1.1.0", lambda: updates.slots(ID).change(lambda state: state.begun()))
        step("1.0.0", lambda: updates.rollback(ID, "the watchdog tripped"))
        step("1.2.0", lambda: updates.install(self.offers["1.2.0"]))
        step("1.2.0", lambda: updates.commit(ID))
        updates = self.updates(store, disk, replace(DEVICE, firmware=Firmware("acme", "13.0")))
        step("1.2.0", lambda: updates.boot(ID))  # renewed: on trial again
        step("1.0.0", lambda: updates.rollback(ID, "the new firmware breaks it"))
        disk.allowed = {"1.0.0"}
        disk.flush(store)  # the last moment
        return disk


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return Life(tmp_path_factory.mktemp("life"))


@pytest.fixture(scope="module")
def cuts(life: Life) -> list[Cut]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUMAVOX_MODELS", str(life.folder / "factory"))
        return life.live(life.folder / "store").cuts


def starts(life: Life, cut: Cut, place: Path, seed: int) -> str:
    """Leave the outcome ``seed`` of ``cut`` in ``place`` and start; returns the version that starts."""
    cut.leave(place, random.Random(seed))
    bootable = life.updates(place).slots(ID).bootable()
    assert bootable.problems == (), f"before {cut.step!r}: {bootable.problems}"
    assert bootable.bundle.version in cut.allowed, f"before {cut.step!r}: {bootable}"  # type: ignore[operator]
    return bootable.bundle.version


def goes_on(life: Life, place: Path) -> None:
    """The newest release can be installed over whatever was left, and nothing else stays behind."""
    updates = life.updates(place, None)
    updates._repository = _Repository(updates._disk, life.zips)  # type: ignore[assignment,arg-type]
    slots = updates.slots(ID)
    current = slots.bootable().bundle.version
    if slots.state().trial:
        updates.commit(ID)
    if current != "1.2.0":
        updates.install(life.offers["1.2.0"])
    assert slots.bootable().bundle.version == "1.2.0"
    state = slots.state()
    updates.boot(ID)
    expected = {one.file for one in state.slots.values()} | {"state.json"}
    assert {p.name for p in slots.folder.iterdir()} - {"lock", "install.lock", "incoming.zip"} == expected


@pytest.fixture(autouse=True)
def _factory(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMAVOX_MODELS", str(life.folder / "factory"))


def test_a_life_has_many_moments(cuts):
    text = (Path(__file__).parents[2] / "docs" / "update.md").read_text()
    assert f"the power cut before each of its {len(cuts)} steps" in text
    assert {cut.step.split()[0] for cut in cuts} == {"make", "write", "flush", "rename", "remove"}


class _Careless(Watched):
    """Nothing is ever flushed."""

    def flush(self, path: Path) -> None:
        self._note(f"no flush of {path.name}")


def test_without_flushes_broken_states_are_found(life, tmp_path):
    """The harness can tell a good order of steps from a bad one."""
    cuts = life.live(tmp_path / "store", _Careless).cuts
    broken = 0
    for number, cut in enumerate(cuts[30::4]):
        try:
            starts(life, cut, tmp_path / str(number), seed=number)
        except AssertionError:
            broken += 1
    assert broken >= 3


def test_a_power_cut_leaves_a_whole_verified_model(life, cuts, tmp_path):
    """A sample of all moments; every moment is in the slow test."""
    luck = random.Random(1)
    for number, cut in enumerate(luck.sample(cuts, 24)):
        place = tmp_path / str(number)
        starts(life, cut, place, seed=number)
        if number % 6 == 0:
            goes_on(life, place)


@pytest.mark.slow
def test_a_power_cut_at_every_step_with_every_outcome(life, cuts, tmp_path):
    """Every step times eight outcomes of what the medium kept: more than 500 moments."""
    count = 0
    for number, cut in enumerate(cuts):
        for seed in range(8):
            place = tmp_path / f"{number}-{seed}"
            starts(life, cut, place, seed)
            if seed == number % 8:
                goes_on(life, place)
            count += 1
    assert count == 8 * len(cuts) >= 500
