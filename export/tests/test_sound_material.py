"""What the dialog mixer is made of: rooms, synthetic music, encoders, kept parts."""

from pathlib import Path

import numpy as np
import pytest

from lumavox_export.data.parts import Parts
from lumavox_export.data.rooms import room_response
from lumavox_export.data.sound_codec import ENCODERS, encode_decode
from lumavox_export.data.tones import tones

RATE = 16000


@pytest.mark.parametrize("seed", range(8))
def test_a_room_begins_with_the_direct_sound_and_dies_away(seed: int) -> None:
    response = room_response(np.random.default_rng(seed), RATE)
    assert response[0] == 1.0 and np.isfinite(response).all()
    tenth = len(response) // 10
    assert np.mean(response[-tenth:] ** 2) < 1e-2 * np.mean(response[:tenth] ** 2)


def test_rooms_add_no_more_than_a_listener_far_from_the_talker_hears() -> None:
    energies = [float(np.sum(room_response(np.random.default_rng(s), RATE) ** 2)) for s in range(40)]
    assert 1.0 < np.median(energies) < 4.0 and max(energies) < 60


@pytest.mark.parametrize("seed", range(4))
def test_synthetic_music_has_unit_level_and_depends_on_the_seed_alone(seed: int) -> None:
    first, again = (tones(np.random.default_rng(seed), RATE, RATE) for _ in range(2))
    assert first.shape == (RATE,) and np.array_equal(first, again)
    assert np.sqrt(np.mean(first**2)) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_a_coded_sound_is_aligned_with_the_original(encoder: str) -> None:
    """White noise below 3 kHz; an encoder that were a sample late would leave under 3 dB at these rates."""
    rng = np.random.default_rng(3)
    spectrum = np.fft.rfft(rng.standard_normal(2 * RATE))
    spectrum[int(3000 * 2) :] = 0
    x = np.fft.irfft(spectrum).astype(np.float32)
    x *= np.float32(1.5 / np.abs(x).max())  # peaks beyond full scale survive
    y = encode_decode(x, RATE, encoder, ENCODERS[encoder][1][-1])
    inner = slice(2000, -2000)
    assert y.shape == x.shape
    assert 10 * np.log10(np.sum(x[inner] ** 2) / np.sum((x - y)[inner] ** 2)) > 8


def test_parts_are_made_once_and_drawn_from_anywhere(tmp_path: Path) -> None:
    made: list[int] = []

    def make(rng: np.random.Generator) -> np.ndarray:
        made.append(1)
        return (rng.standard_normal(400) * 3).astype(np.float32)

    first, again = (Parts("noises", make, 5, 400, "key", tmp_path) for _ in range(2))
    assert len(made) == 5
    a, b = (parts.draw(np.random.default_rng(2), 100) for parts in (first, again))
    assert a.shape == (100,) and np.array_equal(a, b) and 1 < np.abs(a).max() < 15
    Parts("noises", make, 5, 400, "other", tmp_path)
    assert len(made) == 10


def test_more_parts_begin_with_those_that_are_there(tmp_path: Path) -> None:
    made: list[int] = []

    def make(rng: np.random.Generator) -> np.ndarray:
        made.append(1)
        return rng.standard_normal(50).astype(np.float32)

    for count in (3, 7):
        Parts("noises", make, count, 50, "key", tmp_path / "grown")
    assert len(made) == 7
    Parts("noises", make, 7, 50, "key", tmp_path / "at once")
    Parts("noises", make, 3, 50, "key", tmp_path / "grown")  # is still there
    assert len(made) == 14
    grown, at_once = (sorted((tmp_path / name).rglob("7.*")) for name in ("grown", "at once"))
    assert [path.name for path in grown] == ["7.npy", "7.s16"]
    for one, other in zip(grown, at_once, strict=True):
        assert one.read_bytes() == other.read_bytes()
