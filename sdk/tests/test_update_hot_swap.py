"""Another model for a running stream: every frame comes out, once, in order, at one size; and back."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bundles import nearest, sr_bundle, trusted
from lumavox.errors import EngineError, OptionError
from lumavox.picture import Frame, PixelFormat
from lumavox.update.hot_swap import HotSwap
from lumavox.video import Upscaler


def opened(folder, offset: int = 0, *, scale: float = 2, delay_ms: float = 0.0) -> Upscaler:
    """A network whose output is the input's pixels, raised by ``offset`` steps: it tells who made a frame."""
    model = {"op": "nearest", "scale": scale, "offset": offset, "delay_ms": delay_ms}
    luma = np.arange(64, dtype=np.int8).reshape(1, 8, 8, 1) * 2 - 64
    golden = {"luma": luma, "enlarged": nearest(luma[0, :, :, 0], scale)[None, :, :, None] + np.int8(offset)}
    path = sr_bundle(folder, name=f"by-{offset}", model=model, golden=golden, scale=scale)
    return Upscaler.open(path, trusted_keys=trusted())


def frame(number: int) -> Frame:
    made = Frame.empty(PixelFormat.GRAY8, 8, 8)
    made.planes[0][...] = 40 + number % 100
    return Frame(made.format, 8, 8, made.planes, pts=number)


def made_by(out: Frame, number: int) -> int:
    """The offset of the network that made the frame."""
    assert (out.pts, out.width, out.height) == (number, 16, 16)
    values = np.unique(out.planes[0])
    assert len(values) == 1
    return int(values[0]) - (40 + number % 100)


def test_no_frame_is_lost_doubled_or_resized_while_models_change(tmp_path):
    with HotSwap(opened(tmp_path / "0")) as swap:
        offsets = []
        for number in range(120):
            if number in (30, 60):
                swap.offer(lambda n=number: opened(tmp_path / str(n), offset=n // 20))
            if number in (40, 70):
                assert swap.wait()
            offsets.append(made_by(swap.process(frame(number)), number))
        assert [offsets[n] for n in (0, 29, 40, 59, 70, 119)] == [0, 0, 1, 1, 3, 3]
        assert sorted(set(offsets)) == [0, 1, 3]
        assert offsets == sorted(offsets)  # each model takes over once
        assert swap.reason == "swapped to sr/by-3 0.1.0"


def test_going_back_takes_effect_with_the_next_frame_and_needs_no_loading(tmp_path):
    with HotSwap(opened(tmp_path / "0")) as swap:
        swap.process(frame(0))
        swap.offer(lambda: opened(tmp_path / "5", offset=3))
        swap.wait()
        assert made_by(swap.process(frame(1)), 1) == 3
        assert swap.back("the watchdog tripped")
        assert made_by(swap.process(frame(2)), 2) == 0
        assert swap.reason == "went back: the watchdog tripped"
        assert not swap.back()


def test_going_back_before_the_new_one_was_shown_keeps_the_old_one(tmp_path):
    with HotSwap(opened(tmp_path / "0")) as swap:
        swap.offer(lambda: opened(tmp_path / "5", offset=3))
        swap.wait()
        assert swap.back()
        assert made_by(swap.process(frame(1)), 1) == 0


def test_after_settling_there_is_no_way_back(tmp_path):
    with HotSwap(opened(tmp_path / "0")) as swap:
        swap.offer(lambda: opened(tmp_path / "5", offset=3))
        swap.wait()
        swap.process(frame(0))
        swap.settle()
        assert not swap.back()
        assert made_by(swap.process(frame(1)), 1) == 3


def test_a_model_that_cannot_be_opened_leaves_the_running_one_alone(tmp_path):
    def broken() -> Upscaler:
        raise EngineError("out of device memory")

    with HotSwap(opened(tmp_path / "0")) as swap:
        swap.offer(broken)
        assert not swap.wait()
        assert "out of device memory" in swap.reason
        assert made_by(swap.process(frame(1)), 1) == 0


def test_a_model_of_another_scale_is_not_put_into_a_running_stream(tmp_path):
    with HotSwap(opened(tmp_path / "0")) as swap:
        swap.offer(lambda: opened(tmp_path / "3", scale=3))
        assert not swap.wait()
        assert "enlarges by 3" in swap.reason


def test_one_model_is_loaded_at_a_time(tmp_path):
    gate = threading.Event()

    def waiting() -> Upscaler:
        gate.wait(10)
        return opened(tmp_path / "5", offset=3)

    with HotSwap(opened(tmp_path / "0")) as swap:
        swap.offer(waiting)
        with pytest.raises(OptionError, match="another model is being loaded"):
            swap.offer(waiting)
        assert made_by(swap.process(frame(1)), 1) == 0
        gate.set()
        assert swap.wait()
