"""Plans: which cells there are, why the others are not, how long it takes, what a change means."""

from __future__ import annotations

import dataclasses

import pytest

from cells import GLANCE, virtual_cells
from lumavox.errors import OptionError
from lumavox_matrix.cell import UNKNOWN
from lumavox_matrix.changes import rerun
from lumavox_matrix.history import History
from lumavox_matrix.lab import Device, devices, read_lab
from lumavox_matrix.models import models
from lumavox_matrix.plan import SillyPlanError, candidates, plan
from lumavox_matrix.profile import profile, profiles
from lumavox_matrix.tiers import tier
from lumavox_matrix.virtual import virtual_models

pytest.importorskip("covertable", reason="covering plans need covertable, which is in lumavox[matrix]")

STEADY = devices(profile("virtual-steady"))[0]


def boards(count: int) -> list[Device]:
    return [dataclasses.replace(STEADY, name=f"board-{i}", firmware=f"1.{i}") for i in range(count)]


def test_every_excluded_combination_has_a_reason_and_an_example():
    possible, excluded = candidates([STEADY], virtual_models(), tier=GLANCE, presets=["tiny25", "540p30"])
    assert {planned.cell.preset for planned in possible} == {"tiny25"}
    assert all(e.reason and e.example and e.count > 0 for e in excluded)
    assert "virtual-steady is not expected to play 540p30" in {e.reason for e in excluded}
    assert any("has no float32 variant" in e.reason for e in excluded)


def test_a_version_outside_the_range_of_the_profile_is_excluded():
    old = dataclasses.replace(STEADY, engines={"virtual": "0"})
    chipset = profile("virtual-steady")
    assert chipset.engines[0].versions == "*"
    possible, _ = candidates([old], virtual_models(), tier=GLANCE)
    assert possible
    possible, excluded = candidates([dataclasses.replace(STEADY, engines={})], virtual_models(), tier=GLANCE)
    assert not possible
    assert "virtual is not installed there" in excluded[0].reason


def test_a_silly_factorial_is_refused_with_size_and_time_and_can_be_forced():
    many = boards(12)
    chosen = tier("soak")
    with pytest.raises(SillyPlanError, match=r"36 cells.*hours.*--full --yes"):
        plan(many, virtual_models(), tier=chosen, full=True, history=_slow(many))
    assert len(plan(many, virtual_models(), tier=GLANCE, full=True).cells) == 36
    forced = plan(many, virtual_models(), tier=chosen, full=True, yes=True, history=_slow(many))
    assert len(forced.cells) == forced.factorial_cells == 36


def _slow(devices_: list[Device]) -> History:
    class Slow(History):
        def predict_s(self, cell, tier):
            return 7200.0

    assert devices_
    return Slow()


def test_a_plan_is_smaller_than_the_factorial_and_tells_device_time_and_wall_time():
    made = plan(boards(4), virtual_models(), tier=GLANCE, strength=1)
    assert 0 < len(made.cells) < made.factorial_cells
    assert made.wall_s < made.predicted_s < made.factorial_s
    with pytest.raises(OptionError, match="1, 2, 3"):
        plan(boards(1), virtual_models(), tier=GLANCE, strength=4)


VIRTUAL = ("virtual-steady", "virtual-fast", "virtual-thermal", "virtual-late-tail")
ENGINES = dict.fromkeys(("litert", "ort"), UNKNOWN)
FIRMWARES = ("fw 9", "fw 10", "fw 11")


def lab(*firmwares: str) -> list[Device]:
    """A board with each firmware of each of some chipsets."""
    first = [devices(profile(name))[0] for name in VIRTUAL]
    return [dataclasses.replace(d, name=f"{d.name} {f}", firmware=f) for d in first for f in firmwares]


def test_pairs_count_a_firmware_by_its_age_and_every_firmware_of_every_chipset_runs():
    scripted = [model for model in virtual_models() if model.task == "sr"]
    made = plan(lab(*FIRMWARES), scripted, tier=GLANCE)
    cells = [planned.cell for planned in made.cells]
    assert {(c.soc, c.firmware) for c in cells} == {(soc, f) for soc in VIRTUAL for f in FIRMWARES}
    assert {(c.soc, c.model) for c in cells} == {(soc, m.id) for soc in VIRTUAL for m in scripted}
    assert {(c.firmware, c.model) for c in cells} == {(f, m.id) for f in FIRMWARES for m in scripted}
    assert len(cells) < len({(c.soc, c.firmware, m.id) for c in cells for m in scripted})  # those are triples


