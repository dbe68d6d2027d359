"""The Upscaler on pictures of every kind, with a network of exactly known output (nearest neighbour)."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bundles
import tiny_models
from lumavox import _sr_network, _sr_plan, backends
from lumavox.errors import (
    BundleError,
    BundleTaskError,
    BundleVersionError,
    FrameError,
    InputError,
    OptionError,
)
from lumavox.picture import ColourTags, Frame, PixelFormat
from lumavox.resample_picture import resize_luma
from lumavox.video import Upscaler

NEAREST = {"op": "nearest", "scale": 2}
YUV = [f for f in PixelFormat if not f.packed_rgb]


def upscaler(folder, model=NEAREST, *, contents=("any",), dynamic=True, scale=None, content="auto", **fields):
    """An open Upscaler on a new virtual bundle."""
    path = bundles.sr_bundle(folder, model=model, contents=contents, dynamic=dynamic, **fields)
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


def nearest(plane: np.ndarray, scale: int = 2) -> np.ndarray:
    return plane.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with upscaler(tmp_path_factory.mktemp("plain")) as opened:
        yield opened


@given(st.sampled_from(YUV), st.integers(1, 70), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_luma_is_the_networks_own_at_every_format_and_size(plain, format, width, height):
    """Oracle: numpy's repeat, exact; sizes change from frame to frame. 10-bit samples keep all 10 bits."""
    frame = picture(format, width, height, seed=width)
    out = plain.process(frame)
    assert (out.format, out.width, out.height) == (format, 2 * width, 2 * height)
    assert (out.planes[0] == nearest(frame.planes[0])).all()
    assert [p.shape for p in out.planes] == list(format.plane_shapes(2 * width, 2 * height))
    assert plain.record().state == "active"


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
    """A flat colour comes back within 2 steps (a round trip through 8-bit YCrCb)."""
    frame = Frame.empty(format, *size)
    frame.planes[0][...] = (200, 120, 40)
    out = plain.process(frame)
    assert out.planes[0].shape == (2 * size[1], 2 * size[0], 3)
    assert np.abs(out.planes[0].astype(int) - (200, 120, 40)).max() <= 2


def test_rgb_and_bgr_are_each_others_mirror(plain):
    rgb = picture(PixelFormat.RGB24, 40, 30)
    bgr = Frame.wrap(PixelFormat.BGR24, 40, 30, [np.ascontiguousarray(rgb.planes[0][..., ::-1])])
    a, b = plain.process(rgb).planes[0], plain.process(bgr).planes[0]
    assert np.abs(a.astype(int) - b[..., ::-1].astype(int)).max() <= 1


@pytest.mark.parametrize("format", [PixelFormat.P010, PixelFormat.I010])
@pytest.mark.parametrize("offset", [0, 3])
def test_a_slow_ten_bit_gradient_has_no_bands(tmp_path, format, offset):
    """Each 10-bit level of a ramp of one level per 4 pixels comes out, in order; an 8-bit path would give
    a quarter of them. ``offset`` is a network that adds 3 eight-bit steps, which is 12 ten-bit ones."""
    golden = {"luma": np.zeros((1, 8, 8, 1), np.int8)}
    golden["enlarged"] = np.full((1, 16, 16, 1), offset, np.int8)
    shift = 6 if format is PixelFormat.P010 else 0
    frame = Frame.empty(format, 800, 2)
    levels = 400 + np.arange(800) // 4
    for plane in frame.planes:
        plane[...] = 512 << shift
    frame.planes[0][...] = levels << shift
    with upscaler(tmp_path, NEAREST | {"offset": offset}, golden=golden) as opened:
        row = opened.process(frame).planes[0][0] >> shift
    assert (row == levels.repeat(2) + 4 * offset).all()
    assert len(np.unique(row)) == 200


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


@given(st.integers(1, 20000), st.integers(1, 40000), st.integers(0, 20))
@settings(max_examples=80, deadline=None)
def test_bands_of_a_large_picture_are_bounded(width, height, overlap):
    plan = _sr_plan.plan_dynamic(height, width, overlap)
    assert plan.tile_height * width <= max(_sr_plan.MAX_TILE_PIXELS, width * (2 * overlap + 1))
    assert plan.rows[-1].keep_stop == height
    assert all(span.stop - span.start == plan.tile_height for span in plan.rows)


@pytest.mark.parametrize("size", [(8, 8), (3, 5), (8, 20), (31, 9)])
def test_a_network_of_fixed_size_is_padded_and_tiled(tmp_path, size):
    """An 8x8 network with a receptive field of 5 on smaller, wider and larger pictures; exact."""
    front_end = {"scale": 2, "plane": "luma", "bit_depth": 8, "receptive_field": 5}
    path = bundles.write_bundle(
        tmp_path / "fixed",
        id="sr/fixed",
        version="0.1.0",
        provenance=bundles.Provenance(),
        card=bundles.CARD,
        front_end=front_end,
        variants=[variant := bundles.sr_variant(dynamic=False)],
        files={variant.file: b'{"op": "nearest"}', variant.golden.file: _golden()},
        key=bundles.signing_key(),
        delay_frames=0,
    )
    frame = picture(PixelFormat.I420, *size)
    with Upscaler.open(path, trusted_keys=bundles.trusted()) as opened:
        assert (opened.process(frame).planes[0] == nearest(frame.planes[0])).all()
        assert opened.record().frames_enhanced == 1


def _golden() -> bytes:
    luma = np.arange(64, dtype=np.int8).reshape(1, 8, 8, 1)
    return bundles.npz(luma=luma, enlarged=luma.repeat(2, axis=1).repeat(2, axis=2))


def test_a_large_picture_goes_through_in_bands(plain, monkeypatch):
    """The limit is lowered, so that a small picture is a large one; exact."""
    monkeypatch.setattr(_sr_plan.plan_dynamic, "__defaults__", (600,))
    frame = picture(PixelFormat.NV12, 50, 100)
    assert (plain.process(frame).planes[0] == nearest(frame.planes[0])).all()
    assert plain._chains["any"].networks[0]._plan.tile_height == 12


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


@pytest.mark.parametrize(("scale", "passes"), [(1.5, 1), (3, 2), (4, 2)])
def test_other_scales_are_passes_and_a_conventional_step(tmp_path, scale, passes):
    """Oracle: nearest neighbour to the next power, then the conventional filter; exact."""
    frame = picture(PixelFormat.NV12, 33, 21)
    with upscaler(tmp_path, scale=scale) as opened:
        out = opened.process(frame)
        assert f"x{scale:g}: {passes} pass" in opened.reason
    assert (out.width, out.height) == (round(33 * scale), round(21 * scale))
    wanted = np.empty((out.height, out.width), np.uint8)
    resize_luma(nearest(frame.planes[0], 2**passes), wanted)
    assert (out.planes[0] == wanted).all()


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
