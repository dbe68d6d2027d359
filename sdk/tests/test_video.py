"""The Upscaler on pictures of every kind, with a network of exactly known output (nearest neighbour)."""

from __future__ import annotations

import gc
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bundles
import tiny_models
from bundles import nearest
from lumavox import _sr_network, _sr_plan, backends
from lumavox._sr_ten_bit import THRESHOLD
from lumavox.errors import (
    BundleError,
    BundleTaskError,
    BundleVersionError,
    FrameError,
    InputError,
    OptionError,
)
from lumavox.picture import ColourTags, Frame, PixelFormat
from lumavox.resample_picture import PlaneResizer, enlarged_side
from lumavox.video import Upscaler

NEAREST = {"op": "nearest", "scale": 2}
YUV = [f for f in PixelFormat if not f.packed_rgb]


def upscaler(
    folder,
    model=NEAREST,
    *,
    contents=("any",),
    dynamic=True,
    scale=None,
    network_scale=2,
    content="auto",
    **fields,
):
    """An open Upscaler on a new virtual bundle."""
    path = bundles.sr_bundle(
        folder, model=model, contents=contents, dynamic=dynamic, scale=network_scale, **fields
    )
    return Upscaler.open(path, trusted_keys=bundles.trusted(), scale=scale, content=content)


def picture(format: PixelFormat, width: int, height: int, seed: int = 0) -> Frame:
    """A smooth picture with some noise, in memory with strides."""
    random = np.random.default_rng(seed)
    planes = []
    for shape in format.plane_shapes(width, height):
        y, x = np.indices(shape[:2])
        value = 0.5 + 0.3 * np.sin(x / 7 + seed) + 0.15 * np.cos(y / 5)
        value = value.reshape(shape[:2] + (1,) * (len(shape) - 2)) + random.normal(0, 0.01, shape)
        top = (1 << format.bit_depth) - 1
        buffer = np.zeros((shape[0] + 1, shape[1] + 4, *shape[2:]), format.dtype)
        plane = buffer[: shape[0], : shape[1]]
        plane[...] = np.clip(value * top, 0, top).astype(format.dtype) << (
            6 if format is PixelFormat.P010 else 0
        )
        planes.append(plane)
    return Frame.wrap(format, width, height, planes)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with upscaler(tmp_path_factory.mktemp("plain")) as opened:
        yield opened


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """x1.5, which takes even sizes only."""
    model = {"op": "nearest", "scale": 1.5}
    with upscaler(tmp_path_factory.mktemp("half"), model, network_scale=1.5) as opened:
        yield opened


EIGHT_BITS = [f for f in YUV if f.bit_depth == 8]