def test_firmwares_are_of_the_same_age_whatever_they_are_called():
    scripted = [model for model in virtual_models() if model.task == "sr"]
    named = [
        dataclasses.replace(d, firmware=f"{d.chipset} {d.firmware.removeprefix('fw ')}.0")
        for d in lab(*FIRMWARES)
    ]
    assert len(plan(named, scripted, tier=GLANCE).cells) == len(
        plan(lab(*FIRMWARES), scripted, tier=GLANCE).cells
    )


def test_boards_of_the_same_chipset_and_firmware_take_turns():
    twins = [dataclasses.replace(d, name=f"{d.name} {n}") for d in lab("1") for n in (1, 2)]
    made = plan(twins, virtual_models(), tier=GLANCE)
    assert len({planned.cell for planned in made.cells}) == len(made.cells)
    used = [planned.device.name for planned in made.cells]
    assert set(used) == {board.name for board in twins}


def test_a_lab_with_three_firmwares_of_every_shipped_chipset_is_planned_in_a_fifth_of_its_time():
    every = [
        Device(f"{c.name} {n}", c.name, "ssh", firmware=f"1.{n}", engines=ENGINES)
        for c in profiles() if c.kind == "silicon" for n in range(3)
    ]  # fmt: skip
    possible, _ = candidates(every, models([]), tier=tier("gate"))
    made = plan(every, models([]), tier=tier("gate"))
    assert {c.device.name for c in made.cells} == {c.device.name for c in possible}
    assert made.predicted_s <= 0.2 * made.factorial_s


def test_a_firmware_update_names_exactly_the_cells_of_that_device():
    before = [c for device in boards(3) for c in candidates([device], virtual_models(), tier=GLANCE)[0]]
    updated = [dataclasses.replace(d, firmware="9.9") if d.name == "board-1" else d for d in boards(3)]
    renamed = [dataclasses.replace(d, chipset="virtual-steady") for d in updated]
    now = [c for device in renamed for c in candidates([device], virtual_models(), tier=GLANCE)[0]]
    changed = rerun([c.cell for c in before], now)
    assert {c.planned.device.name for c in changed} == {"board-1"}
    assert len(changed) == len(virtual_models())
    assert {c.axes for c in changed} == {("firmware",)}
    assert "firmware" in changed[0].why
    assert "9.9" in changed[0].why


def test_a_new_model_version_names_exactly_the_cells_of_that_model():
    before = virtual_cells()
    models = [
        dataclasses.replace(m, digest="f" * 64) if m.id == "sr/virtual-x3" else m for m in virtual_models()
    ]
    now, _ = candidates([STEADY], models, tier=GLANCE)
    changed = rerun([c.cell for c in before], now)
    assert {(c.planned.model.id, c.axes) for c in changed} == {("sr/virtual-x3", ("model_digest",))}
    assert rerun([c.cell for c in before], before) == []


def test_the_same_devices_and_models_give_the_same_plan():
    first = plan(boards(3), virtual_models(), tier=GLANCE)
    second = plan(boards(3), virtual_models(), tier=GLANCE)
    assert [c.cell for c in first.cells] == [c.cell for c in second.cells]


def test_a_lab_file_is_read_and_what_is_wrong_with_it_is_named(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(
        '[[devices]]\nname = "a"\nchipset = "virtual-steady"\nlink = "virtual"\nfirmware = "2"\n'
        "[devices.engines]\nvirtual = '1'\n"
    )
    assert read_lab(path)[0].firmware == "2"
    good = path.read_text()
    for wrong, message in (
        (good + good, "two devices have this name"),
        (good.replace("virtual-steady", "virtual-stedy"), "did you mean 'virtual-steady'"),
        (good.replace('link = "virtual"', 'link = "virtul"'), "did you mean 'virtual'"),
        (good + "\n[devices.options]\nunreachabel = true\n", "did you mean 'unreachable'"),
    ):
        path.write_text(wrong)
        with pytest.raises(OptionError, match=message):
            read_lab(path)
