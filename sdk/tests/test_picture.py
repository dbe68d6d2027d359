"""Frames: described memory, checked when built; and the conventional filters that enlarge them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import FrameError
from lumavox.picture import MAX_SIDE, ColourTags, Frame, PixelFormat
from lumavox.resample_picture import ChromaResizer, PlaneResizer, cell_of, enlarged_side

sides = st.integers(1, 40)


@given(st.sampled_from(PixelFormat), sides, sides)
@settings(max_examples=40, deadline=None)
def test_wrapping_never_copies_and_keeps_strides(format, width, height):
    buffers = [
        np.zeros((s[0] + 3, s[1] + 5, *s[2:]), format.dtype) for s in format.plane_shapes(width, height)
    ]
    planes = [b[1 : 1 + s[0], : s[1]] for b, s in zip(buffers, format.plane_shapes(width, height))]
    frame = Frame.wrap(format, width, height, planes)
    for plane, buffer in zip(frame.planes, buffers):
        plane[...] = 7
        assert np.shares_memory(plane, buffer)
    twin = frame.copy()
    assert not any(np.shares_memory(a, b) for a, b in zip(frame.planes, twin.planes))
    assert all((a == b).all() for a, b in zip(frame.planes, twin.planes))


def test_chroma_sizes_of_odd_pictures_are_rounded_up():
    assert PixelFormat.NV12.plane_shapes(5, 3) == ((3, 5), (2, 3, 2))
    assert PixelFormat.I010.plane_shapes(1, 1) == ((1, 1), (1, 1), (1, 1))


def test_an_interleaved_plane_of_two_dimensions_is_taken_as_a_view():
    y, uv = np.zeros((4, 6), np.uint8), np.zeros((2, 16), np.uint8)
    frame = Frame.wrap(PixelFormat.NV12, 6, 4, (y, uv[:, :6]))
    assert frame.planes[1].shape == (2, 3, 2)
    assert np.shares_memory(frame.planes[1], uv)


Y, UV = np.zeros((4, 6), np.uint8), np.zeros((2, 3, 2), np.uint8)


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ((Y,), "has 2 plane.s., got 1"),
        ((Y, UV.astype(np.uint16)), "plane 1 must be uint8, got uint16"),
        ((Y[:3], UV), r"plane 0 must have shape \(4, 6\), got \(3, 6\)"),
        ((Y, UV[..., 0]), r"plane 1 must have shape \(2, 3, 2\), got \(2, 3\)"),
        ((np.zeros((4, 12), np.uint8)[:, ::2], UV), "adjacent"),
        ((Y[::-1], UV), "flipped"),
        ((Y.tolist(), UV), "numpy array, got list"),
    ],
)
def test_a_wrong_plane_is_named_with_what_was_wanted_and_what_came(planes, message):
    with pytest.raises(FrameError, match=message):
        Frame.wrap(PixelFormat.NV12, 6, 4, planes)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4), (MAX_SIDE + 1, 1)])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(FrameError, match="each side must be"):
        Frame.empty(PixelFormat.GRAY8, *size)


def test_an_unknown_format_or_range_is_refused():
    with pytest.raises(FrameError, match="known: NV12"):
        Frame.empty("yuy2", 2, 2)
    with pytest.raises(FrameError, match="limited"):
        ColourTags(range="studio")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (30, 47)])
def test_luma_is_written_into_the_rows_given_whatever_their_stride(dtype, size):
    """A constant stays that constant, exactly, and nothing beside the target is touched."""
    source = np.full(size, 200, dtype)
    buffer = np.zeros((2 * size[0], 2 * size[1] + 7), dtype)
    PlaneResizer(size, (2 * size[0], 2 * size[1]), 2).resize(source, buffer[:, : 2 * size[1]])
    assert (buffer[:, : 2 * size[1]] == 200).all()
    assert not buffer[:, 2 * size[1] :].any()


def test_an_overshoot_of_ten_bit_luma_stays_within_ten_bits():
    source = np.zeros((8, 8), np.uint16)
    source[:, 4:] = 1023
    out = np.empty((16, 16), np.uint16)
    PlaneResizer((8, 8), (16, 16), 2).resize(source, out)
    assert out.max() == 1023


@pytest.mark.parametrize("filter", ["resize", "linear"])
@pytest.mark.parametrize("scale", [1.5, 1.25, 2.249, 3])
@pytest.mark.parametrize(("rows", "columns"), [(32, 48), (33, 47), (31, 49)])
def test_planes_of_any_size_are_enlarged_by_exactly_the_scale(filter, scale, rows, columns):
    """Oracle: the ramp where the output's pixel centres lie; 1 of 1023 steps for rounding. A scale of many
    digits may stretch the last pixels by half an output pixel (here 4 steps)."""
    ramp = 100 + 8 * (np.arange(columns) + 0.5) + 6 * (np.arange(rows)[:, None] + 0.5)
    out = np.empty((enlarged_side(rows, scale), enlarged_side(columns, scale)), np.uint16)
    getattr(PlaneResizer((rows, columns), out.shape, scale), filter)(np.rint(ramp).astype(np.uint16), out)
    x, y = ((np.arange(n) + 0.5) / scale for n in out.shape[::-1])
    error = out - (100 + 8 * x + 6 * y[:, None])
    assert np.abs(error[8:-8, 8:-8]).max() <= (1 if cell_of(scale) else 5)


def test_a_side_is_rounded_to_whole_pixels_and_a_half_upwards():
    assert [enlarged_side(n, 1.5) for n in (1, 2, 3, 4, 5, 1081)] == [2, 3, 5, 6, 8, 1622]
    assert [enlarged_side(n, 2) for n in (1, 7)] == [2, 14]
    assert [cell_of(s) for s in (1.5, 2, 0.75, 4 / 3, 2.249)] == [(2, 3), (1, 2), (4, 3), (3, 4), None]


@pytest.mark.parametrize("scale", [1.5, 2, 3])
@pytest.mark.parametrize("width", range(1, 14))
def test_chroma_is_of_the_size_that_the_enlarged_picture_needs(scale, width):
    source = np.full(((width + 1) // 2, (width + 1) // 2, 2), 77, np.uint8)
    side = enlarged_side(width, scale)
    out = np.zeros(((side + 1) // 2, (side + 1) // 2, 2), np.uint8)
    ChromaResizer(width, width, side, side, scale).resize(source, out)
    assert (out == 77).all()


@pytest.mark.parametrize("scale", [1.5, 2, 3])
@pytest.mark.parametrize(("width", "height"), [(64, 32), (65, 33)])
def test_chroma_keeps_its_place_on_the_left_of_its_luma(scale, width, height):
    """A ramp that is linear in the luma position (left-sited columns, rows in between) stays that ramp.

    Oracle: the ramp evaluated where the enlarged chroma samples sit. Tolerance 1 step for rounding twice;
    a centre-aligned filter would be off by 2 to 4 steps.
    """
    slope_x, slope_y = 12, 3  # steps per source luma pixel
    ch, cw = (height + 1) // 2, (width + 1) // 2
    ramp = 30 + slope_x * 2 * np.arange(cw) + slope_y * (2 * np.arange(ch)[:, None] + 0.5)
    out_width, out_height = enlarged_side(width, scale), enlarged_side(height, scale)
    out = np.empty(((out_height + 1) // 2, (out_width + 1) // 2), np.uint16)
    resizer = ChromaResizer(width, height, out_width, out_height, scale)
    resizer.resize(np.round(ramp).astype(np.uint16), out)
    x = (2 * np.arange(out.shape[1]) + 0.5) / scale - 0.5
    y = (2 * np.arange(out.shape[0])[:, None] + 1.0) / scale - 0.5
    error = out - (30 + slope_x * x + slope_y * y)
    assert np.abs(error[4:-4, 4:-4]).max() <= 1.0