@given(st.sampled_from(EIGHT_BITS), st.integers(1, 70), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_luma_is_the_networks_own_at_every_format_and_size(plain, format, width, height):
    """Oracle: pixels repeated, exact; sizes change from frame to frame."""
    frame = picture(format, width, height, seed=width)
    out = plain.process(frame)
    assert (out.format, out.width, out.height) == (format, 2 * width, 2 * height)
    assert (out.planes[0] == nearest(frame.planes[0])).all()
    assert [p.shape for p in out.planes] == list(format.plane_shapes(2 * width, 2 * height))
    assert plain.record().state == "active"


@given(st.sampled_from(EIGHT_BITS), st.integers(1, 70), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_a_network_of_even_sizes_gives_one_and_a_half_of_any_size(half, format, width, height):
    """Odd sides are padded by their edge and the result is cut, exact; a half pixel is rounded up."""
    frame = picture(format, width, height, seed=width)
    out = half.process(frame)
    assert (out.width, out.height) == ((3 * width + 1) // 2, (3 * height + 1) // 2)
    assert (out.planes[0] == nearest(frame.planes[0], 1.5)).all()
    assert [p.shape for p in out.planes] == list(format.plane_shapes(out.width, out.height))
    assert half.record().state == "active"


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (62, 45)])
def test_the_conventional_picture_lies_over_the_enhanced_one(half, size):
    """A ramp at x1.5, odd sizes included: the same place to a quarter of an output pixel (2 steps), so that
    nothing jumps when the network misses a frame."""
    frame = Frame.empty(PixelFormat.I420, *size)
    frame.planes[0][...] = np.arange(size[0]) * 3 + np.arange(size[1])[:, None]
    for plane in frame.planes[1:]:
        plane[...] = 128
    half.process(frame)  # builds the surface
    out = np.empty((enlarged_side(size[1], 1.5), enlarged_side(size[0], 1.5)), np.uint8)
    half._surface.bypass(frame.planes[0], out)
    x, y = ((np.arange(n) + 0.5) / 1.5 - 0.5 for n in out.shape[::-1])
    assert np.abs(out - (3 * x + y[:, None]))[6:-6, 6:-6].max() <= 1


def ten_bit_oracle(source: np.ndarray, scale: float) -> np.ndarray:
    """In floating point: 10-bit anchor, and the residual of repeated 8-bit pixels, softened."""
    eight = np.minimum((source.astype(int) + 2) >> 2, 255)
    residual = 4.0 * nearest(eight, scale) - linear(4 * eight, scale)
    size = np.abs(residual)
    kept = np.where(size <= THRESHOLD, 0, np.where(size >= 2 * THRESHOLD, size, 2 * (size - THRESHOLD)))
    return np.clip(linear(source, scale) + np.sign(residual) * kept, 0, 1023)


def linear(plane: np.ndarray, scale: float) -> np.ndarray:
    """Bilinear enlargement by exactly ``scale``, edges repeated, cut to the enlarged size."""
    sampled = plane.astype(float)
    for axis, side in enumerate(plane.shape):
        places = np.clip((np.arange(enlarged_side(side, scale)) + 0.5) / scale - 0.5, 0, side - 1)
        shape = (-1, 1) if axis == 0 else (1, -1)
        low, part = np.floor(places).astype(int), (places % 1).reshape(shape)
        high = np.minimum(low + 1, side - 1)
        sampled = sampled.take(low, axis) * (1 - part) + sampled.take(high, axis) * part
    return sampled


@given(st.sampled_from([PixelFormat.P010, PixelFormat.I010]), st.sampled_from([1.5, 2]),
       st.integers(1, 70), st.integers(1, 50))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_ten_bit_luma_is_the_anchor_and_what_the_network_adds(plain, half, format, scale, width, height):
    """Within 1 level of the same in floating point, at every size."""
    frame = picture(format, width, height, seed=height)
    shift = 6 if format is PixelFormat.P010 else 0
    out = (plain if scale == 2 else half).process(frame).planes[0]
    assert (out & ((1 << shift) - 1) == 0).all()
    assert np.abs((out >> shift) - ten_bit_oracle(frame.planes[0] >> shift, scale)).max() <= 1


@pytest.mark.parametrize("format", YUV[:4])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (31, 19)])
def test_flat_chroma_stays_flat(plain, format, size):
    frame = picture(format, *size)
    for plane in frame.planes[1:]:
        plane[...] = 300 << 6 if format is PixelFormat.P010 else 120
    out = plain.process(frame)
    for plane, before in zip(out.planes[1:], frame.planes[1:]):
        assert (plane == before.flat[0]).all()


@pytest.mark.parametrize("format", [PixelFormat.RGB24, PixelFormat.BGR24])
@pytest.mark.parametrize("size", [(1, 1), (33, 20)])
def test_rgb_keeps_its_colours(plain, format, size):
    """A flat colour comes back as it was: what luma's rounding takes from it, the anchor has lost as well."""
    frame = Frame.empty(format, *size)
    frame.planes[0][...] = (200, 120, 40)
    out = plain.process(frame)
    assert out.planes[0].shape == (2 * size[1], 2 * size[0], 3)
    assert (out.planes[0] == (200, 120, 40)).all()


