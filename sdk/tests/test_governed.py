"""The governed upscaler on the virtual engine: with a clock of its own, and a device that heats up."""

from __future__ import annotations

import random
import types
from pathlib import Path

import numpy as np
import pytest

import bundles
from lumavox.backends import virtual
from lumavox.errors import FrameError, InputError, OptionError
from lumavox.governed import GovernedUpscaler
from lumavox.governor import Conditions
from lumavox.ladder import CONVENTIONAL, Ladder, Rung
from lumavox.picture import Frame, PixelFormat
from lumavox.telemetry import TelemetryRecord
from thermal_device import ramp

RATE = 20.0
COSTS = {"base": 1.0, "small": 0.43, "nano": 0.2}
DETAIL = {"base": 1.0, "small": 0.75, "nano": 0.5}
OFFSETS = {"base": 20, "small": 15, "nano": 10}  # of each network's picture: tells them apart


class Device:
    """The time that sleeping networks take on it, its heat, and its memory. ``factor`` makes them slower."""

    def __init__(self) -> None:
        self.now_s, self.factor = 100.0, 1.0
        self.forecast: float | None = None
        self.memory: bool | None = False

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds * self.factor

    def read(self) -> Conditions:
        return Conditions(self.forecast, self.memory)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(virtual, "time", types.SimpleNamespace(sleep=made.sleep))
    return made


def opened(folder: Path, device: Device, *, base_ms: float = 27.0, **changes) -> GovernedUpscaler:
    """base, small and nano as virtual networks; base takes ``base_ms`` of the 50 there are."""
    rungs = []
    for tier, cost in COSTS.items():
        script = {
            "op": "nearest", "scale": 2, "delay_ms": base_ms * cost, "offset": OFFSETS[tier],
            "faults": {"jitter": 0.06, "tail_every": 900, "tail_ms": 30.0, "seed": 1},
        } | changes.get(tier, {})  # fmt: skip
        golden = {
            "luma": np.zeros((1, 8, 8, 1), np.int8),
            "enlarged": np.full((1, 16, 16, 1), OFFSETS[tier], np.int8),
        }
        path = bundles.sr_bundle(folder, name=f"{tier}-x2", model=script, golden=golden)
        rungs.append(Rung(str(path), cost, DETAIL[tier]))
    governed = GovernedUpscaler.open(
        Ladder((*rungs, CONVENTIONAL)), display_hz=60, frame_rate=RATE, sensors=device, clock=device.clock,
        enforce=False, trusted_keys=bundles.trusted(), backend="virtual",
    )  # fmt: skip
    for upscaler in governed._rungs:
        assert upscaler is not None and upscaler.wait(10)
    return governed


def picture(level: int, format: PixelFormat = PixelFormat.NV12) -> Frame:
    frame = Frame.empty(format, 16, 16)
    frame.planes[0][...] = level + np.arange(16)
    frame.planes[1][...] = 128
    return frame


def shown(out: Frame, level: int) -> float:
    """How much of base's detail is in the picture: 1 for base's own, 0 for the conventional filter's."""
    return (float(out.planes[0].mean()) - level - 7.5) / OFFSETS["base"]


def play(
    governed: GovernedUpscaler, device: Device, seconds: float, *, shot_s: float | None = 4.0
) -> list[float]:
    """What is shown of the detail, frame by frame at ``RATE``; scenes differ in brightness."""
    shots = random.Random(7)
    level, next_cut_s = 60, device.now_s + (shot_s or 1e9)
    out = Frame.empty(PixelFormat.NV12, 32, 32)
    detail = []
    begun_s = device.now_s
    for index in range(round(seconds * RATE)):
        device.now_s = max(device.now_s, begun_s + index / RATE)
        if device.now_s >= next_cut_s:
            level, next_cut_s = (
                (160 if level == 60 else 60),
                next_cut_s + shots.uniform(0.5, 1.5) * (shot_s or 0),
            )
        assert governed.process(picture(level), out) is out
        detail.append(shown(out, level))
    return detail


@pytest.mark.parametrize("shot_s", [4.0, pytest.param(None, marks=pytest.mark.slow)], ids=["cuts", "no cuts"])
def test_through_a_thermal_ramp_frames_are_in_time_and_switches_are_not_seen(tmp_path, device, shot_s):
    """At most 0.5 % of the frames are late, and at most one switch per minute might be seen."""
    start_s, seconds = device.now_s, 160
    heat = ramp(0.5, 0.97, begin=15, rise=40, hold=30)

    def read() -> Conditions:
        device.factor = 1 + 1.8 * max(0.0, heat(device.now_s - start_s) - 0.8) / 0.15
        return Conditions(thermal_forecast=heat(device.now_s - start_s + 10), memory_pressure=False)

    device.read = read  # type: ignore[method-assign]
    with opened(tmp_path, device) as governed:
        detail = play(governed, device, seconds, shot_s=shot_s)
        record = governed.record()
    ladder = record.ladder
    assert record.frames_in == seconds * RATE
    assert record.frames_late <= 0.005 * record.frames_in
    assert ladder.switches_faded + ladder.switches_at_once <= seconds / 60
    assert ladder.switches_at_cut + ladder.switches_faded >= 2
    assert min(detail) < 0.8, "it did step down"
    assert ladder.rung == "sr/base-x2", "and up again"
    assert record.added_latency_ms.video == 0.0
    assert TelemetryRecord.from_json(record.to_json()) == record


