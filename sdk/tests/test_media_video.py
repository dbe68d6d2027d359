"""`lumavox.media`: what of a video file is enhanced, and what is kept."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clips import Clip, beep_times, beeps, flash_times, frames_of, make_clip, picture, sound
from lumavox.errors import OptionError, UnsupportedMediaError
from lumavox.media import Progress, enhance
from lumavox.media.facts import probe
from lumavox.media.video_file import _BLOCKS, _FRAMES, _PACKETS
from lumavox.resample_picture import enlarged_side
from media_fixtures import options

HDR = (1, 9, 16, 9)  # limited, BT.2020, PQ, BT.2020 non-constant
IRREGULAR = (0, 1, 4, 5, 6, 13, 14, 30, 31, 37)

ENCODERS = {"mp4": ("libx264", "aac"), "mov": ("libx264", "aac"), "mkv": ("libx264", "aac"),
            "webm": ("libvpx-vp9", "libopus")}  # fmt: skip


@pytest.mark.parametrize("ending", ENCODERS)
def test_pictures_double_and_sound_stays_in_step(
    ending: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """Flashes and beeps: each keeps its time, and the offset between them changes by 5 ms at most."""
    video, audio = ENCODERS[ending]
    source = make_clip(tmp_path / f"in.{ending}", Clip(video=video, audio=audio))
    output = tmp_path / f"out.{ending}"
    report = enhance(source, output, options(sr_path, de_path))

    before, after = picture(source), picture(output)
    assert [t for t, _ in after] == [t for t, _ in before]
    assert [f.width for f in frames_of(output)] == [96] * len(before)
    assert np.allclose([y for _, y in after], [y for _, y in before], atol=3)  # repeated pixels, encoded anew
    assert flash_times(output) == flash_times(source)
    offsets = [
        np.subtract(beep_times(path), flash_times(path)) for path in (source, output)
    ]  # fmt: skip
    assert np.abs(offsets[0]).max() < 0.005  # the test's own measure: flash and beep begin together
    assert np.abs(offsets[1] - offsets[0]).max() <= 0.005
    assert report.warnings == ()
    assert report.picture is not None
    assert report.picture.frames == len(before)
    assert (report.picture.source_size, report.picture.size) == ((48, 32), (96, 64))


def test_the_sound_is_delayed_by_less_than_one_sample(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """Lossless in and out: the best match of the enhanced sound with the source is at lag 0."""
    source = make_clip(tmp_path / "in.mkv", Clip(audio="flac"))
    output = tmp_path / "out.mkv"
    enhance(source, output, options(sr_path, de_path))
    before, after = sound(source)[0][:, 0], sound(output)[0][:, 0]
    assert len(after) == len(before) == len(beeps(Clip()))
    match = np.fft.irfft(np.conj(np.fft.rfft(before, 1 << 18)) * np.fft.rfft(after, 1 << 18))
    assert int(np.argmax(match)) == 0


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_irregular_timestamps_are_kept_to_the_unit(
    ending: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """Variable frame rate, in ms in Matroska, which has no finer unit; there it also begins late."""
    video, audio = ENCODERS[ending]
    base = Fraction(1, 90000) if ending == "mp4" else Fraction(1, 1000)
    pts = tuple(3003 * n if ending == "mp4" else 33 * (n + 7) for n in IRREGULAR)
    clip = Clip(video=video, audio=audio, pts=pts, time_base=base)
    source = make_clip(tmp_path / f"in.{ending}", clip)
    enhance(source, tmp_path / f"out.{ending}", options(sr_path, de_path))
    times = [(f.pts, f.time_base) for f in frames_of(tmp_path / f"out.{ending}")]
    assert times == [(f.pts, f.time_base) for f in frames_of(source)]
    assert [p for p, _ in times] == list(pts)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_colour_rotation_shape_tags_and_chapters_are_kept(
    ending: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    clip = Clip(
        colour=HDR, rotation=90, aspect=Fraction(4, 3), tags={"title": "A film", "artist": "Someone"},
        chapters=((0, 700, "One"), (700, 1600, "Two")),
    )  # fmt: skip
    source = make_clip(tmp_path / f"in.{ending}", clip)
    report = enhance(source, tmp_path / f"out.{ending}", options(sr_path, de_path))
    before, after = probe(source), probe(tmp_path / f"out.{ending}")
    assert before.video is not None
    assert after.video is not None
    assert before.video.colour == HDR  # the test's own measure
    assert before.video.display_matrix is not None
    assert after.video.colour == HDR
    assert after.video.display_matrix == before.video.display_matrix
    assert after.video.sample_aspect == before.video.sample_aspect == Fraction(4, 3)
    assert after.metadata == before.metadata
    assert after.metadata["title"] == "A film"
    assert after.chapters == before.chapters
    assert len(after.chapters) == 2
    assert report.warnings == ()
    assert {(int(f.colorspace), int(f.color_trc)) for f in frames_of(tmp_path / f"out.{ending}")} == {(9, 16)}


def test_what_a_container_cannot_carry_is_said(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """VP9 in WebM has no sample aspect ratio that PyAV can write; text in MP4 form no WebM holds."""
    clip = Clip(aspect=Fraction(4, 3), subtitle="mov_text")
    source = make_clip(tmp_path / "in.mp4", clip)
    report = enhance(source, tmp_path / "out.webm", options(sr_path, de_path))
    said = " | ".join(report.warnings)
    assert "sample aspect ratio is 1, was 4/3" in said
    assert "subtitle stream 2 (mov_text) was left out" in said


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_further_tracks_are_copied_packet_by_packet(
    ending: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = make_clip(tmp_path / f"in.{ending}", Clip(more_audio=2))
    output = tmp_path / f"out.{ending}"
    enhance(source, output, options(sr_path, de_path))
    packets: list[list[tuple[int, int, bytes]]] = []
    for path in (source, output):
        with av.open(str(path)) as container:
            tracks = container.streams.audio
            assert [track.language for track in tracks] == ["eng", "deu", "fra"]
            copied = container.demux(tracks[1:])
            packets.append(sorted((p.stream.index, p.pts, bytes(p)) for p in copied if p.size))
    assert packets[0] == packets[1]
    assert len(packets[0]) > 100


def test_subtitles_are_copied(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    source = _with_subtitles(tmp_path)
    output = tmp_path / "out.mkv"
    report = enhance(source, output, options(sr_path, de_path))
    with av.open(str(output)) as container:
        stream = container.streams.subtitles[0]
        texts = [(p.pts, p.duration, bytes(p)) for p in container.demux(stream) if p.size]
    assert texts == [(500, 400, b"Hello"), (1000, 300, b"Good bye")]
    assert report.warnings == ()


@pytest.mark.parametrize(("ending", "video"), [("mkv", "libx264"), ("mp4", "libx265")])
def test_ten_bits_stay_ten_bits(
    ending: str, video: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    clip = Clip(
        video=video, pixel_format="yuv420p10le", pts=tuple(range(6)), colour=HDR, audio=None, size=(96, 64)
    )
    source = make_clip(tmp_path / f"in.{ending}", clip)
    enhance(source, tmp_path / f"out.{ending}", options(sr_path, de_path))
    frames = frames_of(tmp_path / f"out.{ending}")
    assert {f.format.name for f in frames} == {"yuv420p10le"}
    assert len(frames) == 6
    with av.open(str(tmp_path / f"out.{ending}")) as container:
        assert container.streams.video[0].codec_context.name == "hevc"


def test_small_ten_bit_pictures_take_an_encoder_that_bears_them(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """x265 corrupts the heap below 64 pixels a side."""
    clip = Clip(video="libx264", pixel_format="yuv420p10le", pts=tuple(range(6)), audio=None, size=(24, 16))
    source = make_clip(tmp_path / "in.mkv", clip)
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    assert report.picture is not None and report.picture.codec == "libx264"
    assert {f.format.name for f in frames_of(tmp_path / "out.mkv")} == {"yuv420p10le"}


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (33, 17)])
@pytest.mark.parametrize("scale", [1.5, 2, 3])
def test_tiny_and_odd_sizes_come_out_at_an_even_size(
    size: tuple[int, int], scale: float, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """VP9 has odd sizes, H.264 in 4:2:0 has not: the last line is repeated, and that is said."""
    clip = Clip(video="libvpx-vp9", audio=None, size=size, pts=(0, 40, 80), time_base=Fraction(1, 1000))
    source = make_clip(tmp_path / "in.webm", clip)
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path, scale=scale))
    exact = [enlarged_side(side, scale) for side in size]
    assert report.picture is not None
    assert list(report.picture.size) == exact
    coded = {(f.width, f.height) for f in frames_of(tmp_path / "out.mkv")}
    assert coded == {tuple(side + side % 2 for side in exact)}
    assert any("odd" in w for w in report.warnings) == any(side % 2 for side in exact)


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p"])
def test_other_pixel_formats_are_converted_and_that_is_said(
    pixel_format: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    clip = Clip(pixel_format=pixel_format, pts=tuple(range(5)), audio=None)
    source = make_clip(tmp_path / "in.mkv", clip)
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    assert any(f"pixel format {pixel_format}" in w for w in report.warnings)
    before, after = picture(source), picture(tmp_path / "out.mkv")
    assert np.allclose([y for _, y in after], [y for _, y in before], atol=4)


def test_a_full_range_picture_stays_full_range(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    clip = Clip(pixel_format="yuvj420p", colour=(2, 1, 1, 1), pts=tuple(range(5)), audio=None)
    source = make_clip(tmp_path / "in.mp4", clip)
    report = enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))
    assert {int(f.color_range) for f in frames_of(tmp_path / "out.mp4")} == {2}
    assert report.warnings == ()


def test_video_without_sound_and_sound_without_video(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    silent = make_clip(tmp_path / "silent.mp4", Clip(audio=None, pts=tuple(range(5))))
    report = enhance(silent, tmp_path / "silent-out.mp4", options(sr_path, de_path))
    assert report.sound is None
    assert report.picture is not None
    heard = make_clip(tmp_path / "heard.mp4", Clip(video=None))
    report = enhance(heard, tmp_path / "heard-out.mp4", options(sr_path, de_path))
    assert report.picture is None
    assert report.sound is not None
    assert np.allclose(beep_times(tmp_path / "heard-out.mp4"), beep_times(heard), atol=0.001)


@pytest.mark.parametrize(("part", "kind"), [({"sr": "off"}, "video"), ({"de": "off"}, "audio"),
                                            ({"dialog": "off"}, "audio")])  # fmt: skip
def test_a_part_that_is_off_is_copied_without_loss(
    part: dict[str, str], kind: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip())
    enhance(source, tmp_path / "out.mp4", options(sr_path, de_path, **part))
    packets = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            packets.append([(p.pts, bytes(p)) for p in container.demux(**{kind: 0}) if p.size])
    assert packets[0] == packets[1]
    assert len(packets[0]) >= 28


def test_sound_that_begins_late_stays_late(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """The first sample of the second track is at 0.25 s; the output's too, to 1 ms."""
    source = _late_sound(tmp_path, 0.25)
    enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    assert sound(source)[1] == pytest.approx(0.25, abs=0.001)
    assert sound(tmp_path / "out.mkv")[1] == pytest.approx(0.25, abs=0.001)


