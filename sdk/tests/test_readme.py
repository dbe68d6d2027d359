"""The README is executed: its marked blocks run, its links and folders exist, its tables are complete.

A block after ``<!-- run -->`` is run here; one after ``<!-- run: slow -->`` with ``pytest -m slow`` (it may
take minutes, and an installation needs a package index). Commands run in a copy of the repository.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lumavox import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^<!-- run(: slow)? -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(
        language, text, marks=pytest.mark.slow if slow else (), id=" ".join(text.split("\n")[0].split()[:4])
    )
    for slow, language, text in BLOCK.findall(README)
]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", "out", "dist", "build", "__pycache__", ".*_cache")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, with the commands of this tree on a search path of its own."""
    copy = tmp_path_factory.mktemp("readme") / "lumavox"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    commands = copy.parent / "bin"
    commands.mkdir()
    python, paths = sys.executable, f"{copy / 'sdk'}:{copy / 'export'}"
    for name, call in {
        "python3": f'exec "{python}"',
        "lumavox": f'PYTHONPATH="{paths}" exec "{python}" -m lumavox',
        "run-block": f'PYTHONPATH="{paths}" exec "{python}" -c',
    }.items():
        (commands / name).write_text(f'#!/bin/sh\n{call} "$@"\n')
        (commands / name).chmod(0o755)
    return copy


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "LANG", "LC_"))}
    environment |= {"PATH": f"{copy.parent / 'bin'}:/usr/local/bin:/usr/bin:/bin", "HOME": str(copy.parent)}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_a_block_of_the_readme_runs(language, text, copy):
    if language == "python":
        results = [run(copy, str(copy.parent / "bin/run-block"), text)]
    else:
        results = [run(copy, "bash", "-euc", line) for line in text.splitlines()]
    for result in results:
        assert result.returncode == 0, f"{result.args[-1]}\n{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr


def test_the_readme_runs_its_python_and_most_of_its_commands():
    """Guards the pattern above: a marker that it no longer sees would silently run nothing."""
    assert README.count("<!-- run") == len(BLOCKS)
    assert [p.values[0] for p in BLOCKS].count("python") == 1
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_what_the_readme_links_to_exists(link):
    assert (ROOT / link).exists()


def test_the_folders_in_the_readme_exist():
    """``name/  comment`` at the margin; indented lines are inside the folder above; <word> is any name."""
    tree = re.search(r"^## The rooms\n+```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert tree
    above = Path()
    for line in tree[1].splitlines():
        names = [name.rstrip("/") for name in line.strip().split("  ")[0].split()]
        inside = line.startswith(" ")
        for name in names:
            pattern = re.sub(r"<\w+>", "*", str(above / name) if inside else name)
            assert list(ROOT.glob(pattern)), pattern
        if not inside:
            above = Path(names[0])


def test_every_subcommand_is_shown():
    assert [name for name in cli.commands() if f"lumavox {name}" not in README] == []


def test_every_extra_is_in_the_table():
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml needs Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    shown = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    assert shown == set(project["optional-dependencies"]) - {"all"}


def test_no_number_is_left_as_a_placeholder():
    assert "PLACEHOLDER" not in README
