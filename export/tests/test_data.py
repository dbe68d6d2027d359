"""Training material: the same seed gives the same batch, and pairs and mixes are what they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lumavox_export.data.codec import encode_decode
from lumavox_export.data.de_mixes import KINDS, validation_mixes
from lumavox_export.data.debug import make_debug_data
from lumavox_export.data.manifest import Dataset
from lumavox_export.data.mixer import Mixer, MixSettings
from lumavox_export.data.sound_bank import SoundBank
from lumavox_export.data.sr_pairs import Pairs, PairSettings, detail, pairs
from lumavox_export.resize import resize


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_debug_data(tmp_path_factory.mktemp("data"))


def _dataset(root: Path, name: str) -> Dataset:
    return Dataset.load(root / "datasets" / f"debug-{name}.toml", root)


@pytest.fixture(scope="module")
def clean(root: Path) -> Pairs:
    return pairs(PairSettings(), 2, [_dataset(root, "pictures")], root / "cache")


@pytest.fixture(scope="module")
def mixer(root: Path) -> Mixer:
    banks = [
        SoundBank([_dataset(root, n)], 16000, root / "cache")
        for n in ("speech", "music", "effects", "singing")
    ]
    return Mixer(MixSettings(seconds=2.0), *banks)


def test_a_clean_pair_is_the_antialiased_reduction_of_its_picture(clean: Pairs) -> None:
    low, high = clean.items[0]
    oracle = np.clip(np.rint(resize(high, low.shape, "bicubic")), 0, 255)
    assert np.abs(low.astype(float) - oracle).max() <= 1  # the picture itself was rounded after its luma


def test_batches_depend_on_the_seed_alone_and_both_halves_show_the_same_place(clean: Pairs) -> None:
    low, high = clean.batch(np.random.default_rng(7), 8, 24)
    again, _ = clean.batch(np.random.default_rng(7), 8, 24)
    assert low.shape == (8, 24, 24) and high.shape == (8, 48, 48)
    assert np.array_equal(low, again)
    means = high.reshape(8, 24, 2, 24, 2).mean((2, 4))
    error = np.abs(means[:, 4:-4, 4:-4] - low[:, 4:-4, 4:-4]).mean((1, 2))
    assert np.all(error < 8)


def test_of_several_candidates_the_crop_with_the_most_detail_is_kept(clean: Pairs) -> None:
    _, all_high = clean.batch(np.random.default_rng(7), 12, 24)
    low, high = clean.batch(np.random.default_rng(7), 4, 24, candidates=3)
    assert low.shape == (4, 24, 24)
    for kept, drawn in zip(high, all_high.reshape(4, 3, 48, 48), strict=True):
        assert detail(kept[None])[0] == detail(drawn).max()


def test_smaller_views_add_each_picture_again_reduced(root: Path, clean: Pairs) -> None:
    more = pairs(PairSettings(smaller_views=2), 2, [_dataset(root, "pictures")], root / "cache")
    assert len(more.items) == 3 * len(clean.items)
    for low, high in more.items:
        assert high.shape == (2 * low.shape[0], 2 * low.shape[1])
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(clean.items, more.items[::3], strict=True))


@pytest.mark.parametrize("content", ["clean", "streamed"])
def test_pairs_at_one_and_a_half_meet_on_cells_of_two_pixels(root: Path, content: str) -> None:
    settings = PairSettings(content=content, codecs=("libx264",), views=1, frames=1, view_height=64)
    made = pairs(settings, 1.5, [_dataset(root, "pictures")], root / "cache")
    low, high = made.batch(np.random.default_rng(3), 8, 16)
    assert low.shape == (8, 16, 16) and high.shape == (8, 24, 24)
    reduced = np.stack([resize(h.astype(np.float32), (16, 16)) for h in high])
    inner = np.s_[:, 3:-3, 3:-3]
    assert np.abs(reduced - low)[inner].mean() < (1.0 if content == "clean" else 12.0)


def test_pairs_are_made_once_and_found_again(root: Path, clean: Pairs) -> None:
    folder = next(p for p in (root / "cache").glob("pairs-*"))
    before = (folder / "pairs.u8").stat().st_mtime_ns
    pairs(PairSettings(), 2, [_dataset(root, "pictures")], root / "cache")
    assert (folder / "pairs.u8").stat().st_mtime_ns == before


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_an_encoder_keeps_the_count_and_order_of_frames_and_loses_a_little(codec: str) -> None:
    rng = np.random.default_rng(1)
    base = resize(rng.integers(0, 256, (8, 10)), (64, 80), "bicubic").clip(0, 255)
    frames = [np.roll(base, 4 * t, 1).astype(np.uint8) for t in range(6)]
    decoded = encode_decode(frames, codec, 30, 8)
    assert len(decoded) == 6
    for index, frame in enumerate(decoded):
        errors = [np.abs(frame.astype(float) - other).mean() for other in frames]
        assert int(np.argmin(errors)) == index and 0 < errors[index] < 12


def test_streamed_pairs_are_encoded_pans(root: Path) -> None:
    settings = PairSettings(
        "streamed",
        codecs=("libx264",),
        crf=(34,),
        views=1,
        frames=2,
        view_height=48,
        view_width=64,
        clean_share=0.0,
    )
    made = pairs(settings, 2, [_dataset(root, "pictures")], root / "cache")
    assert len(made.items) == 2 * 8
    low, high = made.items[0]
    error = np.abs(resize(high, low.shape, "bicubic") - low).mean()
    assert 0.2 < error < 20  # worse than rounding, still the same picture


def test_mixes_are_the_same_for_the_same_step_and_dialog_is_part_of_them(mixer: Mixer) -> None:
    mixes, dialogs = mixer.items(3, 5, 6)
    again, _ = mixer.items(3, 5, 6)
    other, _ = mixer.items(3, 6, 6)
    assert mixes.shape == dialogs.shape == (6, 32000)
    assert np.array_equal(mixes, again) and not np.array_equal(mixes, other)
    assert np.isfinite(mixes).all() and np.abs(mixes).max() <= 1.0


def test_kept_parts_are_mixed_anew_for_every_step(root: Path, mixer: Mixer) -> None:
    banks = (mixer._speech, mixer._music, mixer._effects, mixer._singing)
    settings = replace(mixer.settings, parts=3, part_seconds=3.0)
    kept = Mixer(settings, *banks, cache=root / "cache")
    mixes, dialogs = kept.items(3, 5, 6)
    again, _ = Mixer(settings, *banks, cache=root / "cache").items(3, 5, 6)
    other, _ = kept.items(3, 6, 6)
    assert mixes.shape == dialogs.shape == (6, 32000)
    assert np.array_equal(mixes, again) and not np.array_equal(mixes, other)


def test_the_level_difference_of_a_mix_is_in_the_range_asked_for(mixer: Mixer) -> None:
    mixer_at_6 = Mixer(
        replace(mixer.settings, snr_db=(6.0, 6.0), clear=0.0, low_pass=0.0),
        mixer._speech,
        mixer._music,
        mixer._effects,
        mixer._singing,
    )
    rng = np.random.default_rng(1)
    t = np.arange(mixer.samples)
    dialog = np.where(t < mixer.samples // 2, np.sin(t / 5), 0).astype(np.float32)  # active half of the time
    mix, part = mixer_at_6.mix(dialog, np.cos(t / 3).astype(np.float32), rng)
    active = np.sqrt(np.mean(part[: mixer.samples // 2] ** 2))
    background = np.sqrt(np.mean((mix - part) ** 2))
    assert 20 * np.log10(active / background) == pytest.approx(6.0, abs=0.1)


def test_voices_are_drawn_evenly_however_many_files_they_have(root: Path) -> None:
    bank = SoundBank([_dataset(root, "speech")], 16000, root / "cache")
    bank.groups["speech0"] = bank.groups["speech0"] * 50
    rng = np.random.default_rng(1)
    drawn = [bank.group(rng) for _ in range(600)]
    assert all(120 < drawn.count(name) < 280 for name in bank.names)


def test_validation_mixes_have_the_ratio_and_all_kinds(root: Path) -> None:
    sets = [[_dataset(root, name)] for name in ("speech", "music", "effects")]
    mixes = list(validation_mixes(*sets, rate_hz=16000, snr_db=5.0, seconds=2.0))
    assert [m.kind for m in mixes] == list(KINDS) * 3
    for mix in mixes:
        ratio = 10 * np.log10(np.mean(mix.dialog**2) / np.mean(mix.background**2))
        assert ratio == pytest.approx(5.0, abs=0.05)