def test_a_gap_in_the_sound_becomes_silence(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """0.3 s without packets: what follows keeps its time."""
    source = _late_sound(tmp_path, 0.0, gap_s=0.3)
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    samples, begin_s, rate_hz = sound(tmp_path / "out.mkv")
    assert begin_s + len(samples) / rate_hz == pytest.approx(1.12 + 0.3, abs=0.002)
    assert any("gaps" in w for w in report.warnings)


@pytest.mark.parametrize("layout", ["mono", "5.1"])
@pytest.mark.parametrize("rate_hz", [44100, 48000])
def test_rate_and_channels_are_kept(
    layout: str, rate_hz: int, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    clip = Clip(pts=tuple(range(4)), layout=layout, rate_hz=rate_hz)
    source = make_clip(tmp_path / "in.mp4", clip)
    enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))
    before, after = probe(source).audio, probe(tmp_path / "out.mp4").audio
    assert before is not None
    assert after is not None
    assert (after.rate_hz, after.layout) == (before.rate_hz, before.layout) == (rate_hz, layout)
    assert np.allclose(beep_times(tmp_path / "out.mp4"), beep_times(source), atol=0.001)


def test_sound_that_no_model_handles_is_copied_and_that_is_said(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    clip = Clip(pts=tuple(range(4)), audio="pcm_s16le", layout="9.1.6")  # 16 channels
    source = make_clip(tmp_path / "in.mkv", clip)
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    assert any("copied as it is" in w for w in report.warnings)
    assert np.array_equal(sound(source)[0], sound(tmp_path / "out.mkv")[0])


def test_channels_stay_within_their_bounds_for_a_long_clip(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """So memory does not grow with the length: 200 frames, and 8 s of sound."""
    clip = Clip(pts=tuple(range(200)), seconds=8.0)
    source = make_clip(tmp_path / "in.mp4", clip)
    report = enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))
    limits = {"frames": _FRAMES, "sound": _BLOCKS, "ready": _FRAMES + _PACKETS}
    assert set(report.queues) == set(limits)
    assert all(0 < report.queues[name] <= limits[name] for name in limits)
    assert set(report.stages_s) == {"decode", "picture", "sound", "encode"}
    assert len(frames_of(tmp_path / "out.mp4")) == 200


