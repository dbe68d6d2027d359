"""The example clip and the scripts beside it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import soundfile as sf

from clips import Clip, frames_of, make_clip
from lumavox.media.facts import probe
from media_fixtures import options

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_clip_is_small_and_like_a_stream() -> None:
    facts = probe(EXAMPLES / "clip.mp4")
    assert (EXAMPLES / "clip.mp4").stat().st_size < 2_000_000
    assert facts.video is not None
    assert facts.audio is not None
    assert (facts.video.codec, facts.video.width, facts.video.height) == ("h264", 640, 360)
    assert (facts.audio.codec, facts.audio.rate_hz, facts.audio.channels) == ("aac", 48000, 2)
    assert facts.duration_s == pytest.approx(7, abs=0.1)


def test_every_source_of_the_clip_is_attributed() -> None:
    """Title, author, licence, origin and change, in one row per source that the script reads."""
    text = (EXAMPLES / "clip.ATTRIBUTION.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    script = _script("make_clip")
    assert len(rows) == len([script.SKATEBOARD, script.BUNNY, script.SPEECH, script.MUSIC, script.RAIN])
    assert all(
        len(row.split("|")) == 7 and all(cell.strip() for cell in row.split("|")[1:-1]) for row in rows
    )


def test_the_clip_can_be_composed_from_sources_of_these_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From small stand-ins: the sizes, rates and lengths fit, whatever is in them."""
    script = _script("make_clip")
    monkeypatch.setattr(script, "SKATEBOARD_FRAMES", 10)
    for name, codec, count in ((script.SKATEBOARD, "libx264", 12), (script.BUNNY, "libvpx-vp9", 4)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        make_clip(path, Clip(video=codec, audio=None, size=(768, 400), pts=tuple(range(count))))
    kinds = {".mp3": ("MP3", "MPEG_LAYER_III"), ".opus": ("OGG", "OPUS")}
    for name in (script.SPEECH, script.MUSIC, script.RAIN):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(2).standard_normal((12 * 48000, 1)) * 0.05
        format, subtype = kinds[path.suffix]
        sf.write(str(path), noise, 48000, format=format, subtype=subtype)
    monkeypatch.setattr(
        "sys.argv", ["make_clip.py", str(tmp_path), str(tmp_path), str(tmp_path / "clip.mp4")]
    )
    script.main()
    assert len(frames_of(tmp_path / "clip.mp4")) == 14
    facts = probe(tmp_path / "clip.mp4")
    assert facts.audio is not None
    assert facts.audio.duration_s == pytest.approx(14 / 25, abs=0.01)


def test_the_python_example_enhances_a_clip(
    tmp_path: Path, sr_path: Path, de_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    chosen = options(sr_path, de_path)
    report = _script("enhance_clip").main([str(source), str(tmp_path / "out.mp4")], chosen)
    assert report.picture is not None
    assert report.picture.frames == len(frames_of(tmp_path / "out.mp4"))
    assert "96 64" in capsys.readouterr().out
    frame = frames_of(tmp_path / "out.mp4")[3].to_ndarray(format="bgr24")
    assert cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).std() > 5


def test_the_python_example_ends_with_the_error_of_the_product(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot read"):
        _script("enhance_clip").main([str(tmp_path / "absent.mp4"), str(tmp_path / "out.mp4")])