def test_rgb_is_the_enlarged_colours_and_what_the_network_adds_in_luma(plain):
    """Against the formula in floating point; the network repeats pixels of luma, rounded to bytes."""
    frame = picture(PixelFormat.RGB24, 24, 16)
    rgb = frame.planes[0].astype(np.float64)
    luma = np.rint(16 + rgb @ [65.481 / 255, 128.553 / 255, 24.966 / 255])

    def bicubic(plane):
        return cv2.resize(plane, (48, 32), interpolation=cv2.INTER_CUBIC)

    over = (luma.repeat(2, 0).repeat(2, 1) - bicubic(luma)) * 255 / 219
    expected = np.clip(bicubic(rgb) + over[..., None], 0, 255)
    # A half by the last rounding; the rest by enlargements kept to 1/16 level.
    assert np.abs(plain.process(frame).planes[0] - expected).max() <= 0.5 + 3 / 16


def test_rgb_and_bgr_are_each_others_mirror(plain):
    rgb = picture(PixelFormat.RGB24, 40, 30)
    bgr = Frame.wrap(PixelFormat.BGR24, 40, 30, [np.ascontiguousarray(rgb.planes[0][..., ::-1])])
    a, b = plain.process(rgb).planes[0], plain.process(bgr).planes[0]
    assert np.abs(a.astype(int) - b[..., ::-1].astype(int)).max() <= 1


@pytest.mark.parametrize("format", [PixelFormat.P010, PixelFormat.I010])
@pytest.mark.parametrize("network", ["plain", "half"])
@pytest.mark.parametrize("slope", [1 / 16, 1 / 4, 1])
def test_a_slow_ten_bit_gradient_has_no_bands(request, network, format, slope):
    """Levels rise by ``slope`` per pixel; the network repeats 8-bit pixels, so its own result is a staircase.

    Against the ideal enlarged ramp: never more than 1 level off, never a step back, no run of equal levels
    longer than the ideal one plus 2 (the input's own rounding), and as many levels. The 8-bit result has a
    quarter of the levels.
    """
    opened = request.getfixturevalue(network)
    shift = 6 if format is PixelFormat.P010 else 0
    frame = Frame.empty(format, 640, 4)
    for plane in frame.planes:
        plane[...] = 512 << shift
    levels = 200 + slope * np.arange(640)
    frame.planes[0][...] = np.rint(levels).astype(np.uint16) << shift
    row = (opened.process(frame).planes[0][2] >> shift).astype(int)[6:-6]
    ideal = np.rint(200 + slope * ((np.arange(enlarged_side(640, opened.scale)) + 0.5) / opened.scale - 0.5))
    ideal = ideal.astype(int)[6:-6]
    assert np.abs(row - ideal).max() <= 1
    assert (np.diff(row) >= 0).all()
    assert longest_run(row) <= longest_run(ideal) + 2
    assert abs(len(np.unique(row)) - len(np.unique(ideal))) <= 1
    eight = nearest(frame.planes[0] >> shift >> 2, opened.scale)[2][6:-6]
    assert len(np.unique(eight)) <= len(np.unique(row)) // 4 + 2
    assert longest_run(eight) >= 3 * longest_run(row) or slope == 1


def longest_run(row: np.ndarray) -> int:
    """The most samples in a row that are equal."""
    edges = np.flatnonzero(np.diff(row))
    return int(np.diff(np.concatenate([[-1], edges, [len(row) - 1]])).max())


def test_an_offset_of_the_network_beyond_its_rounding_is_kept_in_ten_bits(tmp_path):
    """3 eight-bit steps brighter is 12 levels brighter, on a ramp, within 1 level of rounding."""
    golden = {"luma": np.zeros((1, 8, 8, 1), np.int8), "enlarged": np.full((1, 16, 16, 1), 3, np.int8)}
    frame = Frame.empty(PixelFormat.I010, 200, 2)
    frame.planes[0][...] = 400 + np.arange(200) // 4
    with upscaler(tmp_path, NEAREST | {"offset": 3}, golden=golden) as opened:
        row = opened.process(frame).planes[0][0].astype(int)
    assert np.abs(row - 12 - linear(frame.planes[0], 2)[0]).max() <= 1.5


