"""Clean or streamed: what the container says, and how often that and the picture together are right."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import bundles
from clips import Clip, make_clip
from lumavox.content import Chooser, Decision
from lumavox.errors import OptionError
from lumavox.media import enhance
from lumavox.media.coding import bits_per_pixel, decide
from lumavox.media.facts import open_input, probe
from media_fixtures import options

WIDTH, HEIGHT, FRAMES = 320, 192, 8
OPTIONS = {
    "libx264": {"preset": "veryfast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=error:pools=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "0"},
}


def scene(seed: int) -> list[np.ndarray]:
    """A moving picture as from a camera: leaves, edges and a sky, with sensor noise; luma."""
    random = np.random.default_rng(seed)
    side = 512
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    spectrum = np.fft.fft2(random.standard_normal((side, side))) / np.maximum(np.hypot(fx, fy), 1 / side)
    texture = np.real(np.fft.ifft2(spectrum))
    texture = 120 + 35 * texture / texture.std()
    for x, y, r, level in random.integers((20, 20, 15, 30), (480, 480, 60, 220), (12, 4)):
        rows, columns = np.ogrid[:side, :side]
        texture[(rows - y) ** 2 + (columns - x) ** 2 < r * r] = level
    frames = []
    for n in range(FRAMES):
        view = texture[60 + n : 60 + n + HEIGHT, 80 + 2 * n : 80 + 2 * n + WIDTH]
        frames.append(np.clip(view + random.normal(0, 1.0, view.shape), 16, 235).round().astype(np.uint8))
    return frames


def coded(path: Path, frames: list[np.ndarray], codec: str, **settings: str) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.options = {**OPTIONS.get(codec, {}), **settings}
        stream.codec_context.time_base = Fraction(1, 25)
        for n, luma in enumerate(frames):
            chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), "yuv420p")
            frame.pts = n
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def concluded(path: Path) -> tuple[str, str]:
    """By the picture alone, and by the container first."""
    facts = probe(path).video
    assert facts is not None
    chooser = Chooser()
    with open_input(path) as container:
        for frame in container.decode(video=0):
            if not chooser.decided:
                chooser.add(np.ascontiguousarray(frame.to_ndarray()[:HEIGHT]))
    decision = decide(path, facts).content
    return chooser.content, chooser.content if decision == "auto" else decision


CASES = (
    ("ffv1", {}, "clean"),
    ("libx264", {"crf": "10"}, "clean"),
    ("libx264", {"crf": "26"}, "streamed"),
    ("libx264", {"crf": "34"}, "streamed"),
    ("libx265", {"crf": "30"}, "streamed"),
    ("libvpx-vp9", {"crf": "36"}, "streamed"),
)


def test_the_container_and_the_picture_together_tell_clean_from_streamed(tmp_path: Path) -> None:
    """All of 3 scenes in 6 codings are told rightly; by the picture alone at most two thirds."""
    alone = []
    for number in range(3):
        frames = scene(number)
        for codec, settings, wanted in CASES:
            path = coded(tmp_path / "clip.mkv", frames, codec, **settings)
            picture, both = concluded(path)
            assert both == wanted, (number, codec, settings)
            alone.append(picture == wanted)
    assert sum(alone) <= len(alone) * 2 / 3  # else the container would not be worth asking


def test_the_reason_names_the_codec_and_the_bits(tmp_path: Path) -> None:
    frames = scene(0)
    for codec, settings, said in (
        ("ffv1", {}, Decision("clean", "ffv1 is a lossless or mezzanine codec")),
        ("libx264", {"crf": "34"}, "h264 at 0.0.. bits per pixel, below 0.12"),
        ("libx264", {"crf": "8"}, "h264 at .* bits per pixel tells nothing"),
        ("libx264", {"crf": "34", "g": "1"}, "h264 without predicted pictures tells nothing"),
        ("mpeg1video", {}, "mpeg1video tells nothing"),
    ):
        path = coded(tmp_path / "clip.mkv", frames, codec, **settings)
        facts = probe(path).video
        assert facts is not None
        found = decide(path, facts)
        assert found == said if isinstance(said, Decision) else re.fullmatch(said, found.reason)


def test_bits_are_counted_in_predicted_pictures_only(tmp_path: Path) -> None:
    """Oracle: the packets' own sizes."""
    path = coded(tmp_path / "clip.mkv", scene(1), "libx264", crf="23", g="4")
    with av.open(str(path)) as container:
        sizes = [p.size for p in container.demux(video=0) if p.size and not p.is_keyframe]
    assert len(sizes) == FRAMES * 3 // 4
    facts = probe(path).video
    assert facts is not None
    assert bits_per_pixel(path, facts) == pytest.approx(8 * np.mean(sizes) / (WIDTH * HEIGHT))


