"""Isolated environments: named by their requirement file, made whole or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lumavox.errors import OptionError
from lumavox_export.errors import TargetUnavailableError, ToolError
from lumavox_export.npu import environments as module
from lumavox_export.npu.environments import Environments


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environments:
    files = tmp_path / "files"
    files.mkdir()
    monkeypatch.setattr(module, "FILES", files)
    (files / "empty.txt").write_text("# nothing is installed, so no network is needed\n")
    return Environments(tmp_path / "environments")


@pytest.mark.slow
def test_an_environment_is_made_once_and_knows_what_it_holds(here: Environments) -> None:
    assert not here.exists("empty")
    folder = here.create("empty")
    made = (folder / "environment.json").stat().st_mtime_ns
    assert here.create("empty") == folder
    assert (folder / "environment.json").stat().st_mtime_ns == made
    assert here.version("empty", "pip") and here.version("empty", "ethos-u-vela") is None
    asked = subprocess.run([here.python("empty"), "-m", "pip", "--version"], check=True, capture_output=True)
    assert str(folder) in asked.stdout.decode()
    assert [path for path in here.folder.iterdir() if path != folder] == []


def test_an_edited_file_means_another_environment(here: Environments) -> None:
    before = here.path("empty")
    (module.FILES / "empty.txt").write_text("# changed\n")
    assert here.path("empty") != before


def test_an_absent_one_is_an_error_with_the_command(here: Environments) -> None:
    with pytest.raises(TargetUnavailableError, match="make it with: lumavox-export environment empty"):
        here.python("empty")


def test_an_unknown_name_is_refused(here: Environments) -> None:
    with pytest.raises(OptionError, match="unknown environment 'emty'.*did you mean 'empty'"):
        here.path("emty")


def test_a_file_for_another_python_is_refused(here: Environments) -> None:
    (module.FILES / "old.txt").write_text("# python: 3.1\n")
    with pytest.raises(ToolError, match=r"environment 'old' needs Python 3\.1, this is"):
        here.create("old")
    assert not here.exists("old")


def test_a_folder_that_cannot_be_written_is_one_error(here: Environments) -> None:
    here.folder.write_text("a file")
    with pytest.raises(ToolError, match="choose another folder with --environments"):
        here.create("empty")


def test_requirements_of_the_package_are_pinned() -> None:
    for path in Path(module.__file__).parent.parent.glob("targets/environments/*.txt"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert lines and all("==" in line for line in lines), path.name
