"""Boards that go away, answer late or send half: always the one error, never a wrong result."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time

import pytest

from lumavox_matrix.links import LinkError, LinkTimeout, open_link

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # see test_links.py
PYTHON = "/no/python/is/needed"
KINDS = ["ssh", "adb"]


@contextlib.contextmanager
def board(kind, folder):
    """A board and the options of the link to it."""
    with importlib.import_module(f"loopback_{kind}").board(folder) as made:
        found, options = made if isinstance(made, tuple) else (made, made.options)
        yield found, {**options, "python": PYTHON, "connect_timeout_s": 20.0}


@pytest.fixture(params=KINDS)
def pair(request, tmp_path):
    kind = request.param
    with board(kind, tmp_path / "board") as (found, options), open_link(kind, options) as link:
        yield found, link


def test_a_cable_that_is_pulled_during_a_command_is_a_lost_device_at_once(pair):
    found, link = pair
    timer = threading.Timer(1.0, found.cut)
    timer.start()
    started = time.monotonic()
    with pytest.raises(LinkError):
        link.run(["sleep", "30"], timeout_s=60)
    assert time.monotonic() - started < 25


def test_half_an_answer_is_no_answer(pair):
    found, link = pair
    found.cut_answers_at = 10
    with pytest.raises(LinkError, match="cut"):
        link.run(["echo", "a long story, of which the device sends the beginning"], timeout_s=60)
    found.cut_answers_at = None
    assert link.run(["echo", "whole"], timeout_s=60).stdout == b"whole\n"


def test_a_late_answer_is_waited_for(pair):
    found, link = pair
    found.delay_s = 2.0
    assert link.run(["echo", "late"], timeout_s=60).stdout == b"late\n"


def test_a_board_restarts_and_the_same_link_goes_on(pair, tmp_path):
    _, link = pair
    assert link.reboot(timeout_s=60)
    (tmp_path / "x").write_text("1")
    link.push(tmp_path / "x", "x")
    assert link.pull("x", tmp_path / "y")


def test_a_file_that_arrives_in_part_is_not_taken(tmp_path):
    with board("adb", tmp_path / "board") as (found, options), open_link("adb", options) as link:
        (tmp_path / "x").write_bytes(bytes(50_000))
        link.push(tmp_path / "x", "x")
        found.cut_files_at = 1000
        with pytest.raises(LinkError, match="1000 of 50000 bytes"):
            link.pull("x", tmp_path / "y")
        assert not (tmp_path / "y").exists()
        with pytest.raises(LinkError, match="1000 of .* bytes"):
            link.push(tmp_path / "x", "x")


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_at_the_address_is_told_with_it(kind, tmp_path):
    with board(kind, tmp_path / "board") as (found, options):
        found.stop()
        with pytest.raises(LinkError, match=r"127\.0\.0\.1"):
            open_link(kind, options)


def test_a_server_that_is_not_the_known_one_is_refused(tmp_path):
    with (
        board("ssh", tmp_path / "one") as (_, options),
        board("ssh", tmp_path / "other") as (_, others),
        pytest.raises(LinkError, match="[Hh]ost key"),
    ):
        open_link("ssh", {**options, "known_hosts": others["known_hosts"]})


def test_the_server_of_openssh_is_a_device_too(tmp_path):
    with (
        importlib.import_module("loopback_ssh").system_server(tmp_path / "sshd") as options,
        open_link("ssh", options) as link,
    ):
        (tmp_path / "x").write_bytes(bytes(range(256)) * 2000)
        link.push(tmp_path / "x", "there/x")
        assert link.pull("there/x", tmp_path / "y")
        assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
        assert link.run(["cat", "there/x"], timeout_s=60).ok
        started = time.monotonic()
        assert link.run(["sh", "-c", "sleep 60 & sleep 60"], timeout_s=2).timed_out
        assert time.monotonic() - started < 30
        assert link.run(["sh", "-c", "kill -11 $$"], timeout_s=60).signal == 11
        assert not link.reboot(timeout_s=5), "no command for it was given"


def test_a_silent_device_is_given_up():
    from lumavox_matrix.links.adb import _within

    with pytest.raises(LinkTimeout, match="nothing: no answer within 0.1 s"):
        _within(0.1, lambda: time.sleep(1.0), "nothing")
