"""The estimate of what video coding left in a picture."""

from __future__ import annotations

import numpy as np
import pytest

from lumavox.content import DECIDING_FRAMES, Chooser, estimate


def natural(rows: int = 200, columns: int = 300, seed: int = 0) -> np.ndarray:
    """Texture with sensor noise, no grid in it."""
    random = np.random.default_rng(seed)
    y, x = np.indices((rows, columns))
    picture = 128 + 50 * np.sin(x / 9) + 40 * np.cos(y / 11 + x / 31) + random.normal(0, 4, (rows, columns))
    return np.clip(picture, 0, 255).astype(np.uint8)


def coded(picture: np.ndarray, step: float = 40.0) -> np.ndarray:
    """The picture after an 8x8 DCT with one coarse quantizer: what a block codec does, at its simplest."""
    rows, columns = (side // 8 * 8 for side in picture.shape)
    k = np.arange(8)
    dct = (
        np.cos(np.pi * (2 * k[None, :] + 1) * k[:, None] / 16) * np.sqrt(np.where(k == 0, 1, 2) / 8)[:, None]
    )
    blocks = picture[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8).transpose(0, 2, 1, 3) - 128.0
    coefficients = np.rint(dct @ blocks @ dct.T / step) * step
    blocks = dct.T @ coefficients @ dct + 128
    out = blocks.transpose(0, 2, 1, 3).reshape(rows, columns)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_picture_and_its_coded_version_are_told_apart(seed):
    clean = natural(seed=seed)
    assert estimate(clean).content == "clean"
    streamed = estimate(coded(clean))
    assert streamed.content == "streamed"
    assert streamed.blockiness > 1.1


def test_ten_bit_pictures_get_the_estimate_of_their_upper_eight():
    clean = natural()
    assert estimate(clean.astype(np.uint16) << 2) == estimate(clean)


@pytest.mark.parametrize("size", [(1, 1), (8, 4000), (31, 31), (33, 47)])
def test_flat_and_tiny_pictures_are_taken_as_streamed(size):
    assert estimate(np.full(size, 17, np.uint8)).content == "streamed"


def test_a_stream_is_decided_by_its_first_frames_and_then_keeps_its_kind():
    chooser = Chooser()
    assert chooser.content == "streamed"
    for _ in range(DECIDING_FRAMES):
        assert not chooser.decided
        assert chooser.add(natural()) == "clean"
    assert chooser.decided
    assert chooser.add(coded(natural())) == "clean"
    assert f"{DECIDING_FRAMES} frame" in chooser.reason