def test_samples_beyond_ten_bits_are_clipped_not_wrapped(plain):
    frame = picture(PixelFormat.I010, 8, 8)
    frame.planes[0][...] = 5000
    assert (plain.process(frame).planes[0] == 1023).all()


def test_tags_and_time_travel_with_the_frame(plain):
    frame = picture(PixelFormat.NV12, 8, 8)
    frame.colour, frame.pts = ColourTags("limited", "bt2020nc", 9, "smpte2084"), 1234
    out = plain.process(frame)
    assert (out.colour, out.pts) == (frame.colour, 1234)


def test_a_frame_without_out_is_the_callers_own(plain):
    first = plain.process(picture(PixelFormat.NV12, 16, 16, seed=1))
    kept = first.copy()
    plain.process(picture(PixelFormat.NV12, 16, 16, seed=2))
    assert all((a == b).all() for a, b in zip(first.planes, kept.planes))


@pytest.mark.parametrize("format", PixelFormat)
def test_with_out_the_same_memory_is_filled_and_nothing_is_left_allocated(plain, format):
    """After the first frames no call allocates as much as a tenth of a luma plane, nor keeps anything.

    The virtual engine itself allocates when it runs; it is replaced by its last output.
    """
    frame, out = picture(format, 480, 320), Frame.empty(format, 960, 640)
    network = plain._chains["any"].networks[0]
    for _ in range(3):
        assert plain.process(frame, out) is out
    before = [p.copy() for p in out.planes]
    engine, network._engine = network._engine, _NoRun(network._engine)
    try:
        gc.collect()
        tracemalloc.start()
        plain.process(frame, out)
        start, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(20):
            plain.process(frame, out)
        end, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        network._engine = engine
    assert peak - start < 960 * 640 // 10
    assert end - start < 2000
    assert all((a == b).all() for a, b in zip(before, out.planes))


class _NoRun:
    """An engine whose output is already there."""

    def __init__(self, engine):
        self._engine = engine

    def run(self):
        pass

    def __getattr__(self, name):
        return getattr(self._engine, name)


def test_an_out_that_does_not_fit_is_refused(plain):
    frame = picture(PixelFormat.NV12, 16, 16)
    with pytest.raises(FrameError, match="out must be NV12 32x32, got NV12 16x16"):
        plain.process(frame, Frame.empty(PixelFormat.NV12, 16, 16))
    locked = Frame.empty(PixelFormat.NV12, 32, 32)
    locked.planes[0].flags.writeable = False
    with pytest.raises(FrameError, match="plane 0 is read-only"):
        plain.process(frame, locked)
    memory = np.zeros((32, 32), np.uint8)
    small = Frame.wrap(PixelFormat.GRAY8, 16, 16, [memory[:16, :16]])
    with pytest.raises(FrameError, match="shares memory"):
        plain.process(small, Frame.wrap(PixelFormat.GRAY8, 32, 32, [memory]))
    with pytest.raises(FrameError, match=r"takes a lumavox.Frame, got ndarray"):
        plain.process(memory)
    with pytest.raises(FrameError, match="at most 32767"):
        plain.process(Frame.empty(PixelFormat.GRAY8, 20000, 1))


@given(st.integers(1, 400), st.integers(1, 60), st.integers(0, 20))
@settings(max_examples=80, deadline=None)
def test_pieces_cover_a_length_once_and_keep_away_from_inner_edges(length, tile, overlap):
    if length > tile and tile <= 2 * overlap:
        with pytest.raises(ValueError, match="keep nothing"):
            _sr_plan.spans(length, tile, overlap)
        return
    position = 0
    for span in _sr_plan.spans(length, tile, overlap):
        assert span.keep_start == position
        position = span.keep_stop
        assert 0 <= span.start <= span.keep_start < span.keep_stop <= span.stop <= length
        assert span.stop - span.start == min(tile, length)
        assert span.start == 0 or span.keep_start - span.start >= overlap
        assert span.stop == length or span.stop - span.keep_stop >= overlap
    assert position == length


