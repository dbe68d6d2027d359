"""The frame of the ``lumavox`` command, and the subcommands that report."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from bundles import sr_bundle
from lumavox import cli
from lumavox._version import __version__
from lumavox.cli import _output
from lumavox.errors import BundleError

REPORTING = ("bench", "doctor", "models", "probe", "verify")


@pytest.fixture
def failing(monkeypatch):
    """Registers a subcommand ``broken`` that raises what the test asks for."""

    def register(error: BaseException) -> None:
        def run(args):
            raise error

        module = types.SimpleNamespace(HELP="breaks", add_arguments=lambda parser: None, run=run)
        real = cli.command
        monkeypatch.setattr(cli, "commands", lambda: ["broken", "models"])
        monkeypatch.setattr(cli, "command", lambda name: module if name == "broken" else real(name))

    return register


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    return text.rstrip("\n")


def test_the_files_of_the_folder_are_the_subcommands():
    assert set(REPORTING) <= set(cli.commands())
    assert not [name for name in cli.commands() if name.startswith("_")]


@pytest.mark.parametrize("name", cli.commands())
def test_every_subcommand_has_a_one_line_help_and_prints_it(name, capsys):
    module = cli.command(name)
    assert module.HELP
    assert "\n" not in module.HELP
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert module.HELP in " ".join(capsys.readouterr().out.split())


def test_without_a_subcommand_the_help_is_shown_and_the_exit_code_says_wrong_use(capsys):
    assert cli.main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.commands())


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"lumavox {__version__}\n"


def test_an_unknown_subcommand_names_the_nearest(capsys):
    assert cli.main(["modles"]) == 2
    message = one_line(capsys.readouterr().err)
    assert message.startswith("lumavox: error: ")
    assert "did you mean 'models'?" in message


def test_an_unknown_option_names_the_nearest(capsys):
    assert cli.main(["models", "--jsn"]) == 2
    message = one_line(capsys.readouterr().err)
    assert "'--jsn'" in message
    assert "did you mean '--json'?" in message


def test_a_shortened_option_is_refused(capsys):
    """Shortened options would change their meaning when an option is added."""
    assert cli.main(["models", "--js"]) == 2
    assert "'--js'" in one_line(capsys.readouterr().err)


def test_a_superfluous_argument_is_named(capsys):
    assert cli.main(["models", "surplus"]) == 2
    assert "'surplus'" in one_line(capsys.readouterr().err)


def test_a_missing_argument_is_one_line_that_names_it(capsys):
    assert cli.main(["verify"]) == 2
    assert "BUNDLE" in one_line(capsys.readouterr().err)


def test_an_error_of_lumavox_is_one_line_and_exit_code_2(failing, capsys):
    failing(BundleError("the file 'card.md' was\naltered"))
    assert cli.main(["broken"]) == 2
    assert one_line(capsys.readouterr().err) == "lumavox: error: the file 'card.md' was altered"


def test_debug_adds_the_traceback(failing, capsys):
    failing(BundleError("altered"))
    assert cli.main(["broken", "--debug"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("lumavox: error: altered\n")


def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_2(failing, capsys):
    failing(FileNotFoundError(2, "No such file or directory", "clip.mp4"))
    assert cli.main(["broken"]) == 2
    assert "clip.mp4" in one_line(capsys.readouterr().err)


def test_a_fault_of_our_own_is_told_apart_and_says_how_to_see_more(failing, capsys):
    failing(ZeroDivisionError("division by zero"))
    assert cli.main(["broken"]) == 3
    message = one_line(capsys.readouterr().err)
    assert "ZeroDivisionError" in message
    assert "--debug" in message


def test_ctrl_c_ends_with_130_and_no_traceback(failing, capsys):
    failing(KeyboardInterrupt())
    assert cli.main(["broken"]) == 130
    assert one_line(capsys.readouterr().err) == "lumavox: interrupted"


def test_a_reader_that_has_seen_enough_is_no_error():
    """`lumavox probe | head -0`: a closed pipe is neither a traceback nor a failure."""
    probe = subprocess.Popen(
        [sys.executable, "-m", "lumavox", "probe", "--json"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    probe.stdout.close()
    errors = probe.stderr.read()
    probe.stderr.close()
    assert probe.wait() == 0
    assert errors == b""


@pytest.mark.parametrize("name", REPORTING)
def test_every_reporting_subcommand_has_json(name):
    parser = argparse.ArgumentParser()
    cli.command(name).add_arguments(parser)
    assert "--json" in parser._option_string_actions


def report(capsys, *argv: str) -> tuple[int, dict]:
    code = cli.main([*argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_probe_says_of_each_backend_whether_it_is_usable_and_why(capsys):
    code, found = report(capsys, "probe")
    assert code == 0
    assert {"virtual"} <= {b["backend"] for b in found["backends"]}
    for backend in found["backends"]:
        assert isinstance(backend["usable"], bool)
        assert backend["reason"]
    assert cli.main(["probe"]) == 0
    text = capsys.readouterr().out
    assert all(b["backend"] in text for b in found["backends"])


def test_doctor_reports_the_same_as_json_and_as_text(capsys):
    code, found = report(capsys, "doctor")
    assert code == int(bool(found["problems"]))
    assert found["version"] == __version__
    assert found["cpu"]["cores"] >= 1
    assert {lib["name"] for lib in found["libraries"]} >= {"numpy", "cv2", "cryptography"}
    cli.main(["doctor"])
    text = capsys.readouterr().out
    assert text.startswith(f"lumavox   {__version__}\n")
    assert all(p["cure"] in text for p in found["problems"])


@pytest.fixture
def catalogued(sr_path, trusted, tmp_path, monkeypatch):
    """A folder of bundles in which ``sr/tiny`` is found, signed by a key that is trusted."""
    shutil.copytree(sr_path, tmp_path / "sr/tiny/bundle")
    monkeypatch.setattr("lumavox.catalog._roots", lambda: [tmp_path])  # not those that ship
    monkeypatch.setattr("lumavox.signing.TrustedKeys.shipped", lambda: trusted)
    return tmp_path / "sr/tiny/bundle"


def test_models_lists_what_is_found_and_who_signed_it(catalogued, signing_key, capsys):
    code, found = report(capsys, "models")
    assert code == 0
    tiny = next(m for m in found["models"] if m["id"] == "sr/tiny")
    assert tiny["signed_by"] == signing_key.key_id
    assert tiny["task"] == "sr"
    assert tiny["path"] == str(catalogued)
    assert tiny["delay_frames"] == 0
    assert "delay_samples" not in tiny
    assert [v["name"] for v in tiny["variants"]] == ["any-int8-virtual"]
    assert cli.main(["models"]) == 0
    assert "sr/tiny" in capsys.readouterr().out


def test_models_shows_a_refused_bundle_with_the_reason_and_fails(catalogued, capsys):
    (catalogued / "card.md").write_text("altered")
    code, found = report(capsys, "models")
    assert code == 1
    (refused,) = [r for r in found["refused"] if r["path"] == str(catalogued)]
    assert "card.md" in refused["reason"]


def results(found: dict) -> dict[str, str]:
    return {check["name"]: check["result"] for check in found["checks"]}


def test_verify_accepts_a_good_bundle_and_lists_each_check(catalogued, capsys):
    code, found = report(capsys, "verify", "sr/tiny")
    assert code == 0
    assert found["accepted"] is True
    assert results(found) == {
        "files": "passed",
        "signature": "passed",
        "digests": "passed",
        "contents": "passed",
        "golden any-int8-virtual": "passed",
    }
    assert cli.main(["verify", str(catalogued)]) == 0
    assert capsys.readouterr().out.endswith("accepted\n")


def test_verify_refuses_an_altered_bundle_and_names_the_file(catalogued, capsys):
    (catalogued / "card.md").write_text("altered")
    code, found = report(capsys, "verify", str(catalogued))
    assert code == 1
    assert found["accepted"] is False
    assert results(found) == {"files": "passed", "signature": "passed", "digests": "refused"}
    assert "card.md" in found["checks"][-1]["detail"]


def test_verify_refuses_a_stranger_s_signature_unless_the_key_is_given(
    sr_path, signing_key, tmp_path, capsys
):
    code, found = report(capsys, "verify", str(sr_path))
    assert code == 1
    assert results(found) == {"files": "passed", "signature": "refused"}
    key = tmp_path / "release.pem"
    key.write_bytes(signing_key.public_pem())
    code, found = report(capsys, "verify", str(sr_path), "--key", str(key))
    assert code == 0
    assert signing_key.key_id in json.dumps(found["checks"])


def test_verify_accepts_an_unsigned_bundle_only_when_told(tmp_path, capsys):
    path = str(sr_bundle(tmp_path, key=None))
    assert results(report(capsys, "verify", path)[1])["signature"] == "refused"
    code, found = report(capsys, "verify", path, "--allow-unsigned")
    assert code == 0
    assert "unsigned" in found["checks"][1]["detail"]


def test_verify_refuses_a_truncated_zip(tmp_path, capsys):
    path = tmp_path / "cut.zip"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    code, found = report(capsys, "verify", str(path))
    assert code == 1
    assert results(found) == {"files": "refused"}


def test_verify_refuses_a_model_that_misses_its_golden_vector(tmp_path, trusted, monkeypatch, capsys):
    monkeypatch.setattr("lumavox.signing.TrustedKeys.shipped", lambda: trusted)
    path = sr_bundle(tmp_path, model={"op": "nearest", "scale": 2, "wrong_at": [0]})
    code, found = report(capsys, "verify", str(path))
    assert code == 1
    assert results(found)["golden any-int8-virtual"] == "refused"


def test_verify_says_which_golden_vectors_could_not_be_run(catalogued, monkeypatch, capsys):
    """An engine that is absent is no fault of the bundle, and is not shown as passed either."""
    from lumavox import backends

    real = backends.get("virtual")
    probe = dataclasses.replace(real.probe(), usable=False, reason="not here")
    absent = types.SimpleNamespace(name="virtual", engine="virtual", probe=lambda: probe)
    monkeypatch.setattr(backends, "available", lambda: [absent])
    code, found = report(capsys, "verify", "sr/tiny")
    assert code == 0
    assert results(found)["golden any-int8-virtual"] == "not run"


def test_verify_of_a_name_that_is_not_there_is_wrong_use_and_names_the_nearest(catalogued, capsys):
    assert cli.main(["verify", "sr/tinny"]) == 2
    assert "did you mean 'sr/tiny'?" in one_line(capsys.readouterr().err)


def test_json_leaves_out_what_is_not_known():
    assert _output.plain({"a": None, "b": [1, None], "c": {"d": None}}) == {"b": [1, None], "c": {}}


def test_a_table_is_aligned_and_marks_a_missing_cell():
    assert _output.table(("a", "bcd"), [("long", None), ("x", 1)]) == "a     bcd\nlong  -\nx     1"
