"""`lumavox.media`: stems beside the output, surround sound to stereo, the modes of the dialog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from lumavox.errors import OptionError, OutputError
from lumavox.media import EnhanceOptions, enhance
from media_fixtures import options

RATE_HZ = 48000


def _noise(channels: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((RATE_HZ, channels)).astype(np.float32) * 0.05


def test_stems_are_written_aligned_and_add_up(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    sf.write(str(tmp_path / "a.wav"), _noise(2), RATE_HZ, subtype="FLOAT")
    enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path, stems=tmp_path / "stems"))
    parts = [
        sf.read(str(tmp_path / "stems" / name), always_2d=True)[0]
        for name in ("dialog.flac", "background.flac")
    ]
    np.testing.assert_allclose(sum(parts), _noise(2), atol=1e-6)
    assert sorted(p.name for p in (tmp_path / "stems").iterdir()) == ["background.flac", "dialog.flac"]


def test_stems_of_a_job_that_fails_are_not_left_behind(
    tmp_path: Path, sr_path: Path, de_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lumavox.media import sound_file

    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(sound_file, "_write", full)
    sf.write(str(tmp_path / "a.wav"), _noise(2), RATE_HZ)
    with pytest.raises(OutputError):
        enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path, stems=tmp_path / "stems"))
    assert list((tmp_path / "stems").iterdir()) == []


def test_a_5_1_file_is_mixed_down_to_stereo(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    sf.write(str(tmp_path / "a.wav"), _noise(6), RATE_HZ, subtype="FLOAT")
    asked = options(sr_path, de_path, dialog="off", downmix_centre_db=0.0)
    report = enhance(tmp_path / "a.wav", tmp_path / "b.wav", asked)
    out, _ = sf.read(str(tmp_path / "b.wav"), always_2d=True)
    sound = _noise(6)
    left = sound[:, 0] + np.sqrt(0.5) * (sound[:, 2] + sound[:, 4])
    assert out.shape == (RATE_HZ, 2)
    np.testing.assert_allclose(out[:, 0], left, atol=1e-5)
    assert report.warnings == ()


def test_the_report_says_when_somebody_speaks(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """The network of the fixture takes everything for dialog."""
    sf.write(str(tmp_path / "a.wav"), _noise(1), RATE_HZ)
    report = enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path, night=True))
    assert report.sound is not None
    ((start, end),) = report.sound.speech_s
    assert 0 <= start < 0.2 < 0.9 < end <= 1.0
    assert report.to_json()["sound"]["speech_s"] == [[start, end]]


@pytest.mark.parametrize(
    "asked",
    [{"audiogram": "N9"}, {"adaptive": 99.0}, {"hold": "all"}, {"true_peak_dbtp": 1.0},
     {"downmix_centre_db": 20.0}, {"de": "off", "stems": Path("x")}],
)  # fmt: skip
def test_impossible_options_are_refused_before_any_work(asked: dict) -> None:
    with pytest.raises(OptionError):
        EnhanceOptions(**asked)


def test_a_mode_alone_is_reason_enough_to_enhance_the_sound() -> None:
    assert not EnhanceOptions(dialog="off").sound
    assert EnhanceOptions(dialog="off", night=True).sound
    assert EnhanceOptions(dialog="off", audiogram="N3").sound