def test_progress_is_told_in_frames_up_to_the_end(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip())
    seen: list[Progress] = []
    enhance(source, tmp_path / "out.mp4", options(sr_path, de_path), progress=seen.append)
    assert seen[-1].done == seen[-1].total == 28
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].unit == "frames"


def test_a_kind_is_told_by_content_and_written_by_ending(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(4))))
    hidden = source.rename(tmp_path / "in.wav")
    enhance(hidden, tmp_path / "out.mkv", options(sr_path, de_path))
    assert len(frames_of(tmp_path / "out.mkv")) == 4
    for name, nearest in (
        ("out.png", "possible: .mp4"),
        ("out.mp5", "did you mean 'mp"),
        ("out", "possible|known"),
    ):
        with pytest.raises(UnsupportedMediaError, match=nearest):
            enhance(hidden, tmp_path / name, options(sr_path, de_path))


@pytest.mark.parametrize("wrong", [{"scale": 2.5}, {"dialog": "loud"}, {"content": "crisp"}, {"threads": 0},
                                   {"quality": 0}])  # fmt: skip
def test_an_impossible_option_is_refused_when_it_is_given(
    wrong: dict[str, object], sr_path: Path, de_path: Path
) -> None:
    with pytest.raises(OptionError):
        options(sr_path, de_path, **wrong)


