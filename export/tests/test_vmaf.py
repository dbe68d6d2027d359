"""VMAF of made sequences: as many scores as frames, near 100 for no difference, NEG blind to contrast."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lumavox.errors import MissingExtraError, OptionError
from lumavox_export.evaluation import vmaf as module
from lumavox_export.evaluation.vmaf import VmafError, VmafScores, vmaf

Luma = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _look_again() -> Iterator[None]:
    """The ffmpeg that was found is remembered; tests here change what there is to find."""
    module._ffmpeg.cache_clear()
    yield
    module._ffmpeg.cache_clear()


@pytest.fixture
def needs_ffmpeg() -> None:
    try:
        module._ffmpeg()
    except (MissingExtraError, VmafError) as error:
        pytest.skip(str(error))


def _clip(frames: int = 5, height: int = 144, width: int = 176) -> list[Luma]:
    """A soft texture that drifts."""
    rng = np.random.default_rng(0)
    wide = rng.uniform(0, 255, (height + 16, width + 16 + frames))
    for _ in range(2):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1) + np.roll(wide, (1, 1), (0, 1))) / 4
    wide = np.clip((wide - 128) * 2 + 128, 16, 235)
    return [wide[8 : 8 + height, 8 + i : 8 + i + width].astype(np.uint8) for i in range(frames)]


def _blurred(frames: list[Luma], gain: float) -> list[Luma]:
    """``gain`` > 0 sharpens, < 0 blurs."""
    out = []
    for frame in frames:
        picture = frame.astype(np.float64)
        soft = sum(np.roll(picture, step, axis) for axis in (0, 1) for step in (-1, 1)) / 4
        out.append(np.clip(np.rint(picture + gain * (picture - soft)), 0, 255).astype(np.uint8))
    return out


def test_every_frame_is_scored_once_and_no_difference_scores_near_the_top(needs_ffmpeg: None) -> None:
    clip = _clip()
    scores = vmaf(clip, clip, ("vmaf", "vmaf_neg"))
    assert scores.keys() == {"vmaf", "vmaf_neg"}
    assert all(len(s.per_frame) == len(clip) for s in scores.values())
    assert min(scores["vmaf_neg"].per_frame) > 95


def test_more_contrast_raises_vmaf_and_not_neg(needs_ffmpeg: None) -> None:
    """What NEG is for: the clip is softened, then its contrast is raised, which brings no detail back."""
    clip = [(128 + (frame.astype(np.float64) - 128) * 0.3).astype(np.uint8) for frame in _clip()]
    soft = _blurred(clip, -0.4)
    raised = [np.rint(128 + (frame.astype(np.float64) - 128) * 1.25).astype(np.uint8) for frame in soft]
    before, after = (vmaf(c, clip, ("vmaf", "vmaf_neg")) for c in (soft, raised))
    assert before["vmaf"].mean < 95
    assert after["vmaf"].mean - before["vmaf"].mean > 3 + after["vmaf_neg"].mean - before["vmaf_neg"].mean


def test_a_bad_frame_is_found_at_its_place(needs_ffmpeg: None) -> None:
    """Pairs are frame by frame: the estimate is not shifted against the truth."""
    clip = _clip()
    estimate = list(clip)
    estimate[3] = _blurred([clip[3]], -0.9)[0]
    scores = vmaf(estimate, clip)["vmaf_neg"].per_frame
    assert int(np.argmin(scores)) == 3
    assert min(s for i, s in enumerate(scores) if i not in (3, 4)) > 95


def test_odd_sizes_are_scored_alike(needs_ffmpeg: None) -> None:
    clip = _clip(3)
    soft = _blurred(clip, -0.5)
    even = vmaf(soft, clip)["vmaf_neg"].mean
    odd = vmaf([s[:-1, :-1] for s in soft], [c[:-1, :-1] for c in clip])["vmaf_neg"]
    assert len(odd.per_frame) == 3
    assert odd.mean == pytest.approx(even, abs=1.0)


def test_scores_are_kept_by_the_digest_of_the_pictures(
    needs_ffmpeg: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = _clip(3)
    first = vmaf(clip, clip, cache=tmp_path)
    monkeypatch.setattr(module, "_run", lambda *_: pytest.fail("scored again"))
    assert vmaf(clip, clip, cache=tmp_path) == first
    with pytest.raises(pytest.fail.Exception):
        vmaf(clip[::-1], clip, cache=tmp_path)


def test_pooling_is_that_of_libvmaf() -> None:
    scores = VmafScores((80.0, 90.0, 0.0))
    assert scores.mean == pytest.approx(170 / 3)
    assert scores.harmonic_mean == pytest.approx(3 / (1 / 81 + 1 / 91 + 1) - 1)
    assert VmafScores(tuple(float(n) for n in range(101))).percentile_5 == pytest.approx(5)


def test_sequences_of_unequal_length_size_or_type_are_refused() -> None:
    clip = _clip(3)
    for wrong in (clip[:2], [c[:-2] for c in clip], [c.astype(np.float32) for c in clip], []):
        with pytest.raises(VmafError, match="equal length"):
            vmaf(wrong, clip)


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'vmaf_neg'"):
        vmaf(_clip(1), _clip(1), ("vmaf_ng",))


def test_without_the_package_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"lumavox\[export\]"):
        vmaf(_clip(1), _clip(1))


def test_an_ffmpeg_without_libvmaf_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="its environment variable is what is tested")
    plain = tmp_path / "ffmpeg"
    plain.write_text("#!/bin/sh\necho ' .. scale V->V'\n")
    plain.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(plain))
    with pytest.raises(VmafError, match="built without libvmaf"):
        vmaf(_clip(1), _clip(1))
