"""Numbers in the README come from the models' measured.json, and those are of the bundles that ship."""

import json
from pathlib import Path

import pytest

from lumavox.bundle import Bundle
from lumavox_export.errors import StageError
from lumavox_export.summary import BEGIN, END, summary, write_summary

ROOT = Path(__file__).parents[2]
MEASURED = sorted((ROOT / "models").glob("*/*/measured.json"))


def test_the_readme_holds_the_summary_of_what_was_measured() -> None:
    block = (ROOT / "README.md").read_text().split(BEGIN)[1].split(END)[0]
    assert block.strip() == summary(ROOT / "models").strip()


@pytest.mark.parametrize("path", MEASURED, ids=lambda p: p.parent.name)
def test_the_measured_bundle_is_the_one_that_ships(path: Path) -> None:
    measured = json.loads(path.read_text())
    assert measured["model"]["bundle_sha256"] == Bundle.open(path.parent / "bundle").digest


def test_every_shipped_bundle_was_measured() -> None:
    shipped = {p.parent for p in (ROOT / "models").glob("*/*/bundle")}
    assert shipped and shipped == {p.parent for p in MEASURED}


def test_a_file_without_the_block_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing here")
    with pytest.raises(StageError, match="no block"):
        write_summary(ROOT / "models", tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "nothing here"
