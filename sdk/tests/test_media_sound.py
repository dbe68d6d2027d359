"""`lumavox.media`: plain sound files, and `SoundTrack`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

import bundles
from lumavox.audio import DialogEnhancer
from lumavox.errors import OptionError, UnreadableMediaError, UnsupportedMediaError
from lumavox.media import enhance
from lumavox.media.sound_track import SoundTrack
from media_fixtures import options

RATE_HZ = 48000


def _noise(seconds: float = 0.8, channels: int = 2, rate_hz: int = RATE_HZ) -> np.ndarray:
    shape = round(seconds * rate_hz), channels
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32) * 0.05


def _lag(before: np.ndarray, after: np.ndarray) -> int:
    """By how many samples ``after`` is behind ``before`` where they match best."""
    size = 1 << int(np.ceil(np.log2(2 * max(len(before), len(after)))))
    spectra = np.fft.rfft(before[:, 0], size).conj() * np.fft.rfft(after[:, 0], size)
    lag = int(np.argmax(np.fft.irfft(spectra)))
    return lag if lag < size // 2 else lag - size


@pytest.mark.parametrize(
    ("name", "format", "subtype"),
    [("a.wav", "WAV", "PCM_16"), ("a.wav", "WAV", "PCM_24"), ("a.wav", "WAV", "FLOAT"),
     ("a.flac", "FLAC", "PCM_24"), ("a.ogg", "OGG", "VORBIS"), ("a.opus", "OGG", "OPUS"),
     ("a.mp3", "MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_the_same_kind_comes_out_with_its_rate_channels_length_and_tags(
    name: str, format: str, subtype: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    source, output = tmp_path / name, tmp_path / ("out-" + name)
    with sf.SoundFile(str(source), "w", RATE_HZ, 2, subtype, format=format) as file:
        if format != "WAV" or subtype != "FLOAT":
            file.title, file.artist = "A talk", "Someone"
        file.write(_noise())
    report = enhance(source, output, options(sr_path, de_path))
    before, after = sf.SoundFile(str(source)), sf.SoundFile(str(output))
    with before, after:
        assert (after.format, after.subtype) == (format, subtype)
        assert (after.samplerate, after.channels, after.frames) == (RATE_HZ, 2, before.frames)
        assert {k: v for k, v in after.copy_metadata().items() if v} == {
            k: v for k, v in before.copy_metadata().items() if v
        }
        assert _lag(before.read(always_2d=True), after.read(always_2d=True)) == 0
    assert report.sound is not None
    assert report.sound.codec == f"{format} {subtype}"
    assert report.warnings == ()


@pytest.mark.parametrize("rate_hz", [22050, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count_is_kept(
    rate_hz: int, channels: int, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    samples = _noise(0.3, channels, rate_hz)
    sf.write(str(tmp_path / "a.wav"), samples, rate_hz)
    enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path))
    after, after_hz = sf.read(str(tmp_path / "b.wav"), always_2d=True)
    assert after_hz == rate_hz
    assert after.shape == samples.shape
    assert _lag(samples, after) == 0


def test_another_kind_of_sound_file_can_be_written(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    sf.write(str(tmp_path / "a.wav"), _noise(), RATE_HZ, subtype="FLOAT")
    for name in ("b.flac", "b.ogg", "b.opus", "b.mp3"):
        enhance(tmp_path / "a.wav", tmp_path / name, options(sr_path, de_path))
        assert sf.info(str(tmp_path / name)).frames == len(_noise())


def test_nine_channels_are_refused_with_what_is_possible(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    sf.write(str(tmp_path / "a.wav"), _noise(0.1, 9), RATE_HZ)
    with pytest.raises(UnsupportedMediaError, match=r"a\.wav.*channel"):
        enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path))
    assert not (tmp_path / "b.wav").exists()


def test_what_opus_cannot_hold_is_refused_before_any_work(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    sf.write(str(tmp_path / "a.wav"), _noise(0.1, 2, 44100), 44100)
    with pytest.raises(UnsupportedMediaError, match="44100 Hz"):
        enhance(tmp_path / "a.wav", tmp_path / "b.opus", options(sr_path, de_path))


def test_a_sound_file_without_samples_is_unreadable(tmp_path: Path, sr_path: Path, de_path: Path) -> None:
    sf.write(str(tmp_path / "a.wav"), _noise(0.0), RATE_HZ)
    with pytest.raises(UnreadableMediaError, match="no samples"):
        enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path))


def test_a_sound_file_with_the_sound_part_off_is_refused(
    tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    sf.write(str(tmp_path / "a.wav"), _noise(0.1), RATE_HZ)
    with pytest.raises(OptionError, match="nothing to do"):
        enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path, dialog="off"))


@pytest.mark.parametrize("kind", ["silent", "dc", "clipped", "nan"])
def test_odd_sound_comes_out_finite_and_whole(
    kind: str, tmp_path: Path, sr_path: Path, de_path: Path
) -> None:
    samples = {
        "silent": np.zeros((24000, 2)),
        "dc": np.full((24000, 2), 0.5),
        "clipped": np.clip(_noise(0.5) * 100, -1, 1),
        "nan": np.where(np.arange(24000)[:, None] % 100 == 0, np.nan, _noise(0.5)),
    }[kind].astype(np.float32)
    sf.write(str(tmp_path / "a.wav"), samples, RATE_HZ, subtype="FLOAT")
    report = enhance(tmp_path / "a.wav", tmp_path / "b.wav", options(sr_path, de_path))
    after, _ = sf.read(str(tmp_path / "b.wav"))
    assert after.shape == samples.shape
    assert np.isfinite(after).all()
    assert report.sound is not None
    assert (report.sound.before.integrated_lufs is None) == (kind == "silent")


@settings(max_examples=12, deadline=None)
@given(sizes=st.lists(st.integers(0, 4000), min_size=1, max_size=8))
def test_a_track_gives_as_many_samples_as_it_takes_whatever_the_blocks(sizes: list[int]) -> None:
    """Also when all of the sound is shorter than the enhancer's delay."""
    track = SoundTrack(_passing(), RATE_HZ, 2)
    samples = _noise(sum(sizes) / RATE_HZ)
    blocks = np.split(samples, np.cumsum(sizes)[:-1])
    after = np.concatenate([*(track.feed(block) for block in blocks), track.finish()])
    assert np.array_equal(after, samples)


def _passing() -> DialogEnhancer:
    """An enhancer that does nothing but delay: level "off"."""
    return DialogEnhancer.open(_bundle(), level="off", trusted_keys=bundles.trusted())


def _bundle(made: list[Path] = []) -> str:  # noqa: B006 - made once
    if not made:
        import tempfile

        made.append(bundles.de_bundle(Path(tempfile.mkdtemp())))
    return str(made[0])
