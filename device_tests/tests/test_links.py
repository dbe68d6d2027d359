"""The promise of a link, for every link there is a file for.

A link that needs somebody at the other end (a server on loopback, an emulator) has a file
``loopback_<kind>.py`` beside this one with ``options(folder)``: a context manager that starts it and gives
the link's options, or skips the test with the reason.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lumavox.errors import OptionError
from lumavox_matrix.cell import Rung
from lumavox_matrix.links import LinkError, kinds, open_link
from lumavox_matrix.links.base import MAX_OUTPUT_BYTES, ended

KINDS = kinds()
PRINT = "import sys, os; print(os.environ.get('GREETING', 'nothing')); print(sys.argv[1:], file=sys.stderr)"


@contextlib.contextmanager
def options_of(kind: str, folder: Path) -> Iterator[Mapping[str, object]]:
    if importlib.util.find_spec(f"loopback_{kind}") is None:
        yield {}
        return
    with importlib.import_module(f"loopback_{kind}").options(folder) as options:
        yield options


# adbutils and asyncssh leave a socket open where the other side refuses or goes: told at garbage collection.
LEAKY = ("adb", "ssh")
LEAVES_SOCKETS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _marks(kind):
    if kind == "booted":
        return (LEAVES_SOCKETS, pytest.mark.slow)
    return LEAVES_SOCKETS if kind in LEAKY else ()


@pytest.fixture(params=[pytest.param(kind, marks=_marks(kind)) for kind in KINDS])
def link(request, tmp_path):
    with options_of(request.param, tmp_path) as options, open_link(request.param, options) as opened:
        yield opened
    if request.param in LEAKY:
        gc.collect()  # now, not in the next test


def test_links_are_found_by_file_and_an_unknown_one_names_the_nearest():
    assert {"local", "virtual"} <= set(KINDS)
    with pytest.raises(OptionError, match="did you mean 'local'"):
        open_link("locall", {})


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_option_names_file_and_key(kind):
    with pytest.raises(OptionError, match=r"lab.toml: .*no_such_option"):
        open_link(kind, {"no_such_option": 1}, "lab.toml")


def test_it_says_what_it_is(link):
    assert link.kind in KINDS
    assert isinstance(link.rung, Rung)
    who = link.identify(firmware="echo 1.2.3; echo more", driver="exit 3")
    assert who.machine
    assert who.name
    assert (who.firmware, who.driver) == ("1.2.3", None)


def test_a_command_gets_words_and_variables_as_they_are_and_gives_both_streams(link):
    words = ["a b", "$HOME", "it's", '"quoted"', "*", "ä", ""]
    done = link.run([link.python, "-c", PRINT, *words], timeout_s=120, env={"GREETING": "good day; $PATH"})
    assert done.ok, done.stderr
    assert done.stdout.decode().split("\n")[0] == "good day; $PATH"
    assert str(words) in done.stderr.decode()
    assert done.seconds >= 0


def test_a_command_that_ends_with_an_error_is_no_error_of_the_link(link):
    done = link.run([link.python, "-c", "raise SystemExit(3)"], timeout_s=120)
    assert (done.exit_code, done.signal, done.timed_out, done.ok) == (3, None, False, False)
    missing = link.run(["/no/such/program"], timeout_s=120)
    assert missing.exit_code == 127, "as shells say it"


def test_a_crash_tells_its_signal(link):
    crash = "import os, signal, faulthandler; os.kill(os.getpid(), signal.SIGSEGV)"
    done = link.run([link.python, "-c", crash], timeout_s=120)
    assert (done.exit_code, done.signal) == (None, 11)


def test_a_command_that_takes_too_long_is_ended_with_its_children(link):
    wait = "import time; time.sleep(60)"
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{wait}']); {wait}"
    started = time.monotonic()
    done = link.run([link.python, "-c", program], timeout_s=5)
    assert done.timed_out
    assert not done.ok
    assert time.monotonic() - started < 50


def test_files_and_folders_arrive_byte_for_byte_and_replace_what_was_there(link, tmp_path):
    folder = tmp_path / "from" / "sub"
    folder.mkdir(parents=True)
    data = bytes(range(256)) * 5000
    (folder / "data.bin").write_bytes(data)
    (tmp_path / "from" / "empty").touch()
    link.push(tmp_path / "from", "there")
    assert link.pull("there/sub/data.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == data
    assert link.pull("there/empty", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == b""
    (folder / "data.bin").unlink()
    link.push(tmp_path / "from", "there")
    assert not link.pull("there/sub/data.bin", tmp_path / "gone.bin")
    assert not (tmp_path / "gone.bin").exists()
    (tmp_path / "one").write_bytes(b"1")
    link.push(tmp_path / "one", "there/one")
    assert link.pull("there/one", tmp_path / "two")


def test_a_command_runs_in_the_folder_that_is_pushed_to(link, tmp_path):
    (tmp_path / "word.txt").write_text("hello")
    link.push(tmp_path / "word.txt", "word.txt")
    done = link.run([link.python, "-c", "print(open('word.txt').read())"], timeout_s=120)
    assert done.stdout.decode().strip() == "hello"


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", ""])
def test_names_outside_of_the_folder_are_refused(link, tmp_path, name):
    (tmp_path / "x").touch()
    with pytest.raises(OptionError, match="relative"):
        link.push(tmp_path / "x", name)
    with pytest.raises(OptionError, match="relative"):
        link.pull(name, tmp_path / "y")


def test_a_long_output_is_cut_from_its_beginning(link):
    program = "import sys; sys.stdout.write('x' * 300000 + 'end'); sys.stdout.flush()"
    done = link.run([link.python, "-c", program], timeout_s=120)
    assert len(done.stdout) <= MAX_OUTPUT_BYTES
    assert done.stdout.endswith(b"end")


def test_a_run_is_killed_from_another_thread(link):
    timer = threading.Timer(4.0, link.kill)
    timer.start()
    started = time.monotonic()
    done = link.run([link.python, "-c", "import time; time.sleep(60)"], timeout_s=60)
    timer.cancel()
    assert not done.ok
    assert time.monotonic() - started < 50


def test_reboot_says_whether_it_can(link):
    assert link.reboot(timeout_s=120) in (True, False)


def test_closing_twice_is_allowed_and_two_links_do_not_share_a_folder(link, tmp_path):
    (tmp_path / "x").write_text("1")
    with options_of(link.kind, tmp_path / "second") as options, open_link(link.kind, options) as other:
        link.push(tmp_path / "x", "mine")
        assert not other.pull("mine", tmp_path / "y")
    link.close()
    link.close()


@pytest.mark.parametrize(
    ("code", "exit_code", "signal"),
    [(0, 0, None), (3, 3, None), (-11, None, 11), (139, None, 11), (132, None, 4)],
)
def test_exit_codes_of_processes_and_of_shells_become_signals(code, exit_code, signal):
    done = ended(code, b"", b"", 1.0)
    assert (done.exit_code, done.signal) == (exit_code, signal)


def test_a_device_that_is_lost_raises_the_one_error(tmp_path):
    with pytest.raises(LinkError, match="nobody answers"):
        open_link("virtual", {"unreachable": True})
    with open_link("virtual", {"disconnect_after_s": 1.0}) as link:
        with pytest.raises(LinkError, match="went away"):
            link.run([link.python, "-c", "import time; time.sleep(30)"], timeout_s=60)
        with pytest.raises(LinkError, match="went away"):
            link.pull("x", tmp_path / "x")