def test_a_fade_goes_step_by_step_from_one_network_to_the_next(tmp_path, device):
    with opened(tmp_path, device, base_ms=10.0) as governed:
        play(governed, device, 8, shot_s=None)
        device.factor = 4.3  # base: 43 of 45 ms
        detail = play(governed, device, 6, shot_s=None)
        assert governed.rung == "sr/small-x2"
        assert governed.governor.switches.faded == 1
    fading = [value for value in detail if 0.78 < value < 0.98]
    assert len(fading) >= 7
    assert fading == sorted(fading, reverse=True)


def test_a_switch_at_a_cut_is_made_on_the_first_frame_of_the_scene(tmp_path, device):
    with opened(tmp_path, device, base_ms=10.0) as governed:
        play(governed, device, 5, shot_s=None)
        device.factor = 4.3
        detail = play(governed, device, 6, shot_s=1.5)
        switches = governed.governor.switches
        assert (switches.at_cut, switches.faded, switches.at_once) == (1, 0, 0)
    assert {round(value, 1) for value in detail} <= {1.0, 0.8, 0.7}


def test_memory_pressure_closes_the_networks_above_and_opens_them_again(tmp_path, device):
    with opened(tmp_path, device) as governed:
        play(governed, device, 6)
        device.memory = True
        play(governed, device, 12)
        assert governed.rung == "sr/small-x2"
        assert governed._rungs[0] is None
        assert governed.record().state_reason == "stepped down to sr/small-x2: memory pressure"
        device.memory = False
        play(governed, device, 2)
        assert governed._rungs[0] is not None and governed._rungs[0].wait(10)
        play(governed, device, 30, shot_s=2)
        assert governed.rung == "sr/base-x2"
        assert governed.record().state == "active"


def test_a_network_that_fails_for_good_is_left_for_the_next_one(tmp_path, device):
    with opened(tmp_path, device, base={"fail_at": list(range(30, 60))}) as governed:
        detail = play(governed, device, 3)
        assert governed.rung == "sr/small-x2"
        record = governed.record()
        assert record.state_reason == "stepped down to sr/small-x2: the model cannot be used"
        assert "SR.E_ENGINE" in record.errors or record.frames_bypassed == 5
    assert detail.count(0.0) == 5  # those frames came out by the conventional filter


def test_ten_bits_stay_ten_bits_in_a_fade(tmp_path, device):
    with opened(tmp_path, device, base_ms=10.0) as governed:
        frame = picture(0, PixelFormat.P010)
        frame.planes[0][...] = (400 + 4 * np.arange(16)) << 6
        frame.planes[1][...] = 512 << 6
        out = governed.process(frame)
        governed._soften(frame, out, 0.5)
        assert not (out.planes[0] & 0x3F).any()
        assert np.abs((out.planes[0] >> 6).astype(int) - 440 - 2 * np.arange(32)).max() <= 4


def test_with_an_enforced_deadline_frames_come_out_in_time_whatever_the_network_does(tmp_path, device):
    """A network that hangs: the frame comes by the conventional filter, and another rung takes over."""
    path = bundles.sr_bundle(
        tmp_path, name="slow-x2", model={"op": "nearest", "scale": 2, "hang_at": [2, 3, 4], "hang_ms": 300}
    )
    ladder = Ladder((Rung(str(path), 1.0, 1.0), CONVENTIONAL))
    with GovernedUpscaler.open(
        ladder, display_hz=20, frame_rate=20, sensors=device, trusted_keys=bundles.trusted()
    ) as governed:
        frame = picture(60)
        for _ in range(10):
            assert governed.process(frame).planes[0].shape == (32, 32)
        assert governed.record().frames_late >= 4
        assert governed.rung == "conventional"
        assert governed.record().state == "bypass"


def test_what_cannot_be_is_refused(tmp_path, device):
    with pytest.raises(OptionError, match="up to the governor"):
        GovernedUpscaler.open(deadline_ms=3.0)
    two = bundles.sr_bundle(tmp_path, name="two-x2")
    three = bundles.sr_bundle(tmp_path, name="three-x3", scale=3, model={"op": "nearest", "scale": 3})
    ladder = Ladder((Rung(str(two), 1.0, 1.0), Rung(str(three), 0.5, 0.5), CONVENTIONAL))
    with pytest.raises(OptionError, match="must be alike"):
        GovernedUpscaler.open(ladder, trusted_keys=bundles.trusted())
    with opened(tmp_path, device) as governed:
        with pytest.raises(FrameError, match="takes a lumavox.Frame"):
            governed.process(np.zeros((4, 4)))  # type: ignore[arg-type]
        with pytest.raises(FrameError, match="out must be"):
            governed.process(picture(1), out=picture(1))
        governed.close()
        with pytest.raises(InputError, match="closed"):
            governed.process(picture(1))
