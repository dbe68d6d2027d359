"""Evaluation of super-resolution: peers beside us on the same pictures, kinds, gains, crops."""

import csv
import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from lumavox.bundle import Bundle
from lumavox.errors import EngineError, OptionError
from lumavox_export.cli import main
from lumavox_export.data.debug import make_debug_data
from lumavox_export.errors import DatasetError
from lumavox_export.evaluation import Options, evaluate, sr, sr_synthetic
from lumavox_export.evaluation.sr_costs import onnx_costs, tflite_costs
from lumavox_export.evaluation.sr_crops import ENLARGED, SIDE, write_crops
from lumavox_export.evaluation.sr_material import (
    Clip,
    Group,
    Pair,
    clips,
    encoded,
    folder_stills,
    still,
    stills,
)
from lumavox_export.evaluation.sr_methods import Costs, Method, conventional, in_colour, methods
from lumavox_export.evaluation.sr_peers import open_peer, peer_files
from lumavox_export.evaluation.sr_score import figures, quantization, score
from lumavox_export.evaluation.sr_synthetic import PAN_FRAMES, pan, text_picture, with_grain
from lumavox_export.recipe import Recipe
from lumavox_export.work import Work

MODEL = Path(__file__).parents[2] / "models" / "sr" / "base-x2"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(MODEL / "bundle", task="sr")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Validation data of the shipped recipe's name: three stills of two kinds, a clip of two frames."""
    root = make_debug_data(tmp_path_factory.mktemp("data"))
    with (root / "datasets" / "debug-pictures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = ["text", "faces", "", "animation", "animation"]
    for row, kind in zip(rows, kinds):
        row["kind"] = kind
    for number in (3, 4):
        name = f"clips/short/{number}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / rows[number]["file"], root / name)
        rows[number]["file"] = name
    with (root / "datasets" / "pictures-val.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[:5])
    (root / "datasets" / "pictures-val.toml").write_text(
        'name = "pictures-val"\ntitle = "v"\nevidence = "e"\n'
    )
    (root / "folder").mkdir()
    shutil.copy(root / "pictures" / "7.png", root / "folder" / "a.png")
    return Work(root / "out", root, root / "datasets", root / "cache")


def _rgb_network(scale: int = 2) -> onnx.ModelProto:
    """Nearest repeat in RGB: a 1x1 convolution to 3 * scale^2 channels and DepthToSpace."""
    weight = np.repeat(np.eye(3, dtype=np.float32), scale**2, 0)[:, :, None, None]
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["h"]),
        onnx.helper.make_node("DepthToSpace", ["h"], ["y"], blocksize=scale, mode="CRD"),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "nearest",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, "h", "w"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, "H", "W"])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def peers(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own network as if it were another's (ONNX and TFLite), an RGB one, one that is no network."""
    folder = tmp_path_factory.mktemp("peers")
    own = {v.name: bundle.read(v.file) for v in bundle.variants}
    (folder / "own_x2.onnx").write_bytes(own["clean-float32-onnx"])
    (folder / "own_x2.tflite").write_bytes(own["clean-int8-tflite"])
    (folder / "nearest_x2.onnx").write_bytes(_rgb_network().SerializeToString())
    (folder / "broken_x2.onnx").write_bytes(b"not a network")
    (folder / "wrong-scale_x2.onnx").write_bytes(_rgb_network(3).SerializeToString())
    (folder / "other_x3.onnx").write_bytes(_rgb_network(3).SerializeToString())
    return folder


@pytest.fixture(scope="module")
def measured(data: Work, peers: Path) -> tuple[dict, str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sr, "SHOWN", (72, 96))
        patch.setattr(sr, "CODECS", {"libx264": (26,)})
        patch.setattr(sr, "ROUNDS", 1)
        patch.setattr(sr_synthetic, "TEXT_SIZE", (120, 200))
        patch.setattr(sr_synthetic, "PAN_SIZE", (64, 96))
        patch.setattr(sr_synthetic, "PAN_FRAMES", 2)
        patch.setattr(sr_synthetic, "GRAINED", 1)
        crops = data.out / "crops"
        options = Options(peers=peers, pictures=(data.data / "folder",), crops=crops)
        found, table = evaluate(Recipe.load(MODEL / "recipe.toml"), data, options)
    return found, table, crops


def test_all_methods_are_measured_on_the_same_pictures(measured: tuple[dict, str, Path]) -> None:
    found, table, _ = measured
    everyone = {"bicubic", "lanczos", "own", "own (tflite)", "nearest"} | {
        f"{c} {p}" for c in ("clean", "streamed") for p in ("float32", "int8")
    }
    assert everyone == set(found["encoded"]["libx264 crf 26"]) == set(found["speed"]["in_turn"])
    coloured = everyone | {"clean int8 RGB", "streamed int8 RGB"}  # streams are luma
    assert coloured == set(found["methods"]) == set(found["stills"])
    assert coloured == set(found["pictures"]["folder"]["stills"])
    assert all(name in table for name in coloured)
    json.dumps(found, allow_nan=False)


def test_our_network_as_a_peer_scores_as_ours_does(measured: tuple[dict, str, Path]) -> None:
    """The same weights through the peers' path: engines differ by less than a step."""
    found = measured[0]
    for scores in (found["stills"], found["encoded"]["libx264 crf 26"]):
        assert scores["own"]["psnr_y_db"] == pytest.approx(scores["clean float32"]["psnr_y_db"], abs=0.01)
        assert scores["own (tflite)"]["psnr_y_db"] == scores["clean int8"]["psnr_y_db"]


def test_a_peer_that_does_not_load_or_fit_is_a_row_with_the_reason(measured: tuple[dict, str, Path]) -> None:
    found, table, _ = measured
    assert set(found["peers_not_measured"]) == {"broken_x2.onnx", "wrong-scale_x2.onnx"}
    assert "wanted (48, 72)" in found["peers_not_measured"]["wrong-scale_x2.onnx"]
    assert "broken_x2.onnx: not measured" in table


def test_gains_are_the_differences_of_the_columns(measured: tuple[dict, str, Path]) -> None:
    stills_ = measured[0]["stills"]
    own = stills_["streamed int8"]
    for name in ("bicubic", "lanczos"):
        difference = own["psnr_y_db"] - stills_[name]["psnr_y_db"]
        assert own[f"over_{name}_db"] == pytest.approx(difference, abs=0.0015)
    best = max(("own", "own (tflite)", "nearest"), key=lambda n: stills_[n]["psnr_y_db"])
    assert own["best_peer"] == best
    assert own["over_best_peer_db"] == pytest.approx(
        own["psnr_y_db"] - stills_[best]["psnr_y_db"], abs=0.0015
    )


def test_kinds_are_measured_apart_and_missing_ones_are_called_synthetic(
    measured: tuple[dict, str, Path],
) -> None:
    kinds = measured[0]["by_kind"]
    assert list(kinds) == ["animation", "faces", "text", "grain (synthetic)", "text (synthetic)"]
    assert kinds["animation"]["names"] == ["clips/short"] and not kinds["animation"]["stills"]
    assert kinds["faces"]["names"] == ["pictures/1.png", "pictures/1.png pan"]
    assert all(k["streamed"]["bicubic"]["psnr_y_db"] > 15 for k in kinds.values())


def test_crops_are_written_for_every_kind_of_still_and_for_the_worst(
    measured: tuple[dict, str, Path],
) -> None:
    names = {p.name for p in measured[2].iterdir()}
    assert names == {
        "faces.png", "text.png", "other.png", "worst.png", "grain-synthetic.png", "text-synthetic.png"
    }  # fmt: skip
    strip = cv2.imread(str(measured[2] / "worst.png"), cv2.IMREAD_GRAYSCALE)
    assert strip is not None and strip.shape[0] > SIDE * ENLARGED and strip.shape[1] > 4 * SIDE * ENLARGED


def test_options_of_super_resolution_are_refused_for_sound(data: Work) -> None:
    recipe = Recipe.load(next(MODEL.parents[1].glob("de/*/bundle")).parent / "recipe.toml")
    with pytest.raises(OptionError, match="--pictures"):
        evaluate(recipe, data, Options(pictures=(Path("x"),)))


def test_leaving_out_the_dataset_without_pictures_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(MODEL / "recipe.toml"), "--no-dataset"]) == 2
    assert "--no-dataset needs --pictures" in capsys.readouterr().err


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no pictures there \(looked for .png"):
        next(folder_stills(tmp_path, 2))


def test_costs_read_from_the_files_are_those_of_the_graph(bundle: Bundle) -> None:
    network = Recipe.load(MODEL / "recipe.toml").network.build().to_graph()  # type: ignore[attr-defined]
    oracle = Costs(network.parameters(), network.macs(24, 24) / 24**2)
    own = {v.name: bundle.read(v.file) for v in bundle.variants}
    assert onnx_costs(own["clean-float32-onnx"]) == oracle
    assert onnx_costs(own["clean-int8-onnx"]) == oracle
    assert tflite_costs(own["clean-float32-tflite"]) == oracle
    assert tflite_costs(own["clean-int8-tflite"]) == oracle


def test_grouped_and_transposed_convolutions_are_counted_as_defined() -> None:
    """8 channels in 4 groups: 3*3*2*8 per pixel; transposed 4x4 to one channel: 4*4*8 per input pixel."""
    f = onnx.TensorProto.FLOAT
    weights = {"a": (8, 3, 1, 1), "b": (8, 2, 3, 3), "c": (8, 1, 4, 4), "s": (8, 1, 1)}
    nodes = [
        onnx.helper.make_node("Conv", ["x", "a"], ["h0"]),
        onnx.helper.make_node("Conv", ["h0", "b"], ["h1"], group=4, pads=[1, 1, 1, 1]),
        onnx.helper.make_node("PRelu", ["h1", "s"], ["h2"]),
        onnx.helper.make_node("ConvTranspose", ["h2", "c"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", f, [1, 3, "h", "w"])],
        [onnx.helper.make_tensor_value_info("y", f, [1, 1, "H", "W"])],
        [onnx.numpy_helper.from_array(np.zeros(s, np.float32), n) for n, s in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    costs = onnx_costs(model.SerializeToString())
    assert costs.parameters == 8 * 3 + 8 * 2 * 9 + 8 * 16 + 8
    assert costs.macs_per_pixel == 8 * 3 + 8 * 2 * 9 + 8 * 16


def test_a_peer_of_rgb_sees_the_rgb_of_stills_and_the_gray_of_clips(peers: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
    pair = still(rgb, "a", "", 2).pairs[0]
    assert pair.rgb is not None
    luma = 16 + pair.rgb @ np.array([65.481, 128.553, 24.966]) / 255
    with open_peer(peers / "nearest_x2.onnx", 2) as peer:
        assert np.abs(peer.run(pair) - np.repeat(np.repeat(luma, 2, 0), 2, 1)).max() < 1e-3
        inside = np.clip(pair.low, 16, 235)
        got = peer.run(Pair(inside, pair.high))
        assert np.abs(got - np.repeat(np.repeat(inside.astype(float), 2, 0), 2, 1)).max() <= 0.5


def test_peers_are_found_by_their_scale_and_a_wrong_folder_is_named(peers: Path, tmp_path: Path) -> None:
    assert [p.name for p in peer_files(peers, 3)] == ["other_x3.onnx"]
    (tmp_path / "a_x1.5.onnx").touch()
    assert [p.name for p in peer_files(tmp_path, 1.5)] == ["a_x1.5.onnx"]
    with pytest.raises(DatasetError, match=r"\*_x4.onnx"):
        peer_files(peers, 4)
    with pytest.raises(DatasetError, match="no such folder"):
        peer_files(tmp_path / "none", 2)
    with pytest.raises(EngineError, match="broken"), ExitStack() as stack:
        stack.enter_context(open_peer(peers / "broken_x2.onnx", 2))


def test_a_clip_counts_once_and_the_worst_frame_is_named() -> None:
    """Errors of 1, 2 and 4 steps: 48.13, 42.11 and 36.09 dB; the long clip does not outweigh the short."""

    def frame(error: int) -> Pair:
        high = np.full((16, 16), 100, np.float32)
        return Pair(np.full((8, 8), 100 + error, np.uint8), high)

    repeat = Method(
        "repeat", "ours", lambda p: np.repeat(np.repeat(p.low, 2, 0), 2, 1).astype(float), lambda _: print, ""
    )
    groups = [Group("long", "", (frame(2), frame(2), frame(4))), Group("short", "", (frame(1),))]
    found = figures(score([repeat], groups, 2, "test"), [repeat], clips=True)["repeat"]
    db = {e: 20 * np.log10(255 / e) for e in (1, 2, 4)}
    assert found["psnr_y_db"] == pytest.approx(((2 * db[2] + db[4]) / 3 + db[1]) / 2, abs=1e-3)
    assert found["psnr_y_db_by_frame"] == pytest.approx((2 * db[2] + db[4] + db[1]) / 4, abs=1e-3)
    assert found["worst_frame"] == {"clip": "long", "frame": 2}
    assert found["worst_psnr_y_db"] == pytest.approx(db[4], abs=1e-3)


def test_what_integers_cost_is_the_mean_and_the_worst_difference_to_float() -> None:
    def method(precision: str, error: int) -> Method:
        def run(pair: Pair) -> np.ndarray:
            return np.full(pair.high.shape, 100.0 + error * pair.low[0, 0])

        return Method(f"any {precision}", "ours", run, lambda _: print, "", "any", precision)

    truth = np.full((16, 16), 100, np.float32)
    groups = [Group(str(n), "", (Pair(np.full((8, 8), n, np.uint8), truth),)) for n in (1, 2)]
    both = [method("float32", 1), method("int8", 2)]
    found = quantization(score(both, groups, 2, "test"), both)["any int8"]
    assert found["mean_db"] == found["worst_db"] == pytest.approx(-20 * np.log10(2), abs=1e-3)


def test_streams_come_out_of_the_cache_as_they_went_in(data: Work, tmp_path: Path) -> None:
    clip = next(clips([data.dataset("pictures-val")]))
    assert (clip.name, clip.kind, len(clip.frames)) == ("clips/short", "animation", 2)
    fresh = encoded(clip, 2, "libx264", 30)
    kept, again = (encoded(clip, 2, "libx264", 30, cache=tmp_path) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1 and fresh.bytes == kept.bytes == again.bytes > 0
    for a, b in zip(kept.pairs, again.pairs):
        assert np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high)


@pytest.mark.parametrize("scale", [1.5, 2, 3])
def test_encoded_frames_are_even_and_meet_their_truth(scale: float) -> None:
    rng = np.random.default_rng(1)
    clip = Clip("c", "", tuple(rng.uniform(16, 235, (71, 93)).astype(np.float32) for _ in range(2)))
    for pair in encoded(clip, scale, "libx264", 30).pairs:
        assert all(n % 2 == 0 for n in pair.low.shape)
        assert pair.high.shape == tuple(int(n * scale) for n in pair.low.shape)


def test_filters_enlarge_by_one_and_a_half(data: Work) -> None:
    group = next(stills([data.dataset("pictures-val")], 1.5))
    assert conventional("bicubic", 1.5).run(group.pairs[0]).shape == group.pairs[0].high.shape == (144, 192)


def test_variants_come_by_content_and_floating_point_first(bundle: Bundle) -> None:
    with methods(bundle, 2) as found:
        assert [m.name for m in found] == [
            "bicubic", "lanczos", "clean float32", "clean int8", "streamed float32", "streamed int8"
        ]  # fmt: skip


def test_of_gray_pictures_rgb_is_what_luma_is(bundle: Bundle) -> None:
    """But for 219 steps of luma in 255 of gray: each is within half a step of what the other rounds to."""
    luma = np.random.default_rng(3).integers(60, 180, (24, 32), dtype=np.uint8)
    blurred = cv2.GaussianBlur(luma, (0, 0), 2)
    gray = np.rint((blurred - 16.0) * 255 / 219).astype(np.uint8)
    with methods(bundle, 2) as plain, in_colour(bundle, 2) as coloured:
        own = next(m for m in plain if m.name == "clean int8")
        shown = next(m for m in coloured if m.name == "clean int8 RGB")
        pair = Pair(blurred, np.zeros((48, 64), np.float32), np.repeat(gray[..., None], 3, 2))
        assert np.abs(shown.run(pair) - own.run(pair)).max() <= 1.0


def test_synthetic_material_is_the_same_every_time_and_grain_moves() -> None:
    assert np.array_equal(text_picture(), text_picture())
    gray = np.full((64, 96, 3), 128, np.uint8)
    assert np.array_equal(with_grain(gray), with_grain(gray))
    assert with_grain(gray).std() == pytest.approx(7, rel=0.1)
    clip = pan(gray, "g", "grain", grain=True)
    assert len(clip.frames) == PAN_FRAMES and not np.array_equal(clip.frames[0], clip.frames[1])


def test_the_strip_shows_where_we_gain_most(tmp_path: Path) -> None:
    """Truth is flat; Lanczos is wrong in one corner, ours in the other."""
    high = np.full((300, 300), 100, np.float32)

    def wrong(y: int) -> Method:
        def run(pair: Pair) -> np.ndarray:
            out = high.copy()
            out[y : y + 60, y : y + 60] += 50
            return out

        return Method("m", "ours", run, lambda _: print, "")

    group = Group("p", "text", (Pair(np.full((150, 150), 100, np.uint8), high),))
    paths = write_crops(tmp_path, [group], wrong(20), wrong(220), 2)
    assert [p.name for p in paths] == ["text.png", "worst.png"]
    for path, (theirs, own) in zip(paths, [(150, 100), (100, 150)]):
        strip = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert strip is not None
        side, pitch = SIDE * ENLARGED, (strip.shape[1] - SIDE * ENLARGED) // 3
        panels = [strip[-side:, n * pitch : n * pitch + side] for n in range(4)]
        assert [p.max() for p in panels] == [100, theirs, own, 100]
