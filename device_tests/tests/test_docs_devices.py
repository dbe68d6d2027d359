"""What docs/matrix.md says of emulated devices is what was measured (emulated.json, booted.json)."""

from __future__ import annotations

import json
from pathlib import Path

from lumavox_matrix.emulator import PINS, cpus
from lumavox_matrix.links import kinds

FOLDER = Path(__file__).parents[1]
MEASURED = json.loads((FOLDER / "emulated.json").read_text())
BOOTED = json.loads((FOLDER / "booted.json").read_text())
PAGE = (FOLDER.parent / "docs" / "matrix.md").read_text()


def test_the_measured_outputs_are_equal_on_every_device():
    for group in MEASURED["groups"]:
        assert len(set(group["outputs"].values())) == 1, group
    sockets = {name for group in MEASURED["groups"] for name in group["outputs"]}
    assert {"host", "arm-cortex-a53", "arm-cortex-a76", "arm-armv7"} <= sockets


def test_the_page_says_how_many_cells_were_compared():
    groups, cells = len(MEASURED["groups"]), sum(len(g["outputs"]) for g in MEASURED["groups"])
    models = sorted({group["model"] for group in MEASURED["groups"]})
    assert f"{groups} groups of {cells} cells ({', '.join(models)})" in " ".join(PAGE.split())


def test_a_booted_system_computes_what_this_machine_and_qemu_user_compute_and_the_page_says_of_which():
    groups = [group for group in BOOTED["groups"] if any(n.endswith("-booted") for n in group["outputs"])]
    for group in groups:
        assert len(set(group["outputs"].values())) == 1, group
    compared = {name for group in groups for name in group["outputs"]}
    assert {"host", "arm-cortex-a53", "arm-cortex-a53-booted", "arm-cortex-a76-booted"} <= compared
    cells, names = sum(len(g["outputs"]) for g in groups), sorted({group["model"] for group in groups})
    told = f"{len(groups)} groups of {cells} cells ({', '.join(names)}) agree, on booted systems"
    assert told in " ".join(PAGE.split())


def test_the_page_names_every_link_and_every_emulated_processor():
    assert all(f"| `{kind}` |" in PAGE for kind in kinds())
    section = PAGE.partition("### Emulated Arm processors")[2].partition("\n## ")[0].lower()
    assert all(name.removeprefix("cortex-") in section for name in cpus())
    assert "lumavox-matrix emulator setup" in section
    assert PINS.python_version.startswith("3.11")
