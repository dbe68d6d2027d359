"""`lumavox.media`: damaged files, faulty engines, and outputs that cannot be written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bundles
from clips import Clip, frames_of, make_clip, sound
from lumavox.errors import LumavoxError, MissingExtraError, OutputError, UnreadableMediaError
from lumavox.media import enhance
from lumavox.media.facts import probe
from media_fixtures import options

SDK = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"not media at all, only words\n" * 99])
def test_what_is_not_media_is_refused_and_named(
    content: bytes, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(content)
    with pytest.raises(UnreadableMediaError, match=r"in\.mp4"):
        enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_a_missing_input_and_a_folder_are_refused(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    for source in (tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(UnreadableMediaError, match="cannot read"):
            enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))


def test_a_cut_off_mp4_without_its_index_is_unreadable(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """The index stands at the end of the file, as cameras write it."""
    whole = make_clip(tmp_path / "whole.mp4").read_bytes()
    source = tmp_path / "in.mp4"
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableMediaError, match="damaged or cut off"):
        enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))


def test_of_a_cut_off_file_what_decodes_is_enhanced(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """The output of `enhance` has its index in front, so that a cut one still plays."""
    whole = tmp_path / "whole.mp4"
    enhance(make_clip(tmp_path / "first.mp4"), whole, options(sr_path, de_path))
    data = whole.read_bytes()
    source = tmp_path / "in.mp4"
    source.write_bytes(data[: len(data) * 2 // 3])
    report = enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))
    assert any("of 28 frames" in w for w in report.warnings)
    assert 0 < len(frames_of(tmp_path / "out.mp4")) < 28


def test_of_a_damaged_file_what_decodes_is_enhanced(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """Noise over a part of the middle."""
    data = bytearray(make_clip(tmp_path / "whole.mkv", Clip(audio=None, video="libvpx-vp9")).read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, 200, np.uint8).tobytes()
    data[len(data) // 2 : len(data) // 2 + 200] = noise
    source = tmp_path / "in.mkv"
    source.write_bytes(data)
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    assert report.picture is not None
    assert 0 < report.picture.frames <= 28
    assert len(frames_of(tmp_path / "out.mkv")) == report.picture.frames


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), place=st.floats(0, 1), junk=st.binary(max_size=64))
def test_probing_any_damage_gives_facts_or_a_media_error(
    cut: float, place: float, junk: bytes, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mkv"
    if not clip.exists():
        make_clip(clip, Clip(pts=tuple(range(4)), seconds=0.2))
    data = bytearray(clip.read_bytes())
    at = int(place * len(data))
    data[at : at + len(junk)] = junk
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data[: int(cut * len(data))])
    try:
        facts = probe(damaged)
    except UnreadableMediaError:
        return
    assert facts.video is not None or facts.audio is not None


def test_a_frame_size_that_changes_is_scaled_to_the_first_and_that_is_said(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = _joined(tmp_path, Clip(audio=None, pts=tuple(range(8))), size=(32, 48))
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    assert any("32x48" in w for w in report.warnings)
    frames = frames_of(tmp_path / "out.mkv")
    assert [(f.width, f.height) for f in frames] == [(96, 64)] * 16
    assert [f.pts for f in frames] == [40 * n for n in range(16)]


def test_a_sample_rate_that_changes_is_converted_to_the_first(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """MP3 frames tell their rate; 0.5 s at 48 kHz, then 0.5 s at 32 kHz, are 1 s at 48 kHz."""
    source = _joined_mp3(tmp_path)
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    samples, _, rate_hz = sound(tmp_path / "out.mkv")
    assert rate_hz == 48000
    assert len(samples) / rate_hz == pytest.approx(1.0, abs=0.1)
    assert any("32000 Hz" in w for w in report.warnings)


def test_a_failing_engine_costs_sharpness_not_frames(tmp_path: Path, de_path: Path) -> None:
    sr_path = bundles.sr_bundle(
        tmp_path, model={"op": "nearest", "scale": 2, "fail_every": 1000, "fail_at": [3]}
    )
    source = make_clip(tmp_path / "in.mp4")
    report = enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))
    assert len(frames_of(tmp_path / "out.mp4")) == 28
    assert any("1 of 28 frames came out by the conventional path" in w for w in report.warnings)


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.ogg"])
def test_a_full_disk_leaves_nothing_behind(name: str, tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """Played by a limit on the size of files, in a process of its own."""
    plain = name.endswith(("flac", "ogg"))
    source = tmp_path / ("in.wav" if plain else "in.mp4")
    if plain:
        import soundfile

        soundfile.write(str(source), np.random.default_rng(0).standard_normal((96000, 2)) * 0.1, 48000)
    else:
        make_clip(source, Clip(size=(160, 120)))
    before = set(os.listdir(tmp_path))
    run = _python(
        "enhance(argv[0], argv[1], options(argv[2], argv[3]))",
        [source, tmp_path / name, sr_path, de_path],
        limit_bytes=6000,
    )
    assert "OutputError" in run.stderr, run.stderr
    assert "nothing was left behind" in run.stderr
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("option", ["report", "preview"])
def test_a_side_output_that_cannot_be_written_is_refused_before_any_work(
    option: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 1)))
    wrong = options(sr_path, de_path, **{option: tmp_path / "missing" / "file"})
    with pytest.raises(OutputError, match="no folder"):
        enhance(source, tmp_path / "out.mp4", wrong)
    assert os.listdir(tmp_path) == ["in.mp4"]


@pytest.mark.parametrize(("package", "name"), [("av", "in.mp4"), ("soundfile", "in.wav")])
def test_an_absent_extra_is_named_with_its_install_command(
    package: str, name: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"RIFF\0\0\0\0WAVE" if name.endswith("wav") else b"\0\0\0\x18ftypmp42")
    run = _python(
        f"sys.modules[{package!r}] = None; enhance(argv[0], argv[1], options(argv[2], argv[3]))",
        [tmp_path / name, tmp_path / f"out-{name}", sr_path, de_path],
    )
    assert 'pip install "lumavox[media]"' in run.stderr, run.stderr
    assert MissingExtraError.__name__ in run.stderr
    assert issubclass(MissingExtraError, LumavoxError)


def test_an_error_in_one_stage_ends_the_job_once(
    tmp_path: Path, sr_path: Path, de_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lumavox.media.picture_track import PictureTrack

    def fail(*_: object) -> None:
        raise RuntimeError("broken stage")

    monkeypatch.setattr(PictureTrack, "enhance", fail)
    source = make_clip(tmp_path / "in.mp4")
    with pytest.raises(RuntimeError, match="broken stage"):
        enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))
    assert os.listdir(tmp_path) == ["in.mp4"]


def _joined(folder: Path, clip: Clip, size: tuple[int, int]) -> Path:
    """``clip``, and after it the same with frames of another size, as one VP9 stream."""
    path = folder / "joined.mkv"
    parts = [make_clip(folder / f"{n}.mkv", Clip(video="libvpx-vp9", audio=None, pts=clip.pts, size=s))
             for n, s in enumerate((clip.size, size))]  # fmt: skip
    with av.open(str(path), "w", format="matroska") as output:
        stream = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as source:
                stream = stream or output.add_stream_from_template(source.streams.video[0], opaque=True)
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.pts += number * 40 * len(clip.pts)
                        packet.dts = packet.pts
                        packet.stream = stream
                        output.mux(packet)
    return path


def _joined_mp3(folder: Path) -> Path:
    """Two MP3 parts of different rate in one stream of a Matroska file."""
    path = folder / "joined.mkv"
    with av.open(str(path), "w", format="matroska") as output:
        stream = None
        for number, rate_hz in enumerate((48000, 32000)):
            part = make_clip(
                folder / f"{number}.mkv", Clip(video=None, audio="libmp3lame", rate_hz=rate_hz, seconds=0.5)
            )
            with av.open(str(part)) as source:
                stream = stream or output.add_stream_from_template(source.streams.audio[0], opaque=True)
                for packet in source.demux(audio=0):
                    if packet.size and packet.pts >= 0:
                        packet.pts += number * 500
                        packet.dts, packet.time_base = packet.pts, Fraction(1, 1000)
                        packet.stream = stream
                        output.mux(packet)
    return path


def _python(
    code: str, argv: list[object], limit_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a new Python with the test bundles' key trusted; ``argv`` are its strings."""
    key = bundles.signing_key().public_pem()
    head = (
        f"import sys; sys.path[:0] = [{str(SDK)!r}, {str(SDK / 'tests')!r}]; argv = sys.argv[1:]\n"
        "from lumavox.signing import TrustedKeys\n"
        "from lumavox.media import EnhanceOptions, enhance\n"
        f"key = TrustedKeys.of({key!r})\n"
        "options = lambda sr, de: EnhanceOptions(sr=sr, de=de, trusted_keys=key)\n"
    )

    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.run(
        [sys.executable, "-c", head + code, *map(str, argv)],
        capture_output=True, text=True, timeout=120, preexec_fn=limit, check=False,
    )  # fmt: skip
