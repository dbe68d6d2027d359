"""`lumavox.media`: pictures, and the preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from clips import Clip, make_clip
from lumavox.errors import OptionError, UnreadableMediaError, UnsupportedMediaError
from lumavox.media import enhance
from lumavox.resample_picture import enlarged_side
from media_fixtures import options


def _scene(height: int = 24, width: int = 40, channels: int = 3) -> np.ndarray:
    """A smooth coloured ramp."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [40 + 160 * x / width, 60 + 120 * y / height, 120 + 40 * np.sin(x / 9), 255 * (x > width / 2)]
    return np.squeeze(np.dstack(planes[:channels])).round().astype(np.uint8)


def _save(path: Path, image: np.ndarray, *options: Any) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, image, *options)[1].tobytes())
    return path


def _load(path: Path) -> Any:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_picture_doubles_and_keeps_its_colours(
    ending: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = _save(tmp_path / f"in.{ending}", _scene())
    report = enhance(source, tmp_path / f"out.{ending}", options(sr_path, de_path))
    before, after = _load(source), _load(tmp_path / f"out.{ending}")
    assert after.shape == (48, 80, 3)
    assert np.abs(cv2.resize(before, (80, 48)).astype(int) - after).mean() < 6
    assert report.picture is not None
    assert report.picture.frames == 1
    assert report.warnings == ()


@pytest.mark.parametrize("scale", [1.5, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5)])
def test_sizes_are_exactly_scaled(
    scale: float, size: tuple[int, int], tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = _save(tmp_path / "in.png", _scene(*size).reshape(*size, 3))
    enhance(source, tmp_path / "out.png", options(sr_path, de_path, scale=scale))
    assert _load(tmp_path / "out.png").shape == (*(enlarged_side(s, scale) for s in size), 3)


def test_grey_and_transparent_pictures_stay_so(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    grey = _save(tmp_path / "grey.png", _scene(channels=1))
    enhance(grey, tmp_path / "grey-out.png", options(sr_path, de_path))
    assert _load(tmp_path / "grey-out.png").shape == (48, 80)
    clear = _save(tmp_path / "clear.png", _scene(channels=4))
    enhance(clear, tmp_path / "clear-out.png", options(sr_path, de_path))
    alpha = _load(tmp_path / "clear-out.png")[:, :, 3]
    assert alpha.shape == (48, 80)
    assert (alpha[:, :38] == 0).all()
    assert (alpha[:, 44:] == 255).all()
    report = enhance(clear, tmp_path / "clear-out.jpg", options(sr_path, de_path))
    assert any("transparency" in w for w in report.warnings)


def test_sixteen_bits_become_eight_and_that_is_said(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    source = _save(tmp_path / "in.png", _scene().astype(np.uint16) * 257)
    report = enhance(source, tmp_path / "out.png", options(sr_path, de_path))
    assert any("16 bits" in w for w in report.warnings)
    assert np.abs(cv2.resize(_scene(), (80, 48)).astype(int) - _load(tmp_path / "out.png")).mean() < 6


@pytest.mark.skipif(not hasattr(cv2, "imencodeWithMetadata"), reason="this OpenCV keeps no metadata")
def test_the_orientation_stays_a_tag(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """Exif orientation 6 (turn right): the samples are not turned, and the tag comes out unchanged."""
    exif = np.frombuffer(
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00",
        np.uint8,
    )
    kind = [cv2.IMAGE_METADATA_EXIF]
    source = tmp_path / "in.jpg"
    source.write_bytes(cv2.imencodeWithMetadata(".jpg", _scene(), kind, [exif])[1].tobytes())
    enhance(source, tmp_path / "out.jpg", options(sr_path, de_path))
    data = np.fromfile(tmp_path / "out.jpg", np.uint8)
    image, kinds, blobs = cv2.imdecodeWithMetadata(data, flags=cv2.IMREAD_UNCHANGED)
    assert image.shape == (48, 80, 3)
    assert list(kinds) == kind
    assert bytes(blobs[0])[: len(exif)] == bytes(exif)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_truncated_picture_is_unreadable(ending: str, tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    whole = _save(tmp_path / f"whole.{ending}", _scene()).read_bytes()
    source = tmp_path / f"in.{ending}"
    source.write_bytes(whole[: len(whole) // 8])
    with pytest.raises(UnreadableMediaError, match=r"in\."):
        enhance(source, tmp_path / f"out.{ending}", options(sr_path, de_path))
    assert not (tmp_path / f"out.{ending}").exists()


def test_a_picture_too_large_for_the_format_is_refused_with_another(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """WebP holds 16383 pixels on a side."""
    source = _save(tmp_path / "in.png", np.zeros((2, 9000, 3), np.uint8))
    with pytest.raises(UnsupportedMediaError, match="png files hold larger"):
        enhance(source, tmp_path / "out.webp", options(sr_path, de_path))
    enhance(source, tmp_path / "out.png", options(sr_path, de_path))
    assert _load(tmp_path / "out.png").shape == (4, 18000, 3)


def test_an_8k_picture_is_enhanced(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    """7680 wide and a tenth as high, as its time is that of its pixels."""
    source = _save(tmp_path / "in.png", np.full((432, 7680), 90, np.uint8))
    enhance(source, tmp_path / "out.png", options(sr_path, de_path))
    assert _load(tmp_path / "out.png").shape == (864, 15360)


def test_a_picture_with_the_picture_part_off_is_refused(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    source = _save(tmp_path / "in.png", _scene())
    with pytest.raises(OptionError, match="nothing to do"):
        enhance(source, tmp_path / "out.png", options(sr_path, de_path, sr="off"))


def test_a_picture_is_not_written_as_video(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    source = _save(tmp_path / "in.png", _scene())
    with pytest.raises(UnsupportedMediaError, match=r"possible: \.png"):
        enhance(source, tmp_path / "out.mp4", options(sr_path, de_path))


def test_the_preview_of_a_video_has_crops_and_spectrograms(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    """Two panes for the picture, two for the sound, none of them empty."""
    source = make_clip(tmp_path / "in.mp4", Clip(size=(400, 240), pts=tuple(range(20)), seconds=0.8))
    enhance(source, tmp_path / "out.mp4", options(sr_path, de_path, preview=tmp_path / "p.png"))
    sheet = _load(tmp_path / "p.png")
    assert sheet.shape == (792, 1304, 3)
    for top in (28, 424):
        for left in (8, 656):
            assert sheet[top : top + 360, left : left + 640].std() > 5


@pytest.mark.parametrize("size", [(1, 1), (8, 300)])
def test_the_preview_of_a_picture_of_any_size_is_drawn(
    size: tuple[int, int], tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source = _save(tmp_path / "in.png", _scene(*size).reshape(*size, 3))
    enhance(source, tmp_path / "out.png", options(sr_path, de_path, preview=tmp_path / "p.png"))
    assert _load(tmp_path / "p.png").shape == (396, 1304, 3)
