"""The frame of the ``lumavox`` command, and the subcommands that report."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import pytest

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
        [sys.executable, "-m", "lumavox", "probe", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    probe.stdout.close()
    errors = probe.stderr.read()
    probe.stderr.close()
    assert probe.wait() == 0
    assert errors == b""


@pytest.mark.parametrize("name", REPORTING)
def test_every_reporting_subcommand_has_json(name):
    import argparse

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


def test_json_leaves_out_what_is_not_known():
    assert _output.plain({"a": None, "b": [1, None], "c": {"d": None}}) == {"b": [1, None], "c": {}}


def test_a_table_is_aligned_and_marks_a_missing_cell():
    assert _output.table(("a", "bcd"), [("long", None), ("x", 1)]) == "a     bcd\nlong  -\nx     1"
