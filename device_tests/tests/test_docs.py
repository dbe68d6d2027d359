"""The guide names commands, options and files that are there; its figures are those of the benchmark."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lumavox_matrix.cli import command, commands, main
from lumavox_matrix.tiers import TIERS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "matrix.md"

pytestmark = pytest.mark.skipif(not GUIDE.is_file(), reason="the guide is not in an installed package")


@pytest.fixture(scope="module")
def text():
    return GUIDE.read_text(encoding="utf-8")


def test_every_command_line_of_the_guide_is_understood(text, capsys):
    lines = re.findall(r"^    lumavox-matrix (\S.*)$", text, re.MULTILINE)
    assert {line.split()[0] for line in lines} >= {
        "plan",
        "run",
        "report",
        "diff",
        "gate",
        "history",
        "faults",
    }
    for line in lines:
        words = line.partition("#")[0].split()
        assert words[0] in commands() and command(words[0]).HELP
        with pytest.raises(SystemExit):
            main([words[0], "--help"])
        told = capsys.readouterr().out
        for option in (word for word in words if word.startswith("--")):
            assert option in told, line


def test_every_tier_and_no_other_is_explained(text):
    table = text.split("| tier | length |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(TIERS)


def test_pictures_and_pages_that_the_guide_shows_are_there(text):
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (GUIDE.parent / target).is_file(), target


def test_the_guide_has_a_block_for_every_part_of_the_benchmark_and_says_when_it_was_measured(
    text, monkeypatch
):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    pytest.importorskip("covertable", reason="planning needs covertable, which is in lumavox[matrix]")
    from matrix_parts import PARTS

    blocks = dict(re.findall(r"<!-- measured: (\w+) -->\n(.*?)<!-- /measured -->", text, re.DOTALL))
    assert set(blocks) == set(PARTS)
    for name, block in blocks.items():
        if block.strip().startswith("*Not measured yet"):
            continue
        assert re.search(r"^\*\d{4}-\d\d-\d\d, .* load of the machine", block, re.MULTILINE), name
        assert block.count("|---") >= 1, name


def test_an_unknown_command_is_told_with_the_nearest(capsys):
    assert main(["histori"]) == 2
    assert "did you mean 'history'" in capsys.readouterr().err
