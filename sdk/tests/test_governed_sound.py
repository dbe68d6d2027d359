"""The governed enhancer goes dry and comes back without a click, a gap, or another delay."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest

import bundles
from lumavox.audio import DialogEnhancer
from lumavox.backends import virtual
from lumavox.governed_sound import SOUND_POLICY, GovernedEnhancer
from lumavox.governor import Conditions
from lumavox.telemetry import NO_SPEECH

RATE = 48_000
HOP = 720
NORMAL_MS = 6.0  # of the 15 that a hop lasts


class Device:
    """The time that a sleeping network takes on it, and its heat."""

    def __init__(self) -> None:
        self.now_s, self.factor, self.forecast = 100.0, 1.0, 0.3

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds * self.factor

    def read(self) -> Conditions:
        return Conditions(self.forecast, True)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(virtual, "time", types.SimpleNamespace(sleep=made.sleep))
    return made


@pytest.fixture
def governed(tmp_path, device):
    model = {"op": "mask", "value": 1.0, "delay_ms": NORMAL_MS}
    path = bundles.de_bundle(tmp_path, model=model)
    enhancer = DialogEnhancer.open(path, channels=1, level="medium", trusted_keys=bundles.trusted())
    policy = dataclasses.replace(SOUND_POLICY, retry_last=1.0)
    with GovernedEnhancer(enhancer, policy=policy, sensors=device, clock=device.clock) as made:
        yield made


def play(governed: GovernedEnhancer, device: Device, sound: np.ndarray) -> np.ndarray:
    """The sound, hop by hop in the device's time."""
    out = []
    for start in range(0, len(sound), HOP):
        out.append(governed.process(sound[start : start + HOP]))
        device.now_s += HOP / RATE
    return np.concatenate(out)


def tone(seconds: float) -> np.ndarray:
    count = round(seconds * RATE / HOP) * HOP
    return (0.1 * np.sin(2 * np.pi * 220 * np.arange(count) / RATE)).astype(np.float32)


def test_a_slow_network_is_left_by_a_ramp_and_taken_up_again(governed, device):
    wave, out = tone(30), []
    for factor, first, last in ((1.0, 0, 300), (2.4, 300, 600), (1.0, 600, 2000)):
        device.factor = factor  # 2.4: 14.4 of 15 ms
        out.append(play(governed, device, wave[first * HOP : last * HOP]))
        if factor > 1:
            record = governed.record()
            assert (record.state, record.state_reason) == ("bypass", "stepped down to dry: late tails")
            assert record.ladder.rung == "dry"
            assert record.ladder.switches_at_once == 0
    assert governed.record().ladder.rung == "dialog"
    smooth = 0.1 * (2 * np.pi * 220 / RATE) ** 2
    after = np.concatenate(out)[2 * RATE :].astype(np.float64)  # the loudness hold has settled
    bend = np.abs(np.diff(after, 2)).max()
    assert bend < 6 * smooth, "a click bends the wave more than the wave itself does"


def test_dry_sound_is_the_delayed_sound_bit_for_bit_and_nothing_is_lost(governed, device):
    play(governed, device, tone(5))
    device.factor = 4.0
    play(governed, device, tone(5))
    assert governed.record().ladder.rung == "dry"
    delay = governed.delay_samples
    noise = np.random.default_rng(0).normal(0, 0.05, 20 * HOP).astype(np.float32)
    out = np.concatenate([play(governed, device, noise), governed.flush()])
    assert np.array_equal(out[delay : delay + len(noise)], noise)
    assert governed.delay_samples == delay


def test_an_overload_is_left_at_once(governed, device):
    play(governed, device, tone(3))
    device.factor = 4.0
    play(governed, device, tone(1))
    record = governed.record()
    assert record.state_reason == "stepped down to dry: frames were late"
    assert record.deadline_miss_persistent >= 4


def test_heat_alone_leads_to_dry_sound_only_when_it_is_severe(governed, device):
    device.forecast = 0.95
    play(governed, device, tone(10))
    assert governed.record().ladder.rung == "dialog"
    device.forecast = 1.05
    play(governed, device, tone(17))
    assert governed.record().ladder.rung == "dry"


def test_while_no_dialog_is_found_the_record_says_so(governed, device):
    play(governed, device, np.zeros(2 * RATE // HOP * HOP, np.float32))
    assert governed.record().state_reason is None
    play(governed, device, np.zeros(6 * RATE // HOP * HOP, np.float32))
    assert (governed.record().state, governed.record().state_reason) == ("active", NO_SPEECH)


def test_the_controls_keep_working(governed, device):
    play(governed, device, tone(1))
    governed.set(level="high")
    governed.set(strength=0.5)
    play(governed, device, tone(1))
    assert governed.enhancer.controls.strength == 0.5
    assert governed.enhancer.controls.difference_db == 9.0
