"""Chipset profiles: every fact has a source or is named as unknown; mistakes name the nearest key."""

from __future__ import annotations

import pytest

from cells import cell
from lumavox import backends
from lumavox.errors import OptionError
from lumavox_matrix.cell import Status
from lumavox_matrix.lab import devices
from lumavox_matrix.links import kinds, link_module
from lumavox_matrix.links.base import options_of
from lumavox_matrix.presets import preset
from lumavox_matrix.profile import chipsets_folder, profile, profiles

ALL = profiles()
SILICON = [p for p in ALL if p.kind == "silicon"]
NAMES = {p.name for p in ALL}


def each(found):
    return pytest.mark.parametrize("chipset", found, ids=lambda p: p.name)


def test_the_chipsets_that_matter_are_there():
    makers = {p.soc.vendor for p in SILICON}
    assert len(SILICON) >= 12
    assert makers >= {
        "Synaptics", "Amlogic", "MediaTek", "Realtek", "Broadcom", "NXP", "Alif Semiconductor", "Rockchip",
        "Qualcomm", "Apple", "Intel", "Arm",
    }  # fmt: skip
    assert {"host", "virtual-steady", "arm-cortex-a53", "arm-cortex-a76", "arm-armv7"} <= NAMES
    npus = " ".join(p.soc.npu.value for p in SILICON if p.soc.npu)
    assert "Ethos-U65" in npus
    assert "Ethos-U85" in npus


@each(SILICON)
def test_every_fact_of_a_chipset_has_a_source_or_is_named_as_unknown(chipset):
    for place, fact in chipset.facts().items():
        assert (fact is None) == (place in chipset.unknown), place
    used = {fact.source for fact in chipset.facts().values() if fact} | {e.source for e in chipset.engines}
    used |= {fact.source for fact in chipset.budgets.deadline_ms.values()}
    assert set(chipset.sources) == used, "a source that nothing cites says nothing"
    assert all(len(text) > 10 for text in chipset.sources.values())


@each(ALL)
def test_engines_links_and_presets_of_a_profile_exist(chipset):
    for support in chipset.engines:
        assert backends.get(support.engine)
        assert any(preset(name).task in support.tasks for name in chipset.presets)
    for choice in chipset.links:
        if choice.kind in kinds():
            options_of(link_module(choice.kind), choice.options, chipset.name)
    assert len({(e.engine, e.delegate) for e in chipset.engines}) == len(chipset.engines)
    assert all(gap.reason for gap in chipset.gaps)


@each([p for p in ALL if p.kind == "virtual"])
def test_a_virtual_chipset_needs_no_address(chipset):
    assert [d.link for d in devices(chipset)] == ["virtual"]
    assert chipset.scripted_clock != chipset.real_time


def test_deadlines_are_the_interval_of_the_preset_unless_a_product_must_be_faster():
    chipset = profile("rockchip-rk3588")
    assert chipset.budgets.deadline_of("540p60") == pytest.approx(1000 / 60)
    assert chipset.budgets.deadline_of("stereo48k") == 15.0


def test_a_known_gap_covers_the_cells_that_its_patterns_match():
    chipset = profile("virtual-wrapped")
    gap = chipset.gap_for(cell(task="sr", soc="virtual-wrapped"))
    assert gap is not None
    assert gap.status is Status.FAIL
    assert chipset.gap_for(cell(task="de", preset="mono48k")) is None


GOOD = (chipsets_folder() / "nxp-imx93.toml").read_text()


TOPS = 'value = 0.5, source = "osm"'
MISTAKES = [
    ("npu_tops =", "npu_topps =", r"soc: unknown key 'npu_topps'; did you mean 'npu_tops'"),
    ('["int8"]\ncompiler', '["int9"]\ncompiler', r"engines\[2\].precisions\[0\].*did you mean 'int8'"),
    ('"soc.gpu",', "", r"soc.gpu: give the fact with its source, or name it in 'unknown'"),
    ('"soc.gpu",', '"soc.gpuu",', r"unknown fact 'soc.gpuu'.*did you mean 'soc.gpu'"),
    ('"soc.gpu",', '"soc.gpu", "soc.npu",', r"'soc.npu' is given; take it out"),
    (TOPS, 'value = 0.5, source = "osn"', r"unknown source 'osn'.*did you mean 'osm'"),
    (TOPS, "value = 0.5", r"soc.npu_tops: the key 'source' is missing"),
    ('versions = ">=1.20"', 'versions = "1.20 or so"', r"is not like '>=2.3'"),
    ('"180p25"', '"180p26"', r"unknown preset '180p26'.*did you mean '180p25'"),
    ('kind = "silicon"', 'kind = "virtual"', r"a virtual chipset has one"),
    ('name = "nxp-imx93"', 'name = "nxp-imx94"', r"is not the file's name"),
    ("schema = 1", "schema = 2", r"reads chipset profiles of schema 1"),
    ("schema = 1", "schema = ", r"not valid TOML"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_in_a_profile_is_named_with_file_and_key(tmp_path, old, new, message):
    assert old in GOOD
    path = tmp_path / "nxp-imx93.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(OptionError, match=message) as caught:
        profile("nxp-imx93", tmp_path)
    assert "nxp-imx93.toml" in str(caught.value)


def test_an_unknown_chipset_names_the_nearest():
    with pytest.raises(OptionError, match="did you mean 'rockchip-rk3588'"):
        profile("rockchip-rk3589")
