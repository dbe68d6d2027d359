"""The Upscaler when the network cannot: a frame always comes out, and the record says how."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

import bundles
from lumavox._sr_guard import MAX_FAULTS_IN_ROW, implausible
from lumavox.deadline import DeadlineWorker
from lumavox.errors import EngineError, LumavoxError
from lumavox.picture import Frame, PixelFormat
from lumavox.resample_picture import PlaneResizer, enlarged_side
from lumavox.video import Upscaler

PATIENT_MS = 60_000.0  # a deadline that no test misses, however busy the machine


def opened(folder, *, deadline_ms=None, background=False, **script) -> Upscaler:
    path = bundles.sr_bundle(folder, model={"op": "nearest", "scale": 2} | script)
    return Upscaler.open(path, trusted_keys=bundles.trusted(), deadline_ms=deadline_ms, background=background)


@pytest.fixture
def frame() -> Frame:
    made = Frame.empty(PixelFormat.NV12, 64, 48)
    y, x = np.indices((48, 64))
    made.planes[0][...] = (x * 3 + y) % 256
    made.planes[1][...] = 90
    return made


def conventional(frame: Frame) -> np.ndarray:
    size = (2 * frame.width, 2 * frame.height)
    return np.asarray(cv2.resize(frame.planes[0], size, interpolation=cv2.INTER_CUBIC))


def enhanced(frame: Frame) -> np.ndarray:
    return frame.planes[0].repeat(2, axis=0).repeat(2, axis=1)


def ways(upscaler: Upscaler, frame: Frame, frames: int) -> str:
    """How each frame came out: "e"nhanced or "c"onventional; any other picture fails."""
    found = ""
    for _ in range(frames):
        out = upscaler.process(frame)
        assert (out.planes[1] == 90).all()  # chroma is there in any case
        if (out.planes[0] == enhanced(frame)).all():
            found += "e"
        else:
            assert (out.planes[0] == conventional(frame)).all()
            found += "c"
    return found


@pytest.mark.parametrize("deadline_ms", [None, PATIENT_MS])
@pytest.mark.parametrize("fault", ["fail_at", "nan_at", "black_at", "wrong_at"])
def test_a_fault_costs_one_frame_its_sharpness_and_nothing_else(tmp_path, frame, fault, deadline_ms):
    """All-maximum is what an integer network has in place of NaN."""
    with opened(tmp_path, deadline_ms=deadline_ms, **{fault: [2]}) as upscaler:
        assert ways(upscaler, frame, 1) == "e"
        assert ways(upscaler, frame, 1) == "c"
        record = upscaler.record()
        assert record.state == "degraded"
        assert record.state_reason
        assert record.errors == ("SR.E_ENGINE",)
        assert ways(upscaler, frame, 2) == "ee"
        record = upscaler.record()
        assert (record.state, record.state_reason) == ("active", None)
        assert (record.frames_in, record.frames_enhanced, record.frames_bypassed) == (4, 3, 1)
        assert record.frames_late == 0


def test_after_many_faults_in_a_row_the_network_is_given_up(tmp_path, frame):
    calls = list(range(1, 1 + MAX_FAULTS_IN_ROW))
    with opened(tmp_path, fail_at=calls) as upscaler:
        assert ways(upscaler, frame, MAX_FAULTS_IN_ROW + 3) == "c" * (MAX_FAULTS_IN_ROW + 3)
        record = upscaler.record()
        assert record.state == "failed"
        assert "given up after 5 faults in a row" in record.state_reason
        assert "scripted fault" in record.state_reason


def test_faults_that_are_not_in_a_row_never_end_it(tmp_path, frame):
    with opened(tmp_path, fail_every=2) as upscaler:
        assert ways(upscaler, frame, 20) == "ec" * 10


def test_an_error_of_any_class_is_a_fault_of_the_engine(tmp_path, frame, monkeypatch):
    with opened(tmp_path) as upscaler:
        engine = upscaler._chains["any"].networks[0]._engine
        monkeypatch.setattr(engine, "run", lambda: [].pop())
        assert ways(upscaler, frame, 1) == "c"
        assert "pop from empty list" in upscaler.record().state_reason


def test_a_late_frame_comes_out_conventionally_and_the_next_ones_pass_by_until_the_engine_is_back(
    tmp_path, frame
):
    """Call 2 hangs until the engine is closed: frame 2 is late, and frames 3 and 4 do not wait for it."""
    with opened(tmp_path, deadline_ms=1500.0, hang_at=[2], hang_ms=600_000) as upscaler:
        worker = upscaler._runner._worker
        upscaler.process(frame)
        assert ways(upscaler, frame, 1) == "c"
        record = upscaler.record()
        assert record.state == "degraded"
        assert "within 1500 ms" in record.state_reason
        assert "SR.E_DEADLINE" in record.errors
        late = record.frames_late
        assert ways(upscaler, frame, 2) == "cc"
        record = upscaler.record()
        assert (record.state, record.frames_late) == ("bypass", late)
        assert "still busy" in record.state_reason
        # The hung call comes back; what it computed is dropped, and the network is used again.
        engine = upscaler._chains["any"].networks[0]._engine
        engine._closed.set()
        assert worker._idle.wait(60)
        engine._closed.clear()
        assert ways(upscaler, frame, 1) in ("e", "c")  # in time, unless this machine took 1.5 s
    assert upscaler.record().frames_in == 5


def test_the_size_may_change_while_a_late_call_still_runs(tmp_path, frame):
    other = Frame.empty(PixelFormat.NV12, 30, 20)
    for plane in other.planes:
        plane[...] = 90
    with opened(tmp_path, deadline_ms=50.0, hang_at=[1], hang_ms=600_000) as upscaler:
        assert ways(upscaler, frame, 1) == "c"
        assert upscaler.process(other).width == 60
        assert ways(upscaler, frame, 1) == "c"
        upscaler._chains["any"].networks[0]._engine.close()  # let it go, so that closing need not wait


def test_with_a_deadline_the_callers_frame_may_be_reused_at_once(tmp_path, frame):
    """The worker thread has a copy: what the caller writes after process() does not reach the network."""
    with opened(tmp_path, deadline_ms=PATIENT_MS) as upscaler:
        out = upscaler.process(frame)
        wanted = enhanced(frame)
        frame.planes[0][...] = 0
        assert (out.planes[0] == wanted).all()


def test_loading_in_the_background_lets_frames_through_meanwhile(tmp_path, frame):
    """Call 0, the golden vector, hangs until the engine is let go."""
    gate = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        original = Upscaler._load

        def held(self):
            gate.wait(60)
            original(self)

        patch.setattr(Upscaler, "_load", held)
        with opened(tmp_path, background=True) as upscaler:
            assert not upscaler.ready()
            assert ways(upscaler, frame, 2) == "cc"
            record = upscaler.record()
            assert (record.state, record.frames_bypassed) == ("warming", 2)
            assert upscaler.content == "auto"
            assert not upscaler.wait(0.01)
            gate.set()
            assert upscaler.wait(60)
            assert ways(upscaler, frame, 1) == "e"
            assert upscaler.record().state == "active"
            assert upscaler.backend == "virtual"


def test_a_model_that_cannot_be_loaded_in_the_background_leaves_the_conventional_path(tmp_path, frame):
    with opened(tmp_path, background=True, fail_open=True) as upscaler:
        assert upscaler.wait(60) is False
        assert ways(upscaler, frame, 2) == "cc"
        record = upscaler.record()
        assert record.state == "failed"
        assert "scripted fault" in record.state_reason
        assert "scripted fault" in upscaler.reason
        assert record.errors == ("SR.E_LOAD",)


def test_a_model_that_cannot_be_loaded_in_the_foreground_is_an_error(tmp_path):
    with pytest.raises(EngineError, match="scripted fault"):
        opened(tmp_path, fail_open=True)


def test_only_lumavox_errors_leave_open(tmp_path):
    for deadline_ms in (0, -1, float("nan")):
        with pytest.raises(LumavoxError, match="deadline_ms"):
            opened(tmp_path, deadline_ms=deadline_ms)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["noise", "flat", "fine"])
@pytest.mark.parametrize("cell", [(1, 2), (2, 3), (1, 4)])
def test_good_outputs_are_plausible_even_of_extreme_pictures(dtype, kind, cell):
    """White noise, a flat field and a one-pixel checkerboard, by the conventional filter. Grey is a fair
    enlargement of the checkerboard."""
    top = 1023 if dtype is np.uint16 else 255
    random = np.random.default_rng(0)
    source = {
        "noise": random.integers(0, top + 1, (65, 90)),
        "flat": np.full((65, 90), top // 2),
        "fine": np.indices((65, 90)).sum(axis=0) % 2 * top,
    }[kind].astype(dtype)
    scale = cell[1] / cell[0]
    size = enlarged_side(65, scale), enlarged_side(90, scale)
    out = np.empty(size, dtype)
    PlaneResizer((65, 90), size, scale).resize(source, out)
    assert implausible(source, out, cell) is None
    assert implausible(source, np.full_like(out, top // 2), cell) is None or kind == "noise"
    for side in (1, 2, 3, 4, 5, 6, 7):
        larger = enlarged_side(side, scale)
        assert implausible(source[:side, :side], out[:larger, :larger], cell) is None


@pytest.mark.parametrize("scale", [1.5, 2])
def test_broken_outputs_are_not_plausible(scale):
    ramp = np.indices((64, 64), np.uint8).sum(axis=0, dtype=np.uint8) * 2
    good, cell = bundles.nearest(ramp, scale), (2, 3) if scale == 1.5 else (1, 2)
    assert implausible(ramp, good, cell) is None
    assert "constant" in implausible(ramp, np.full_like(good, 128), cell)
    assert "not an enlargement" in implausible(ramp, 255 - good, cell)
    assert "not an enlargement" in implausible(ramp, np.random.default_rng(0).permuted(good), cell)


def test_a_worker_runs_one_job_at_a_time_and_hands_on_its_error():
    worker, gate, done = DeadlineWorker("test"), threading.Event(), []
    worker.submit(lambda: (gate.wait(60), done.append(1)))
    assert worker.wait(0.001) is False
    assert worker.busy
    gate.set()
    assert worker.wait(60) is True
    assert done == [1]
    worker.submit(lambda: [].pop())
    with pytest.raises(IndexError):
        worker.wait(60)
    assert not worker.busy
    assert worker.close(60)
    assert worker.close(60)