SIZES = st.integers(1, 20000), st.integers(1, 40000)


@given(*SIZES, st.integers(0, 20), st.sampled_from([1, 2, 3, 4]))
@settings(max_examples=80, deadline=None)
def test_bands_of_a_large_picture_are_bounded(width, height, overlap, multiple):
    plan = _sr_plan.plan_dynamic(height, width, overlap, multiple)
    width, height, overlap = (_sr_plan.up_to(n, multiple) for n in (width, height, overlap))
    assert plan.tile_height * width <= max(_sr_plan.MAX_TILE_PIXELS, width * (2 * overlap + multiple))
    assert plan.rows[-1].keep_stop == height
    assert plan.columns == (_sr_plan.Span(0, width, 0, width),)
    assert all(span.stop - span.start == plan.tile_height for span in plan.rows)
    assert on_the_grid(plan, multiple)


@given(*SIZES, st.integers(0, 12), st.sampled_from([1, 2, 3, 4]), st.integers(9, 40), st.integers(9, 40))
@settings(max_examples=80, deadline=None)
def test_tiles_of_a_fixed_size_lie_on_the_networks_grid(width, height, overlap, multiple, rows, columns):
    tile = rows * multiple, columns * multiple
    overlap = min(overlap, (min(tile) - multiple) // 2 // multiple * multiple)
    plan = _sr_plan.plan_fixed(height, width, *tile, overlap, multiple)
    assert (plan.tile_height, plan.tile_width) == tile
    assert plan.rows[-1].keep_stop == _sr_plan.up_to(height, multiple)
    assert plan.columns[-1].keep_stop == _sr_plan.up_to(width, multiple)
    assert on_the_grid(plan, multiple)


def on_the_grid(plan: _sr_plan.Plan, multiple: int) -> bool:
    places = [n for s in plan.rows + plan.columns for n in (s.start, s.stop, s.keep_start, s.keep_stop)]
    return not any(n % multiple for n in [*places, plan.tile_height, plan.tile_width])


@pytest.mark.parametrize("scale", [1.5, 2])
@pytest.mark.parametrize("size", [(8, 8), (3, 5), (8, 20), (31, 9)])
def test_a_network_of_fixed_size_is_padded_and_tiled(tmp_path, size, scale):
    """An 8x8 network with a receptive field of 5 on smaller, wider and larger pictures; exact."""
    frame, model = picture(PixelFormat.I420, *size), {"op": "nearest", "scale": scale}
    with upscaler(tmp_path, model, dynamic=False, network_scale=scale, receptive_field=5) as opened:
        assert (opened.process(frame).planes[0] == nearest(frame.planes[0], scale)).all()
        assert opened.record().frames_enhanced == 1


@pytest.mark.parametrize(("scale", "rows"), [(1.5, 12), (2, 11)])
def test_a_large_picture_goes_through_in_bands(plain, half, scale, rows, monkeypatch):
    """The limit is lowered, so that a small picture is a large one; exact."""
    monkeypatch.setattr(_sr_plan.plan_dynamic, "__defaults__", (1, 600))
    frame, opened = picture(PixelFormat.NV12, 50, 99), plain if scale == 2 else half
    assert (opened.process(frame).planes[0] == nearest(frame.planes[0], scale)).all()
    assert opened._chains["any"].networks[0]._plan.tile_height == rows


@pytest.fixture(scope="module", params=["litert", "ort"])
def reaching(request, tmp_path_factory):
    """A tiny real x1.5 network of random weights, that sees 5 cells of 2x2 pixels, on one of the engines."""
    return _opened_x1_5(request.param, tmp_path_factory.mktemp("x1.5"))


def _opened_x1_5(backend: str, folder) -> Upscaler:
    probe = backends.get(backend).probe()
    if not probe.usable:
        pytest.skip(probe.reason)
    if backend == "ort":
        pytest.importorskip("onnx", reason="writes the tiny model")
    path = tiny_models.bundle(folder, backend, tiny_models.HALF_MORE)
    return Upscaler.open(path, trusted_keys=bundles.trusted(), backend=backend)


@given(st.integers(1, 40), st.integers(1, 90), st.integers(300, 1200), st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=40, deadline=None)
def test_bands_of_a_network_that_reaches_far_have_no_seams(reaching, width, height, most, dtype):
    """Exactly the picture that it gives in one piece, at any size and limit."""
    network = reaching._chains["any"].networks[0]
    source = np.random.default_rng(height).integers(0, 256, (height, width)).astype(dtype)
    whole, pieces = (np.zeros([enlarged_side(n, 1.5) for n in source.shape], dtype) for _ in range(2))
    network._plan = None
    network.enlarge(source, whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sr_plan.plan_dynamic, "__defaults__", (1, most))
        network._plan = None
        network.enlarge(source, pieces)
    assert (pieces == whole).all()
    assert np.ptp(whole) > 0 or source.size < 4


def test_the_tiny_network_of_one_and_a_half_is_the_same_on_both_engines(tmp_path):
    """What int8 rounds, float does not: within 2 steps, half a step on average; padded sizes included."""
    results = []
    for backend in ("litert", "ort"):
        with _opened_x1_5(backend, tmp_path / backend) as opened:
            out = opened.process(picture(PixelFormat.GRAY8, 41, 27))
            assert (out.width, out.height) == (62, 41)
            assert opened.record().frames_enhanced == 1
            results.append(out.planes[0].astype(int))
    assert np.abs(results[0] - results[1]).max() <= 2
    assert np.abs(results[0] - results[1]).mean() <= 0.5


def test_an_8k_frame_goes_through_in_bands(plain):
    frame = Frame.empty(PixelFormat.GRAY8, 7680, 4320)
    frame.planes[0][...] = np.arange(4320, dtype=np.uint32)[:, None] // 17
    out = plain.process(frame)
    assert (out.planes[0][::7, ::1000] == nearest(frame.planes[0])[::7, ::1000]).all()
    assert plain.record().state == "active"
    assert len(plain._chains["any"].networks[0]._plan.rows) > 15


@pytest.mark.parametrize("backend", ["litert", "ort"])
@pytest.mark.parametrize("format", [PixelFormat.NV12, PixelFormat.P010, PixelFormat.BGR24])
def test_real_engines_give_what_the_virtual_one_gives(tmp_path, plain, backend, format):
    """A tiny int8 TFLite and a tiny float ONNX model that repeat pixels; exact, at two sizes in turn."""
    probe = backends.get(backend).probe()
    if not probe.usable:
        pytest.skip(probe.reason)
    if backend == "ort":
        pytest.importorskip("onnx", reason="writes the tiny model")
    path = tiny_models.bundle(tmp_path, backend)
    with Upscaler.open(path, trusted_keys=bundles.trusted(), backend=backend) as opened:
        for size in ((33, 20), (64, 48), (33, 20), (1, 1)):
            frame = picture(format, *size)
            out, wanted = opened.process(frame), plain.process(frame)
            assert all((a == b).all() for a, b in zip(out.planes, wanted.planes))
        assert opened.record().frames_bypassed == 0
        assert opened.record().ep_actual == opened.backend == backend


@pytest.mark.parametrize(("scale", "passes"), [(1.5, 1), (1.875, 1), (3, 2), (4, 2)])
def test_other_scales_are_passes_and_a_conventional_step(tmp_path, scale, passes):
    """Oracle: nearest neighbour to the next power, then the conventional filter by the rest; exact."""
    frame = picture(PixelFormat.NV12, 33, 21)
    with upscaler(tmp_path, scale=scale) as opened:
        out = opened.process(frame)
        assert f"x{scale:g}: {passes} pass" in opened.reason
    assert (out.width, out.height) == (enlarged_side(33, scale), enlarged_side(21, scale))
    reached, wanted = nearest(frame.planes[0], 2**passes), np.empty((out.height, out.width), np.uint8)
    PlaneResizer(reached.shape, wanted.shape, scale / 2**passes).resize(reached, wanted)
    assert (out.planes[0] == wanted).all()


def test_two_passes_of_one_and_a_half(tmp_path):
    frame, model = picture(PixelFormat.NV12, 33, 21), {"op": "nearest", "scale": 1.5}
    with upscaler(tmp_path, model, network_scale=1.5, scale=2.25) as opened:
        out = opened.process(frame)
    assert (out.width, out.height) == (74, 47)  # 74.25 and 47.25
    assert (out.planes[0] == nearest(nearest(frame.planes[0], 1.5), 1.5)[:47, :74]).all()


@pytest.mark.parametrize("scale", [0, 1, -2, 4.5, float("nan"), float("inf"), "2"])
def test_a_scale_out_of_reach_is_refused(tmp_path, scale):
    with pytest.raises(OptionError, match="above 1 and up to 4"):
        upscaler(tmp_path, scale=scale)


def test_wrong_bundles_and_options_are_refused(tmp_path, de_path):
    with pytest.raises(BundleTaskError):
        Upscaler.open(de_path, trusted_keys=bundles.trusted())
    with pytest.raises(BundleVersionError, match="one frame in, one out"):
        upscaler(tmp_path, name="temporal", delay_frames=2)
    with pytest.raises(OptionError, match="did you mean 'streamed'"):
        upscaler(tmp_path, content="streaming")
    with pytest.raises(BundleError, match="content"):
        upscaler(tmp_path, contents=("streamed",), content="clean")


@pytest.mark.parametrize("asked", ["clean", "streamed"])
def test_content_that_was_asked_for_is_used(tmp_path, asked):
    with upscaler(tmp_path, contents=("streamed", "clean"), content=asked) as opened:
        opened.process(picture(PixelFormat.NV12, 64, 64))
        assert opened.content == asked


def test_automatic_content_is_estimated_from_the_first_frames_and_said(tmp_path):
    flat, noisy = Frame.empty(PixelFormat.GRAY8, 64, 64), Frame.empty(PixelFormat.GRAY8, 64, 64)
    flat.planes[0][...] = np.arange(64) // 8 * 16  # blocks of one value
    noisy.planes[0][...] = np.random.default_rng(0).integers(0, 256, (64, 64))
    with upscaler(tmp_path, contents=("streamed", "clean")) as opened:
        assert opened.content == "auto"
        opened.process(flat)
        assert opened.content == "streamed"
        opened.reset()
        opened.process(noisy)
        assert opened.content == "clean"
        assert "below 0.35" in opened.reason


def test_a_closed_upscaler_says_so(tmp_path):
    opened = upscaler(tmp_path)
    opened.close()
    opened.close()
    assert opened.record().state == "off"
    with pytest.raises(InputError, match="closed"):
        opened.process(picture(PixelFormat.NV12, 8, 8))


def test_there_is_nothing_to_flush(plain):
    assert plain.flush() == []
    assert plain.delay_frames == 0


def test_float_networks_are_fed_zero_to_one_and_rounded(plain):
    """Bytes / 255 in, 255 * values out, saturated; NaN is an engine fault. Exact."""
    network = plain._chains["any"].networks[0]
    network._float = np.empty((1, 4), np.float32)
    got = network._to_bytes(np.array([[-0.2, 0.5, 1.3, 100.4 / 255]], np.float32))
    assert got.tolist() == [[0, 128, 255, 100]]
    with pytest.raises(_sr_network.EngineError, match="not finite"):
        network._to_bytes(np.array([[0.5, np.nan]], np.float32))
