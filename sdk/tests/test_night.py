"""Night mode: energies in, gain of the background out."""

from __future__ import annotations

import pytest

from lumavox.loudness import lufs
from lumavox.night import BELOW_LU, MAX_ATTEN_DB, RATIO, NightRange

HOPS_PER_S = 48000 / 720


def power(level_lufs: float) -> float:
    return 10 ** ((level_lufs + 0.691) / 10)


def run(night: NightRange, seconds: float, background: float, dialog: float | None = None, on: bool = True):
    levels = power(background), None if dialog is None else power(dialog)
    return [night.update(on, *levels) for _ in range(round(seconds * HOPS_PER_S))]


@pytest.mark.parametrize("dialog", [-40.0, -27.0, -20.0])
def test_what_is_louder_than_the_dialog_is_compressed_towards_it(dialog):
    night = NightRange(HOPS_PER_S)
    run(night, 5.0, -70.0, dialog)
    run(night, 2.0, dialog + 10.0)
    assert night.gain_db == pytest.approx(-(10.0 + BELOW_LU) * (1 - 1 / RATIO), abs=0.05)


def test_a_blast_is_met_within_a_tenth_of_a_second_and_let_go_slowly():
    night = NightRange(HOPS_PER_S)
    run(night, 5.0, -60.0, -27.0)
    assert run(night, 0.1, -10.0)[-1] < 10 ** (-13 / 20)
    assert run(night, 0.2, -60.0)[-1] < 10 ** (-6 / 20)
    assert run(night, 8.0, -60.0)[-1] == 1.0


def test_the_attenuation_is_bounded():
    night = NightRange(HOPS_PER_S)
    run(night, 5.0, -70.0, -50.0)
    run(night, 3.0, 0.0)
    assert night.gain_db >= -MAX_ATTEN_DB


def test_switched_off_it_is_soon_exactly_one():
    night = NightRange(HOPS_PER_S)
    run(night, 2.0, 0.0)
    assert run(night, 0.5, 0.0, on=False)[-1] == 1.0


def test_the_loudness_of_the_dialog_is_its_mean():
    night = NightRange(HOPS_PER_S)
    run(night, 1.0, -70.0, -30.0)
    run(night, 1.0, -70.0, None)
    assert night.dialog_lufs == pytest.approx(-30.0, abs=0.01)
    assert lufs(0.0) == -float("inf")
