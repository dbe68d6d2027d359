"""What a device does with what a publisher offers: install, trial, commit, back; firmware changes; stages."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="updates need tuf, which is in lumavox[update]")

from lumavox.cli import main as lumavox
from lumavox.errors import MissingExtraError, OptionError, UpdateBlockedError, UpdateError
from lumavox.telemetry import SCHEMA, TelemetryRecord
from lumavox.update._disk import Disk, locked
from lumavox.update.compatibility import Verdict
from lumavox.update.device import Firmware
from lumavox.update.release import KnownBad
from lumavox.update.self_test import SelfTest
from lumavox.update.updates import Settings, Updates
from update_world import CHIPSET, DEVICE, MODEL, World

NEWER = replace(DEVICE, firmware=Firmware("acme", "13.0.0"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Release 1.0.0 is published; the device has its factory model, 0.9.0."""
    folder = tmp_path_factory.mktemp("world")
    with World(folder) as world:
        world.publish("1.0.0")
    return folder


@pytest.fixture
def world(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with World.copied(template, tmp_path / "world", monkeypatch) as world:
        yield world


@pytest.fixture
def device(world: World) -> Iterator[Updates]:
    with world.updates() as device:
        yield device


def version(world: World, **options: object) -> str:
    """What starts."""
    return world.updates(**options).boot(MODEL).bundle.version


def record(**changes: object) -> TelemetryRecord:
    good = TelemetryRecord(SCHEMA, "1", "sr", "active", frames_in=50, frames_enhanced=50, frames_bypassed=0)
    return replace(good, **changes)


def install(device: Updates) -> None:
    device.install(device.check(MODEL))


def test_what_was_never_measured_must_pass_its_self_test_first(world, device):
    offer = device.check(MODEL)
    assert offer.answer.verdict is Verdict.COMPATIBLE_UNTESTED
    device.install(offer)
    assert len(world.tested) == 1
    assert version(world) == "1.0.0"


def test_what_was_measured_on_this_combination_starts_without(world, device):
    world.publish("1.1.0", manifest={"evidence": {"devices": [DEVICE.digest()]}})
    offer = device.check(MODEL)
    assert offer.answer.verdict is Verdict.QUALIFIED
    device.install(offer)
    assert world.tested == []


def test_a_failed_self_test_installs_nothing_and_is_remembered_for_this_combination(world, device):
    world.test_result = SelfTest(False, "the child was ended by SIGSEGV")
    with pytest.raises(UpdateBlockedError, match="SIGSEGV"):
        install(device)
    assert version(world) == "0.9.0"
    assert not list((world.folder / "store" / MODEL).glob("*.zip"))
    offer = device.check(MODEL)
    assert not offer.installable
    assert "set aside on this combination: self-test: the child was ended by SIGSEGV" in offer.note
    with world.updates(NEWER) as newer:  # another firmware: the question is open again
        assert newer.check(MODEL).installable


def test_a_blocked_release_says_why_and_what_to_show_instead(world, device):
    world.publish(
        "1.1.0", manifest={"requires": {"soc_model": ["RK3576"]}, "fallbacks": ["sr/nano-x2", "lanczos"]}
    )
    offer = device.check(MODEL)
    assert offer.answer.verdict is Verdict.BLOCKED
    assert "is for RK3576; this chip is RK3588; instead: sr/nano-x2, lanczos" in offer.note
    with pytest.raises(UpdateBlockedError, match="is for RK3576"):
        device.install(offer)


def test_healthy_sessions_end_the_trial(world, device):
    install(device)
    for _ in range(2):
        with device.session(MODEL) as session:
            assert session.on_trial
            assert session.finish(record()) is None
    state = device.slots(MODEL).state()
    assert state.trial is None
    assert state.counter_floor == 1
    with device.session(MODEL) as session:
        assert not session.on_trial


def test_an_unhealthy_session_rolls_a_trial_back(world, device):
    install(device)
    with device.session(MODEL) as session:
        complaint = session.finish(record(frames_enhanced=40, frames_bypassed=10))
    assert "20.0% of 50 frames were bypassed" in complaint
    assert version(world) == "0.9.0"
    assert not device.check(MODEL).installable


def test_a_session_too_short_to_tell_changes_nothing(device):
    install(device)
    with device.session(MODEL) as session:
        session.finish(record(frames_in=3, frames_enhanced=3))
    trial = device.slots(MODEL).state().trial
    assert (trial.starts, trial.healthy) == (0, 0)


def test_a_watchdog_trip_gives_the_model_before_at_once(world, device):
    install(device)
    with device.session(MODEL) as session:
        assert session.bundle.version == "1.0.0"
        assert session.trip("no frame for 50 ms").version == "0.9.0"
    assert version(world) == "0.9.0"
    assert "no frame for 50 ms" in device.check(MODEL).note


def test_a_session_that_goes_wrong_is_rolled_back_while_it_runs(world, device):
    install(device)
    with device.session(MODEL) as session:
        assert not session.watch(record())
        assert session.watch(record(state="failed", state_reason="engine gone"))
        assert session.bundle.version == "0.9.0"
        assert not session.watch(record(state="failed"))
    assert version(world) == "0.9.0"


def test_a_trial_that_another_process_has_decided_is_left_alone(world, device):
    install(device)
    with device.session(MODEL) as session:
        device.rollback(MODEL, "by another process")
        assert session.trip("late").version == "0.9.0"
    with pytest.raises(UpdateBlockedError, match="by another process"):
        install(device)


class _FullDisk(Disk):
    def rename(self, source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_and_changes_nothing(world):
    with world.updates() as device:
        offer = device.check(MODEL)
        device.slots(MODEL)
        device._disk = _FullDisk()
        with pytest.raises(UpdateError, match="No space left on device"):
            device.install(offer)
    assert version(world) == "0.9.0"
    assert not list((world.folder / "store" / MODEL).glob("*.zip"))


def test_a_trial_whose_sessions_never_end_is_rolled_back_at_a_later_start(world, device):
    install(device)
    for _ in range(3):
        with device.session(MODEL) as session:
            assert session.bundle.version == "1.0.0"  # and then the process dies
    assert version(world) == "0.9.0"


def test_a_trip_of_a_committed_model_does_not_roll_back(world, device):
    install(device)
    device.commit(MODEL)
    with device.session(MODEL) as session:
        assert session.trip("once").version == "1.0.0"
    assert version(world) == "1.0.0"


def test_a_new_firmware_puts_an_untested_model_on_trial_again(world, device):
    install(device)
    device.commit(MODEL)
    world.tested.clear()
    assert version(world, device=NEWER) == "1.0.0"
    assert len(world.tested) == 1
    assert device.slots(MODEL).state().trial.previous == "factory"
    assert version(world, device=NEWER) == "1.0.0"
    assert len(world.tested) == 1  # asked once per change


def test_a_new_firmware_on_which_the_self_test_fails_brings_the_model_before_back(world, device):
    install(device)
    device.commit(MODEL)
    world.test_result = SelfTest(False, "no answer within 30 s")
    assert version(world, device=NEWER) == "0.9.0"
    aside = device.slots(MODEL).state().set_aside[0]
    assert aside.device == NEWER.digest()
    assert "the device changed, and the golden self-test did not pass" in aside.reason


def test_a_new_firmware_that_was_measured_is_taken_without_a_trial(world, device):
    evidence = {"devices": [DEVICE.digest(), NEWER.digest()]}
    world.publish("1.1.0", manifest={"evidence": evidence})
    install(device)
    device.commit(MODEL)
    assert version(world, device=NEWER) == "1.1.0"
    assert device.slots(MODEL).state().trial is None
    assert world.tested == []


def test_a_new_firmware_outside_of_the_range_blocks_the_model(world, device):
    firmware = [{"vendor": "acme", "build_range": ">=12,<13"}]
    world.publish("1.1.0", manifest={"requires": {"firmware": firmware}})
    install(device)
    device.commit(MODEL)
    assert version(world, device=NEWER) == "0.9.0"
    assert "needs the firmware acme >=12,<13" in device.slots(MODEL).state().set_aside[0].reason


def test_a_firmware_that_is_no_longer_known_blocks_what_requires_one(world, device):
    firmware = [{"vendor": "acme", "build_range": ">=1"}]
    world.publish("1.1.0", manifest={"requires": {"firmware": firmware}})
    install(device)
    device.commit(MODEL)
    assert version(world, device=replace(DEVICE, firmware=None)) == "0.9.0"


def test_an_install_that_ended_before_activation_goes_on_without_a_download(world, device):
    offer = device.check(MODEL)
    slots = device.slots(MODEL)
    path = slots.incoming()
    device._repository.download(offer.found, path)
    slots.stage(offer.found.release, DEVICE.digest())
    world.server.asked.clear()
    with world.updates() as again:
        install(again)
    assert not [asked for asked in world.server.asked if "targets/" in asked and asked.endswith(".zip")]
    assert version(world) == "1.0.0"


def test_a_damaged_slot_gives_way_to_the_one_before_and_says_so(world, device):
    install(device)
    device.commit(MODEL)
    slots = device.slots(MODEL)
    path = slots.folder / slots.state().slots["a"].file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    bootable = slots.bootable()
    assert (bootable.bundle.version, bootable.source) == ("0.9.0", "factory")
    assert "is not the file that was installed" in bootable.problems[0]
    assert version(world) == "0.9.0"
    install(device)  # and it is got anew
    assert version(world) == "1.0.0"


def test_a_damaged_state_gives_way_to_the_factory_model_and_heals(world, device, capsys):
    install(device)
    (world.folder / "store" / MODEL / "state.json").write_bytes(b"\0" * 100)
    assert lumavox(["update", "status", "--settings", str(settings_file(world))]) == 0
    assert "state.json" in capsys.readouterr().out
    bootable = world.updates().boot(MODEL)
    assert (bootable.bundle.version, bootable.source) == ("0.9.0", "factory")
    assert "state.json" in bootable.problems[0]
    with world.updates() as healed:
        install(healed)
    assert version(world) == "1.0.0"


def test_two_updates_of_one_model_at_once_are_refused(world, device):
    offer = device.check(MODEL)
    folder = device.slots(MODEL).folder
    folder.mkdir(parents=True)
    with locked(folder, "install.lock"), pytest.raises(UpdateError, match="another process is updating"):
        device.install(offer)


def test_a_trial_needs_both_slots_so_a_third_release_waits(world, device):
    install(device)
    device.commit(MODEL)
    world.publish("1.1.0")
    install(device)
    world.publish("1.2.0")
    with pytest.raises(UpdateError, match="commit it, roll it back"):
        install(device)
    assert version(world) == "1.1.0"


def test_a_device_follows_every_rotation_of_every_key(world, device):
    install(device)
    device.commit(MODEL)
    for role in ("root", "targets", "root", "snapshot", "timestamp", CHIPSET, "root"):
        world.repository.rotate(role)
    world.publish("1.1.0")
    with world.updates() as later:
        install(later)
    assert version(world) == "1.1.0"
    shutil.rmtree(world.folder / "store" / "metadata")  # a set from the shelf has the first root only
    with world.updates() as shelf:
        assert shelf.check(MODEL).note == "1.1.0 is installed"


def test_a_chipset_s_own_model_comes_before_the_one_for_any(world, device):
    world.repository.delegate("any")
    world.publish("1.1.0", "any")
    assert device.check(MODEL).found.path == f"{CHIPSET}/{MODEL}.zip"
    with world.updates(replace(DEVICE, chipset="mt8696")) as other:
        assert other.check(MODEL).found.path == f"any/{MODEL}.zip"


def test_a_staged_release_reaches_its_share_of_the_fleet(world):
    world.publish("1.1.0", share=0.25)
    release = world.repository.published()[f"{CHIPSET}/{MODEL}.zip"]
    fleet = [replace(DEVICE, serial=str(n)) for n in range(40)]
    due = [d for d in fleet if d.bucket(release.model.digest) < 0.25]
    for one in (due[0], next(d for d in fleet if d not in due)):
        with world.updates(one) as device:
            assert device.check(MODEL).installable == (one is due[0])
    world.repository.amend(CHIPSET, MODEL, share=1.0)
    with world.updates(replace(DEVICE, serial=None)) as device:
        assert device.check(MODEL).installable


def test_a_release_that_fails_on_a_firmware_is_blocked_there_by_an_amendment(world, device):
    world.repository.amend(
        CHIPSET, MODEL, bad=KnownBad("green frames", "https://example.org/7", firmware_build="12.4*")
    )
    offer = device.check(MODEL)
    assert offer.answer.verdict is Verdict.BLOCKED
    assert "green frames (https://example.org/7)" in offer.note
    with world.updates(NEWER) as newer:
        assert newer.check(MODEL).installable


def test_an_installed_release_is_recalled_where_it_turned_out_to_fail(world, device, capsys):
    install(device)
    device.commit(MODEL)
    with pytest.raises(UpdateError, match="is not recalled"):
        device.recall(device.check(MODEL))
    bad = KnownBad("green frames", "https://example.org/7", firmware_build="12.4*")
    world.repository.amend(CHIPSET, MODEL, bad=bad)
    offer = device.check(MODEL)
    assert offer.recalled
    assert not offer.installable
    assert version(world) == "1.0.0"  # to ask changes nothing
    assert lumavox(["update", "install", "--settings", str(settings_file(world))]) == 0
    assert "rolled back: 1.0.0 is recalled: known to fail here: green frames" in capsys.readouterr().out
    assert version(world) == "0.9.0"
    assert "green frames" in device.slots(MODEL).state().set_aside[0].reason
    with world.updates(NEWER) as newer:
        assert newer.check(MODEL).installable


def test_an_installed_release_stays_when_it_expires(world, device):
    install(device)
    with world.updates(clock=world.later(365)) as later:  # the repository itself is asked by the real clock
        assert later.check(MODEL).note == "1.0.0 is installed"


def test_evidence_that_came_later_counts_at_the_next_change_of_firmware(world, device):
    install(device)
    device.commit(MODEL)
    target = world.repository.targets(CHIPSET).targets[f"{CHIPSET}/{MODEL}.zip"]
    target.custom["lumavox"]["evidence"]["devices"] = [NEWER.digest()]
    with world.repository.edit_targets(CHIPSET) as targets:
        targets.targets[target.path] = target
    world.repository.publish()
    assert device.check(MODEL).note == "1.0.0 is installed"
    world.tested.clear()
    assert version(world, device=NEWER) == "1.0.0"
    assert world.tested == []


def test_a_withdrawn_release_is_offered_to_nobody(world, device):
    world.repository.withdraw(CHIPSET, MODEL)
    assert "the repository has no" in device.check(MODEL).note


def test_the_publisher_refuses_what_devices_would(world, tmp_path):
    with pytest.raises(OptionError, match="is published already"):
        world.publish("1.0.0")
    with pytest.raises(OptionError, match="did you mean 'rk3588'"):
        world.publish("1.1.0", "rk3568x")
    with pytest.raises(OptionError, match="not a folder name"):
        world.repository.delegate("../etc")
    with pytest.raises(OptionError, match="share"):
        world.publish("1.1.0", share=1.5)


def settings_file(world: World) -> Path:
    facts = {"soc_model": "RK3588", "chipset": CHIPSET, "firmware": {"vendor": "acme", "build": "12.4.1"}}
    (world.folder / "device.json").write_text(json.dumps(facts))
    path = world.folder / "update.json"
    path.write_text(
        json.dumps(
            {
                "store": "store",
                "metadata_url": f"{world.server.url}/metadata",
                "targets_url": f"{world.server.url}/targets",
                "root": "root.json",
                "keys": ["release.pub.pem"],
                "models": [MODEL],
                "backend": "virtual",
            }
        )
    )
    return path


def test_the_command_line_checks_installs_shows_commits_and_rolls_back(world, capsys):
    settings = ["--settings", str(settings_file(world))]
    assert lumavox(["update", "check", *settings]) == 0
    assert "compatible_untested" in capsys.readouterr().out
    assert lumavox(["update", "install", *settings]) == 0  # the real self-test, in a real child
    assert "on trial: 1.0.0" in capsys.readouterr().out
    assert lumavox(["update", "install", *settings]) == 1
    assert "1.0.0 is installed" in capsys.readouterr().out
    assert lumavox(["update", "status", *settings, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)["models"][0]
    assert (status["starts"], status["trial"]) == ("1.0.0 (a)", "0 of 5 healthy sessions")
    assert lumavox(["update", "commit", *settings]) == 0
    assert lumavox(["update", "rollback", "--reason", "the customer calls", *settings]) == 0
    assert "0.9.0 (factory)" in capsys.readouterr().out
    assert lumavox(["update", "check", *settings]) == 1
    assert "the customer calls" in capsys.readouterr().out
    assert lumavox(["update", "rollback", *settings]) == 2
    assert "nothing to roll back to" in capsys.readouterr().err


def test_settings_are_read_strictly(world, tmp_path):
    path = settings_file(world)
    path.write_text(path.read_text().replace('"store"', '"stor"'))
    with pytest.raises(OptionError, match="did you mean 'store'"):
        Settings.load(path)
    with pytest.raises(OptionError, match="cannot be read"):
        Settings.load(tmp_path / "none.json")


def test_without_tuf_the_command_to_install_it_is_named(world, device, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tuf", None)
    with pytest.raises(MissingExtraError, match=r"lumavox\[update\]"):
        device.check(MODEL)
