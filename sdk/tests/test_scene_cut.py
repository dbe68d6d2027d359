"""Cuts are found where they are, and not in motion, noise or fades."""

from __future__ import annotations

import numpy as np
import pytest

from lumavox._scene_cut import SceneCut
from lumavox.picture import Frame, PixelFormat

HEIGHT, WIDTH = 144, 256


def scene(seed: int, shift: int = 0) -> np.ndarray:
    """A landscape of soft hills, of its own brightness, moved by some pixels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 40.0
    hills = sum(np.sin(a * (x + shift / 40) + b * y + c) for a, b, c in random.uniform(0.3, 3.0, (6, 3)))
    return np.clip(random.uniform(50, 200) + 14 * hills, 0, 255)


def frame(luma: np.ndarray, format: PixelFormat = PixelFormat.NV12) -> Frame:
    made = Frame.empty(format, luma.shape[1], luma.shape[0])
    shift = {PixelFormat.P010: 8, PixelFormat.I010: 2}.get(format, 0)
    for plane in made.planes:
        plane[...] = 128 << shift
    plane = made.planes[0]
    values = luma.astype(np.uint16) << shift
    plane[...] = values[..., None] if plane.ndim == 3 else values
    return made


def cuts(pictures, format: PixelFormat = PixelFormat.NV12) -> list[int]:
    detector = SceneCut()
    return [index for index, luma in enumerate(pictures) if detector.see(frame(luma, format))]


@pytest.mark.parametrize("format", list(PixelFormat))
def test_every_cut_between_different_scenes_is_found_in_every_format(format):
    pictures = [scene(number, shift) for number in (0, 1, 2, 5) for shift in range(0, 30, 3)]
    assert cuts(pictures, format) == [10, 20, 30]


def test_fast_motion_and_noise_are_no_cuts():
    random = np.random.default_rng(0)
    assert cuts([scene(3, shift) for shift in range(0, 600, 20)]) == []
    noisy = [np.clip(scene(3) + random.normal(0, 12, (HEIGHT, WIDTH)), 0, 255) for _ in range(20)]
    assert cuts(noisy) == []
    assert cuts([random.uniform(100, 160, (HEIGHT, WIDTH)) for _ in range(20)]) == []


def test_a_fade_to_black_is_no_cut():
    assert cuts([scene(4) * (1 - step / 40) for step in range(41)]) == []


def test_another_size_begins_a_scene():
    detector = SceneCut()
    assert not detector.see(frame(scene(0)))
    assert detector.see(frame(scene(0)[::2, ::2]))


def test_the_smallest_frame_is_possible():
    assert not SceneCut().see(frame(np.full((1, 1), 7)))
