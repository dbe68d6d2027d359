"""Which of the three answers a device gets: every requirement met, not met, and not known."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox.update.compatibility import Verdict, resolve
from lumavox.update.device import Device, Firmware
from update_parts import DEVICE, release

MET = {
    "lumavox": ">=0.1",
    "engine": [{"name": "rknn", "range": ">=2"}, {"name": "ort", "range": ">=1.20,<2"}],
    "driver": [{"name": "rknpu", "range": ">=0.9.6"}],
    "firmware": [{"vendor": "acme", "build_range": ">=12,<13"}],
    "soc_model": ["RK3588", "RK3588S"],
    "hardware_id": ["stb-4k-rev2"],
    "ram_mb": 2048,
    "vtcm_mb": 8,
}


def test_requirements_met_but_never_measured_is_untested():
    answer = resolve(release(requires=MET), DEVICE)
    assert answer.verdict is Verdict.COMPATIBLE_UNTESTED
    assert DEVICE.digest() in str(answer)


def test_measured_on_exactly_this_combination_is_qualified():
    one = release(requires=MET, evidence={"devices": [DEVICE.digest()]})
    assert resolve(one, DEVICE).verdict is Verdict.QUALIFIED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lumavox": ">=99"}, "needs lumavox >=99"),
        ({"engine": [{"name": "ort", "range": ">=2"}]}, "needs the engine ort >=2; there is litert 2.3.0"),
        ({"driver": [{"name": "rknpu", "range": "<0.9"}]}, "needs driver rknpu <0.9; there is 0.9.8"),
        ({"driver": [{"name": "other"}]}, "needs driver other; there is none"),
        ({"firmware": [{"vendor": "other", "build_range": ">=1"}]}, "this one is acme 12.4.1"),
        ({"firmware": [{"vendor": "acme", "build_range": ">=13"}]}, "needs the firmware acme >=13"),
        ({"firmware": [{"vendor": "acme", "builds": ["QTT9.*"]}]}, "needs the firmware acme QTT9.*"),
        ({"soc_model": ["MT8696"]}, "is for MT8696; this chip is RK3588"),
        ({"hardware_id": ["tv-8k"]}, "is for boards tv-8k"),
        ({"ram_mb": 8192}, "needs 8192 MB of memory, there is 4096"),
        ({"vtcm_mb": 16}, "needs 16 MB of VTCM"),
    ],
)
def test_a_requirement_that_is_not_met_blocks_and_says_so(change, words):
    answer = resolve(release(requires=MET | change), DEVICE)
    assert answer.verdict is Verdict.BLOCKED
    assert words in str(answer)


@pytest.mark.parametrize(
    "unknown",
    [{"firmware": None}, {"drivers": {}}, {"engines": {}}, {"hardware_id": None}, {"ram_mb": None},
     {"vtcm_mb": None}, {"firmware": Firmware("acme", "QTT9.260115.1")}],
)  # fmt: skip
def test_what_the_device_does_not_know_never_counts_as_met(unknown):
    assert resolve(release(requires=MET), replace(DEVICE, **unknown)).verdict is Verdict.BLOCKED


def test_an_unknown_firmware_is_never_qualified_even_if_it_was_measured():
    device = replace(DEVICE, firmware=None)
    one = release(evidence={"devices": [device.digest()]})
    assert resolve(one, device).verdict is Verdict.COMPATIBLE_UNTESTED


def test_firmware_builds_that_are_no_numbers_are_matched_by_globs():
    one = release(requires={"firmware": [{"vendor": "acme", "builds": ["QTT9.26*", "QTU1.*"]}]})
    assert resolve(one, replace(DEVICE, firmware=Firmware("acme", "QTT9.260115.1"))).verdict is (
        Verdict.COMPATIBLE_UNTESTED
    )


def test_a_known_failure_blocks_with_its_issue_even_where_it_was_measured():
    bad = {"reason": "green frames", "issue": "https://example.org/7", "firmware_build": "12.4*"}
    one = release(evidence={"devices": [DEVICE.digest()]}, known_bad=[bad])
    answer = resolve(one, DEVICE)
    assert answer.verdict is Verdict.BLOCKED
    assert "green frames (https://example.org/7)" in str(answer)
    assert resolve(one, replace(DEVICE, firmware=Firmware("acme", "12.5"))).verdict is not Verdict.BLOCKED


def test_a_failure_of_one_combination_does_not_block_its_chipset():
    bad = {"reason": "crash", "issue": "i", "device": DEVICE.digest()}
    other = replace(DEVICE, drivers={"rknpu": "0.9.9"})
    assert resolve(release(known_bad=[bad]), DEVICE).verdict is Verdict.BLOCKED
    assert resolve(release(known_bad=[bad]), other).verdict is Verdict.COMPATIBLE_UNTESTED


def test_an_expired_release_is_not_installed_but_what_is_installed_stays():
    one = release(expires="2026-01-01T00:00:00Z")
    late = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    assert resolve(one, DEVICE, now=late).verdict is Verdict.BLOCKED
    assert resolve(one, DEVICE, now=late - datetime.timedelta(seconds=1)).verdict is not Verdict.BLOCKED
    assert resolve(one, DEVICE).verdict is not Verdict.BLOCKED


def test_what_a_release_depends_on_must_be_provided():
    one = release(depends={"model.de.base.version": ">=0.2"})
    assert "needs model.de.base.version >=0.2; there is none" in str(resolve(one, DEVICE))
    assert resolve(one, DEVICE, provided={"model.de.base.version": "0.1"}).verdict is Verdict.BLOCKED
    assert resolve(one, DEVICE, provided={"model.de.base.version": "0.2"}).verdict is not Verdict.BLOCKED
    by_device = replace(DEVICE, provides={"model.de.base.version": "0.3"})
    assert resolve(one, by_device).verdict is not Verdict.BLOCKED


def test_compiled_variants_fit_their_chip_and_their_runtime():
    compiled = {
        "format": "rknn", "compiler": "rknn-toolkit2", "compiler_version": "2.3.2", "target_soc": ["RK3588"],
        "engine": "ort", "min_runtime": "1.30", "max_runtime_major": 1,
    }  # fmt: skip
    one = release(compiled=[compiled])
    assert resolve(one, DEVICE).verdict is not Verdict.BLOCKED
    for engines in ({"ort": "1.29"}, {"ort": "2.0"}, {"litert": "2.3"}):
        assert resolve(one, replace(DEVICE, engines=engines)).verdict is Verdict.BLOCKED
    assert resolve(one, replace(DEVICE, soc_model="RK3576")).verdict is Verdict.BLOCKED


@pytest.mark.parametrize(
    "change",
    [{"soc_model": "x"}, {"hardware_id": "x"}, {"firmware": Firmware("acme", "12.4.2")}, {"firmware": None},
     {"drivers": {"rknpu": "0.9.9"}}, {"engines": {"ort": "1.31.2"}}],
)  # fmt: skip
def test_the_combination_has_another_digest_when_any_part_changes(change):
    assert replace(DEVICE, **change).digest() != DEVICE.digest()


def test_memory_and_serial_number_do_not_change_the_combination():
    assert replace(DEVICE, ram_mb=1, serial="2", provides={"a": "1"}).digest() == DEVICE.digest()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_a_share_of_the_fleet_is_that_share(start):
    devices = [replace(DEVICE, serial=str(start + n)) for n in range(300)]
    due = sum(device.bucket("salt") < 0.25 for device in devices)
    assert 40 <= due <= 115  # 75 expected, five standard deviations
    assert replace(DEVICE, serial=None).bucket("salt") == 1.0


def test_facts_of_a_device_are_read_from_a_file(tmp_path):
    path = tmp_path / "device.json"
    path.write_text('{"soc_model": "RK3588", "chipset": "rk3588", "engines": {"ort": "1.31.1"}}')
    assert Device.load(path) == Device("RK3588", "rk3588", engines={"ort": "1.31.1"})
    path.write_text('{"soc_model": "RK3588", "chipset": "../root"}')
    with pytest.raises(OptionError, match="'../root' is not a folder name"):
        Device.load(path)
    path.write_text('{"soc_model": "RK3588", "chipset": "x", "firmwar": {}}')
    with pytest.raises(OptionError, match="did you mean 'firmware'"):
        Device.load(path)
    with pytest.raises(OptionError, match="cannot be read"):
        Device.load(tmp_path / "none.json")


def test_engines_are_found_out_where_the_file_has_none(tmp_path):
    path = tmp_path / "device.json"
    path.write_text('{"soc_model": "RK3588", "chipset": "rk3588"}')
    assert "virtual" in Device.load(path).engines
