"""Measuring dialog stems: scores against sounds with known answers, peers fed as their authors feed them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lumavox.dsp import BandFrontEnd
from lumavox_export.data.de_mixes import Mix
from lumavox_export.errors import DatasetError
from lumavox_export.evaluation import de
from lumavox_export.evaluation.de_peers import open_peers
from lumavox_export.evaluation.de_pictures import write_spectrograms
from lumavox_export.evaluation.de_stems import RATE_HZ, lost_seconds, pesq_wb, score, summary


def _speechlike(seconds: float, seed: int = 1) -> np.ndarray:
    """Noise below 4 kHz in syllables, which PESQ takes for utterances."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    spectrum = np.fft.rfft(rng.standard_normal(len(time)))
    spectrum *= np.fft.rfftfreq(len(time), 1 / RATE_HZ) < 4000
    envelope = np.clip(np.sin(2 * np.pi * 2 * time), 0, 1) ** 2
    return (np.fft.irfft(spectrum, len(time)) * envelope * 0.2).astype(np.float32)


def _network(path: Path, ports: list[tuple[str, tuple[int, ...], float]], first_plus: float = 0.0) -> None:
    """An ONNX file that gives every input, times a factor (the first one plus a number), back."""
    values = {f"by{i}": np.float32(port[2]) for i, port in enumerate(ports)}
    values |= {f"plus{i}": np.float32(0 if i else first_plus) for i in range(len(ports))}
    nodes = []
    for i, (name, _, _) in enumerate(ports):
        nodes.append(helper.make_node("Mul", [name, f"by{i}"], [f"scaled{i}"]))
        nodes.append(helper.make_node("Add", [f"scaled{i}", f"plus{i}"], [f"{name}_out"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape, _ in ports],
        [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, shape) for name, shape, _ in ports],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


def test_the_dialog_itself_scores_perfectly_and_the_mix_gains_nothing() -> None:
    dialog, background = _speechlike(4), 0.05 * np.random.default_rng(2).standard_normal(4 * RATE_HZ)
    mix = Mix("music", "voice", dialog, background.astype(np.float32))
    perfect, untouched = score(dialog, mix), score(mix.mix, mix)
    assert perfect.estoi == pytest.approx(1.0, abs=1e-3)
    assert perfect.si_sdri_db > 80 and perfect.lost_share == 0
    assert untouched.si_sdri_db == pytest.approx(0.0, abs=1e-6) and untouched.estoi < 0.95
    assert summary([perfect, untouched])["lost_share"] == 0


def test_pesq_of_the_dialog_itself_is_the_best_there_is() -> None:
    pytest.importorskip("pesq", reason="PESQ is compiled from source: pip install 'lumavox[scores]'")
    dialog = _speechlike(4)
    assert pesq_wb(dialog, dialog) == pytest.approx(4.64, abs=0.02)


def test_seconds_are_lost_where_the_stem_holds_background_in_place_of_dialog() -> None:
    rng = np.random.default_rng(3)
    dialog, other = rng.standard_normal((2, 8 * RATE_HZ)).astype(np.float32)
    dialog[: 4 * RATE_HZ] *= 1e-2  # a pause
    stem = dialog.copy()
    stem[4 * RATE_HZ : 5 * RATE_HZ] = other[4 * RATE_HZ : 5 * RATE_HZ]
    assert lost_seconds(stem, dialog) == 0.25


@pytest.mark.parametrize("name", ["gtcrn_simple.onnx", "ulunas_x.onnx", "fe_tiny.spec.onnx"])
def test_a_peer_on_spectra_that_changes_nothing_gives_the_sound_back_in_place(
    tmp_path: Path, name: str
) -> None:
    _network(tmp_path / name, [("mix", (1, 257, 1, 2), 1.0), ("cache", (1, 3), 1.0)])
    (peer,) = open_peers(tmp_path)
    x = _speechlike(1)[: RATE_HZ - 77]
    assert np.abs(peer.run(x) - x).max() < 1e-5


def test_a_peer_of_two_stages_adds_its_overlapping_frames(tmp_path: Path) -> None:
    """A mask of ones, then a quarter of each frame: four of them lie over every sample."""
    _network(tmp_path / "dtln_model_1.onnx", [("m", (1, 1, 257), 0.0), ("s", (1, 2), 1.0)], first_plus=1.0)
    _network(tmp_path / "dtln_model_2.onnx", [("x", (1, 1, 512), 0.25), ("s", (1, 2), 1.0)])
    (peer,) = open_peers(tmp_path)
    x = _speechlike(0.5)
    assert peer.name == "dtln" and np.abs(peer.run(x) - x).max() < 1e-5


def test_a_folder_without_known_peers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gtcrn"):
        open_peers(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        open_peers(tmp_path / "absent")


def test_spectrograms_of_several_sounds_are_one_picture(tmp_path: Path) -> None:
    sounds = {"mix": _speechlike(1), "stem": _speechlike(1, 2)}
    path = write_spectrograms(tmp_path / "a" / "b.png", sounds, RATE_HZ, "title")
    assert path.read_bytes()[:4] == b"\x89PNG"


class _HalfMask:
    """Stands for a streaming network."""

    def reset(self) -> None: ...

    def step(self, features: np.ndarray) -> np.ndarray:
        return np.full_like(features, 0.5)


def test_a_stem_that_is_half_the_mix_gains_nothing_loses_nothing_and_moves_no_level() -> None:
    front_end = BandFrontEnd().at_rate(RATE_HZ)
    mixes = de._Mixes({"float32": _HalfMask(), "int8": _HalfMask()}, front_end, [])  # type: ignore[dict-item]
    background = 0.03 * np.random.default_rng(2).standard_normal(4 * RATE_HZ).astype(np.float32)
    for snr_db in de.SNRS_DB:
        stem = mixes.add(Mix("music", "voice", _speechlike(4), background), snr_db, ())
    assert len(stem) > 3 * RATE_HZ
    figures = mixes.figures()
    for gains in figures["si_sdr_improvement_db"]["int8"].values():
        assert gains == {"music": pytest.approx(0, abs=0.05), "all": pytest.approx(0, abs=0.05)}
    assert figures["lost_dialog_share"] == 0.0
    assert figures["si_sdr_against_float_db"]["int8"] > 80
    assert figures["achieved_difference_lu"]["max"]["mean"] == pytest.approx(0.0, abs=0.01)
    rest = {"remix_at_medium": {}, "without_dialog": {}}
    table = de._table(figures | rest)
    assert "| ours int8 | +10 dB |" in table and "| unprocessed | -5 dB |" in table