@pytest.mark.parametrize(
    ("codec", "settings", "asked", "content", "why"),
    [("libx264", {"crf": "30"}, "auto", "streamed", "h264 at 0.0"), ("ffv1", {}, "auto", "clean", "lossless"),
     ("libx264", {"crf": "6"}, "auto", "clean", "coding traces"),
     ("ffv1", {}, "streamed", "streamed", "asked for")],
)  # fmt: skip
def test_the_report_and_the_telemetry_say_which_and_why(
    codec: str, settings: dict[str, str], asked: str, content: str, why: str, tmp_path: Path, de_path: Path
) -> None:
    model = bundles.sr_bundle(tmp_path / "models", contents=("clean", "streamed"))
    source = coded(tmp_path / "in.mkv", scene(2), codec, **settings)
    report = enhance(source, tmp_path / "out.mkv", options(model, de_path, content=asked))
    assert report.picture is not None
    assert report.picture.content == content
    assert why in report.picture.content_reason
    assert f"{content} variant: " in report.summary()
    assert why in report.summary()
    (record,) = (r for r in report.telemetry if r.task == "sr")
    assert record.content == content
    assert record.content_reason == report.picture.content_reason


def test_a_model_for_anything_is_used_whatever_the_container_says(sr_path: Path, de_path: Path,
                                                                  tmp_path: Path) -> None:  # fmt: skip
    source = coded(tmp_path / "in.mkv", scene(2), "ffv1")
    report = enhance(source, tmp_path / "out.mkv", options(sr_path, de_path))
    assert report.picture is not None
    assert report.picture.content == "any"
    only = bundles.sr_bundle(tmp_path / "models", contents=("streamed",))
    report = enhance(source, tmp_path / "out.mkv", options(only, de_path))
    assert report.picture is not None
    assert report.picture.content == "streamed"
    assert "the bundle has no other" in report.picture.content_reason


def test_what_is_as_large_as_wanted_is_copied_and_that_is_said(
    sr_path: Path, de_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packets of the source, bit by bit; the limit of 4K is lowered, so that a small picture is large."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(6))))
    monkeypatch.setattr("lumavox.scaling.MAX_AUTO_PIXELS", 3000)
    for number, changes in enumerate(({}, {"target": (48, 32)})):
        output = tmp_path / f"out{number}.mp4"
        report = enhance(source, output, options(sr_path, de_path, **changes))
        assert report.picture is None
        assert any("copied as it is: its 48x32" in w for w in report.warnings)
        packets = []
        for path in (source, output):
            with av.open(str(path)) as container:
                packets.append([bytes(p) for p in container.demux(video=0) if p.size])
        assert packets[0] == packets[1]
    enlarged = enhance(source, tmp_path / "asked.mp4", options(sr_path, de_path, scale=2.0))
    assert enlarged.picture is not None
    assert enlarged.picture.size == (96, 64)


def test_a_target_is_filled(sr_path: Path, de_path: Path, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(6))))
    report = enhance(source, tmp_path / "out.mp4", options(sr_path, de_path, target=(72, 60)))
    assert report.picture is not None
    assert (report.picture.size, report.picture.scale) == ((72, 48), 1.5)
    with pytest.raises(OptionError, match="no scale beside it"):
        options(sr_path, de_path, target=(72, 60), scale=2.0)