def _with_subtitles(folder: Path) -> Path:
    """A Matroska file with text subtitles: a copy of a clip with a stream more."""
    plain = make_clip(folder / "plain.mkv", Clip(pts=tuple(range(4))))
    path = folder / "in.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w", format="matroska") as output:
        streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in source.streams}
        text = output.add_mux_stream("subrip")
        text.time_base = Fraction(1, 1000)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
        for begin, length, words in ((500, 400, b"Hello"), (1000, 300, b"Good bye")):
            packet = av.Packet(words)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = begin
            packet.duration = length
            output.mux(packet)
    return path


def _late_sound(folder: Path, begin_s: float, gap_s: float = 0.0) -> Path:
    """A clip whose sound packets are moved by ``begin_s``, and from 0.5 s on by ``gap_s`` more."""
    plain = make_clip(folder / "plain.mkv", dataclasses.replace(Clip(audio="flac"), pts=tuple(range(36))))
    path = folder / "in.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w", format="matroska") as output:
        streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if not packet.size:
                continue
            if packet.stream.type == "audio":
                late_s = begin_s + (gap_s if packet.pts * packet.time_base > 0.5 else 0.0)
                packet.pts += round(late_s / packet.time_base)
                packet.dts = packet.pts
            packet.stream = streams[packet.stream.index]
            output.mux(packet)
    return path
