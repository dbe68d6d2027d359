"""`lumavox.media.output`: a file appears only when it is complete."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lumavox.errors import OutputError
from lumavox.media.output import OutputFile


def test_the_file_appears_when_the_body_ends(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    with OutputFile(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.bin"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_nothing_is_left_behind_when_the_body_raises(tmp_path: Path, error: BaseException) -> None:
    def write_half() -> None:
        with OutputFile(tmp_path / "out.bin") as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert os.listdir(tmp_path) == []


def test_an_existing_file_stays_as_it_is_when_the_body_raises(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="x"), OutputFile(target):
        raise ValueError("x")
    assert target.read_bytes() == b"old"


def test_an_existing_file_is_replaced_only_if_that_is_allowed(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"), OutputFile(target, overwrite=False):
        pytest.fail("entered")
    with OutputFile(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/out.mp4", "no folder"), ("folder", "it is a folder"), ("/dev/null", "not a regular file"),
     ("/proc/out.mp4", "cannot write")],
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=reason), OutputFile(tmp_path / name):
        pytest.fail("entered")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_without_permission_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's answer is played, as tests may run as root, to whom all folders are open."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission"), OutputFile(tmp_path / "out.mp4"):
        pytest.fail("entered")


def test_the_input_itself_is_refused_also_through_a_link(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"film")
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    for path in (source, link, tmp_path / "." / "in.mp4"):
        with pytest.raises(OutputError, match="the input itself"), OutputFile(path, source=source):
            pytest.fail("entered")
    assert source.read_bytes() == b"film"


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / "real" / "out.mp4")
    with OutputFile(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "out.mp4").read_bytes() == b"new"


def test_a_full_disk_is_an_output_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), OutputFile(tmp_path / "out.bin"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []
