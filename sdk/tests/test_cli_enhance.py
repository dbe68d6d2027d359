"""``lumavox enhance``: the command around `lumavox.media.enhance`."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

import bundles
from clips import Clip, frames_of, make_clip
from lumavox.cli import main
from lumavox.media.progress import Progress, TerminalProgress
from lumavox.signing import TrustedKeys

SDK = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _test_key_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command trusts shipped keys only; for these tests the key of the test bundles is one."""
    monkeypatch.setattr(TrustedKeys, "shipped", classmethod(lambda cls: bundles.trusted()))


def _arguments(source: Path, output: Path, sr_path: Path, de_path: Path, *more: str) -> list[str]:
    return ["enhance", str(source), str(output), "--sr", str(sr_path), "--de", str(de_path), *more]


def test_the_summary_says_what_was_done(
    tmp_path: Path, sr_path: Path, de_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    assert main(_arguments(source, tmp_path / "out.mp4", sr_path, de_path, "--dialog", "+4.5dB")) == 0
    shown = capsys.readouterr()
    for part in ("48x32 -> 96x64", "28 frames", "fps", "p50", "p99", "real-time factor", "LUFS", "dBTP",
                 "dialog +4.5 dB", "sr/tiny", "de/tiny", "on virtual", "stages", "decode"):  # fmt: skip
        assert part in shown.out
    assert shown.err == ""  # no progress where there is no terminal


def test_report_and_preview_are_written_and_the_telemetry_is_valid(
    tmp_path: Path, sr_path: Path, de_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    side = ["--report", str(tmp_path / "r.json"), "--preview", str(tmp_path / "p.png"), "--json"]
    assert main(_arguments(source, tmp_path / "out.mp4", sr_path, de_path, *side)) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert json.loads(capsys.readouterr().out) == report
    assert report["picture"]["frames"] == 28
    assert report["sound"]["before"]["integrated_lufs"] < 0
    assert [record["task"] for record in report["telemetry"]] == ["sr", "de"]
    schema = json.loads((SDK / "lumavox" / "schemas" / "telemetry.schema.json").read_text())
    for record in report["telemetry"]:
        jsonschema.validate(record, schema)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_silent_clip_has_no_loudness_in_the_report(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """Absent, not null and not minus infinity, which JSON has not."""
    import numpy as np
    import soundfile

    soundfile.write(str(tmp_path / "a.wav"), np.zeros((24000, 1)), 48000)
    arguments = _arguments(tmp_path / "a.wav", tmp_path / "b.wav", sr_path, de_path)
    assert main([*arguments, "--report", str(tmp_path / "r.json")]) == 0
    text = (tmp_path / "r.json").read_text()
    assert "Infinity" not in text
    assert "null" not in text
    assert json.loads(text)["sound"]["before"] == {}


def test_an_existing_output_is_replaced_unless_that_is_forbidden(
    tmp_path: Path, sr_path: Path, de_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 1)))
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    assert main(_arguments(source, output, sr_path, de_path, "--no-overwrite")) == 2
    assert "exists" in capsys.readouterr().err
    assert output.read_bytes() == b"old"
    assert main(_arguments(source, output, sr_path, de_path)) == 0
    assert len(frames_of(output)) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [(("--scale", "5"), "unknown scale '5'"), (("--dialog", "hgih"), "did you mean 'high'"),
     (("--target", "1080p"), "'1080p' is not a size such as 960x540"),
     (("--target", "96x64", "--scale", "2"), "no scale beside it"),
     (("--content", "clear"), "did you mean 'clean'"), (("--backend", "litter"), "did you mean 'litert'")],
)  # fmt: skip
def test_a_wrong_value_is_named_with_the_nearest(
    more: tuple[str, ...], said: str, tmp_path: Path, sr_path: Path, de_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 1)))
    assert main(_arguments(source, tmp_path / "out.mp4", sr_path, de_path, *more)) == 2
    assert said in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_a_missing_output_folder_is_one_line_and_exit_code_2(
    tmp_path: Path, sr_path: Path, de_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 1)))
    assert main(_arguments(source, tmp_path / "no" / "out.mp4", sr_path, de_path)) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "later_s"), [(signal.SIGINT, 0.0), (signal.SIGINT, 1.0), (signal.SIGTERM, 1.0)]
)
def test_an_interrupt_leaves_nothing_behind(
    number: signal.Signals, later_s: float, tmp_path: Path, de_path: Path
) -> None:
    """A real process with 75 s of work, interrupted as soon as it began to write, and in the midst of it."""
    slow = bundles.sr_bundle(tmp_path / "models", model={"op": "nearest", "scale": 2, "delay_ms": 50})
    folder = tmp_path / "work"
    folder.mkdir()
    source = make_clip(folder / "in.mp4", Clip(pts=tuple(range(1500)), seconds=0.3))
    code = (
        f"import signal, sys; sys.path[:0] = [{str(SDK)!r}]\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in background jobs\n"
        "from lumavox.signing import TrustedKeys\n"
        f"key = TrustedKeys.of({bundles.signing_key().public_pem()!r})\n"
        "TrustedKeys.shipped = classmethod(lambda cls: key)\n"
        "from lumavox.cli import main; sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = _arguments(source, folder / "out.mp4", slow, de_path)
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not list(folder.glob(".out.mp4*")) and process.poll() is None:
                time.sleep(0.01)
            time.sleep(later_s)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert errors.strip() == "lumavox: interrupted"
    assert process.returncode == 130
    assert os.listdir(folder) == ["in.mp4"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_cleared_at_the_end() -> None:
    terminal = _Terminal()
    with TerminalProgress(terminal, period_s=0) as show:
        show(Progress(50, 200, 10.0, "frames"))
    lines = terminal.getvalue().split("\r")
    assert lines[1].strip() == "25%  50/200 frames  5.0 fps  ETA 0:30"
    assert lines[-1] == ""
    assert lines[-2].strip() == ""


def test_progress_is_silent_elsewhere() -> None:
    stream = io.StringIO()
    with TerminalProgress(stream, period_s=0) as show:
        show(Progress(50, 200, 10.0, "frames"))
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("progress", "eta_s", "text"),
    [(Progress(0, 100, 1, "frames"), None, "0%  0/100 frames  0.0 fps"),
     (Progress(10, 0, 2, "frames"), None, "10 frames  5.0 fps"),
     (Progress(30, 60, 10, "s"), 10, "50%  30/60 s  3.0x real time  ETA 0:10"),
     (Progress(1, 7201, 1, "s"), 7200, "0%  1/7201 s  1.0x real time  ETA 2:00:00"),
     (Progress(101, 100, 1, "frames"), 0, "100%  101/100 frames  101.0 fps  ETA 0:00")],
)  # fmt: skip
def test_progress_tells_pace_and_time_left(progress: Progress, eta_s: float | None, text: str) -> None:
    assert progress.eta_s == eta_s
    assert str(progress).strip() == text
