"""docs/update.md is walked through: its files are written, its commands are run, its player plays."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="updates need tuf, which is in lumavox[update]")

from lumavox.cli import main as lumavox
from lumavox.picture import Frame, PixelFormat
from lumavox_export.cli import main as lumavox_export
from update_world import Server

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "update.md").read_text()
MODEL = "sr/nano-x2"


def blocks(kind: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the document's files, the shipped models, and a server of what is published in it."""
    if not (ROOT / "models" / MODEL / "bundle").is_dir():
        pytest.skip(f"the shipped model {MODEL} is not in this checkout")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "repository").mkdir()
    server = Server(tmp_path / "repository")
    for name, block in zip(("manifest.json", "device.json", "update.json"), blocks("json"), strict=True):
        document = json.loads(block)
        if name == "update.json":
            document |= {
                "store": "store",
                "metadata_url": f"{server.url}/metadata",
                "targets_url": f"{server.url}/targets",
            }
        (tmp_path / name).write_text(json.dumps(document))
    yield tmp_path
    server.close()


def run(line: str) -> int:
    """The exit code of one command of the document."""
    words = shlex.split(line)
    mains = {"lumavox": lumavox, "lumavox-export": lumavox_export}
    return mains[words[0]](words[1:])


def play(code: str) -> None:
    """One of the document's players, on three frames."""
    frame = Frame.empty(PixelFormat.GRAY8, 32, 32)
    for plane in frame.planes:
        plane[...] = 99
    shown: list[Frame] = []
    names: dict[str, Any] = {"updates": None, "frames": [frame] * 3, "show": shown.append, "before": MODEL}
    exec(code, names)
    assert len(shown) == 3
    names["updates"].close()


def test_the_walk_through_works(place, capsys):
    publisher = [line for line in COMMANDS if line.startswith("lumavox-export")]
    device = [line for line in COMMANDS if line.startswith("lumavox update")]
    assert len(publisher) >= 10
    assert len(device) == 5
    for line in publisher:
        if "withdraw" not in line:
            assert run(line) == 0, capsys.readouterr().err
        if "init" in line:
            (place / "root.json").write_bytes((place / "repository/metadata/root.json").read_bytes())
    check, install, status, commit, rollback = device
    for line in (check, install, status):
        assert run(line) == 0, capsys.readouterr().err
    assert "0 of 5 healthy sessions" in capsys.readouterr().out
    first, second = blocks("python")
    play(first)
    assert run(commit) == 0
    play(first.split("updates = ")[0] + "updates = Updates.open('update.json')\n" + second)
    assert run(rollback) == 0
    assert "the picture flickers" in capsys.readouterr().out
    assert run(next(line for line in publisher if "withdraw" in line)) == 0
    assert run(check) == 1
    assert "the repository has no" in capsys.readouterr().out


def test_every_action_is_in_the_walk_through():
    from lumavox.cli.update import ACTIONS
    from lumavox_export import cli_publish

    publisher = {shlex.split(line)[2] for line in COMMANDS if line.startswith("lumavox-export publish")}
    named = set(re.findall(r"^lumavox-export publish ([a-z]+) ", cli_publish.__doc__ or "", re.MULTILINE))
    assert named - publisher == {"renew"}  # told in the text
    assert {shlex.split(line)[2] for line in COMMANDS if line.startswith("lumavox update")} == set(ACTIONS)


def test_private_keys_do_not_go_to_the_web_server(tmp_path, capsys):
    folder = str(tmp_path / "repository")
    assert lumavox_export(["publish", "init", folder, "--keys", f"{folder}/keys"]) == 2
    assert "keep private keys elsewhere" in capsys.readouterr().err
    assert lumavox_export(["publish", "init", folder]) == 2
    assert "by --keys" in capsys.readouterr().err


def test_a_missing_key_is_named_with_where_it_was_looked_for(tmp_path, capsys):
    folder, keys = str(tmp_path / "repository"), str(tmp_path / "keys")
    assert lumavox_export(["publish", "init", folder, "--keys", keys]) == 0
    for path in (tmp_path / "keys").glob("timestamp.*"):
        path.unlink()
    assert lumavox_export(["publish", "sign", folder, "--keys", keys]) == 2
    assert "timestamp must be signed by 1 of the keys" in capsys.readouterr().err


def test_private_keys_are_readable_by_their_owner_only(tmp_path):
    lumavox_export(["publish", "init", str(tmp_path / "repository"), "--keys", str(tmp_path / "keys")])
    keys = list((tmp_path / "keys").iterdir())
    assert len(keys) == 5
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
