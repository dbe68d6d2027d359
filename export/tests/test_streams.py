"""Streams, rate-quality curves and steadiness on a small clip that drifts: real encoders, filters."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lumavox_export.cli import main
from lumavox_export.data.codec import encode
from lumavox_export.errors import DatasetError
from lumavox_export.evaluation import Options, rate_quality, streams, video
from lumavox_export.evaluation.bdrate import LEAST_POINTS
from lumavox_export.evaluation.rate_plot import plot_rates
from lumavox_export.evaluation.rate_quality import FULL, bdrate_table, measure_bdrate
from lumavox_export.evaluation.sr_methods import Method, conventional
from lumavox_export.evaluation.sr_streams import measure_streams, stream_tables
from lumavox_export.evaluation.streams import Footage, even_sizes, read_clip, stream
from lumavox_export.evaluation.video import measure_video, video_tables
from lumavox_export.evaluation.vmaf import VmafScores
from lumavox_export.metrics import psnr


def _frames(count: int = 16, height: int = 96, width: int = 128) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    wide = rng.uniform(0, 255, (height, width + count)).astype(np.float32)
    for axis in (0, 1):
        wide = (2 * wide + np.roll(wide, 1, axis) + np.roll(wide, -1, axis)) / 4
    return [np.clip((wide[:, i : i + width] - 128) * 1.5 + 128, 16, 235) for i in range(count)]


@pytest.fixture
def clip() -> Footage:
    return Footage("drift.mkv", 25.0, tuple(_frames()))


@pytest.fixture
def without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """PSNR in the place of VMAF: what is tested here is what is done with the scores."""

    def scored(shown, truths, models=("vmaf_neg",), cache=None):  # type: ignore[no-untyped-def]
        values = tuple(psnr(a.astype(np.float32), b) for a, b in zip(shown, truths, strict=True))
        return {model: VmafScores(values) for model in models}

    monkeypatch.setattr(rate_quality, "vmaf", scored)
    monkeypatch.setattr(video, "vmaf", scored)


def _ours(scale: float) -> Method:
    """A stand-in for a network: Lanczos, pulled half the way to the truth, so better by 6 dB."""
    lanczos = conventional("lanczos", scale)
    return Method(
        "streamed int8",
        "ours",
        lambda pair: np.rint((lanczos.run(pair) + pair.high) / 2),
        lanczos.prepare,
        "",
        "streamed",
        "int8",
    )


def test_a_stream_tells_its_frames_types_and_bytes_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [f.astype(np.uint8) for f in _frames()]
    first = stream(frames, "libx264", 26, 8, 24.0, tmp_path)
    assert len(first.frames) == len(first.frame_types) == 16
    assert [i for i, t in enumerate(first.frame_types) if t == "I"] == [0, 8]
    assert set(first.frame_types) <= set("IPB")
    container = len(encode(frames, "libx264", 26, 8, 24))
    assert 0 < container - first.bytes < 3000
    assert first.kbps == pytest.approx(first.bytes * 8 / (16 / 24) / 1000)

    monkeypatch.setattr(streams, "encode", lambda *_: pytest.fail("encoded again"))
    again = stream(frames, "libx264", 26, 8, 24.0, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(again.frames, first.frames))
    with pytest.raises(pytest.fail.Exception):
        stream(frames, "libx264", 27, 8, 24.0, tmp_path)


@given(
    st.integers(60, 300), st.integers(60, 300), st.sampled_from([1.5, 2, 3, 4]), st.sampled_from([1, 2, 3])
)
def test_both_resolutions_are_even_and_meet(height: int, width: int, scale: float, multiple: int) -> None:
    small, large = even_sizes((height, width), scale, multiple)
    for low, high, whole in zip(small, large, (height, width)):
        assert low % 2 == high % 2 == low % multiple == 0
        assert high == low * scale <= whole < high + 2 * 2 * multiple * 4


def test_a_file_that_is_not_there_or_not_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("no video")
    for name in ("absent.mkv", "text.mkv"):
        with pytest.raises(DatasetError, match=name):
            read_clip(tmp_path / name, 4)


def test_a_clip_is_read_with_its_rate_up_to_the_frames_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(encode([f.astype(np.uint8) for f in _frames()], "libx264", 20, 8, 24))
    clip = read_clip(path, 5, reduce_above=100)
    assert clip.rate_hz == pytest.approx(24) and clip.name == "clip.mkv"
    assert [f.shape for f in clip.frames] == [(48, 64)] * 5


@pytest.mark.parametrize("codec", rate_quality.LADDERS)
def test_levels_are_enough_for_a_curve_and_within_the_encoder(codec: str) -> None:
    ladder = rate_quality.LADDERS[codec]
    for levels in (ladder.crf_full, ladder.crf_reduced):
        assert list(levels) == sorted(set(levels)) and len(levels) >= LEAST_POINTS
        assert levels[-1] <= (63 if codec == "libsvtav1" else 51)


def test_bd_rate_is_told_for_every_comparison_and_drawn(
    clip: Footage, tmp_path: Path, without_ffmpeg: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_quality, "LADDERS", {"libx264": rate_quality.LADDERS["libx264"]})
    methods = [conventional("bicubic", 2), conventional("lanczos", 2), _ours(2)]
    found = measure_bdrate([clip], methods, 2, 1, tmp_path)
    measured = found["clips"]["drift.mkv"]["codecs"]["libx264"]
    assert measured["points"].keys() == {FULL, "lanczos", "streamed int8"}
    for points in measured["points"].values():
        assert [p["kbps"] for p in points] == sorted((p["kbps"] for p in points), reverse=True)
    better, plain = measured["points"]["streamed int8"], measured["points"]["lanczos"]
    for ours, theirs in zip(better, plain):
        assert ours["kbps"] == theirs["kbps"]
        assert ours["psnr_y_db"] == pytest.approx(theirs["psnr_y_db"] + 6, abs=0.3)
    assert measured["bd_rate"].keys() == {
        "streamed int8 over lanczos",
        f"streamed int8 over {FULL}",
        f"lanczos over {FULL}",
    }
    for by_metric in measured["bd_rate"].values():
        for one in by_metric.values():
            assert ("percent" in one) != ("reason" in one)
    json.dumps(found)
    table = bdrate_table(found)
    assert "streamed int8 over lanczos" in table and "libx264 VMAF-NEG" in table

    pytest.importorskip("matplotlib", reason="matplotlib draws the plots")
    (path,) = plot_rates(found, tmp_path / "plots")
    assert path.name == "drift.png" and path.read_bytes().startswith(b"\x89PNG")


def test_video_is_told_by_level_method_and_frame_type(
    clip: Footage, tmp_path: Path, without_ffmpeg: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "CODECS", {"libx264": (26,)})
    found = measure_video([clip], [conventional("bicubic", 2), _ours(2)], 2, 1, tmp_path)
    level = found["temporal"]["libx264 crf 26"]
    assert level["bicubic"]["i_frame_pulse_db"] == 0
    assert set("IP") <= level["streamed int8"]["psnr_y_db"].keys()
    assert level["streamed int8"]["difference_psnr_db"] > level["bicubic"]["difference_psnr_db"] + 4
    assert found["vmaf_neg"]["libx264 crf 26"]["bicubic"].keys() == {"mean", "harmonic_mean", "percentile_5"}
    json.dumps(found)
    assert "libx264 crf 26" in video_tables(found)


def test_without_clips_the_tables_say_so(tmp_path: Path) -> None:
    assert "no clip" in bdrate_table(measure_bdrate([], [], 2, 1, tmp_path))
    assert "no clip" in video_tables(measure_video([], [], 2, 1, tmp_path))


def test_only_integer_variants_for_streams_and_filters_are_measured_on_the_clips_given(
    tmp_path: Path, without_ffmpeg: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "CODECS", {"libx264": (26,)})
    path = tmp_path / "own.mkv"
    path.write_bytes(encode([f.astype(np.uint8) for f in _frames()], "libx264", 20, 8, 24))
    ours = _ours(2)
    others = [replace(ours, name="clean int8", content="clean"), replace(ours, name="peer", role="peer")]
    compared = [conventional("bicubic", 2), *others, ours]
    found = measure_streams(compared, 2, 1, [], tmp_path, Options(video=True, clips=(path,)))
    assert found["video_frames"] == {"own.mkv": 16} and "bdrate" not in found
    assert found["temporal"]["libx264 crf 26"].keys() == {"bicubic", "streamed int8"}
    assert len(stream_tables(found)) == 1
    assert measure_streams(compared, 2, 1, [], tmp_path, Options()) == {}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--clip", "x.mkv"], "--clip needs --video or --bdrate"),
        (["--video", "--plots", "plots"], "--plots needs --bdrate"),
        (["--no-dataset"], "--no-dataset needs --pictures, --video or --bdrate"),
    ],
)
def test_flags_without_what_they_belong_to_are_refused(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "recipe.toml", *flags]) == 2
    assert said in capsys.readouterr().err
