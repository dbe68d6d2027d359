"""From recipe to signed bundle and parity report, on data made here; unchanged stages are skipped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lumavox.bundle import Bundle
from lumavox.picture import Frame, PixelFormat
from lumavox.signing import SigningKey, TrustedKeys
from lumavox.video import Upscaler
from lumavox_export.artifacts import Artifact
from lumavox_export.cli import main
from lumavox_export.data.debug import make_debug_data
from lumavox_export.errors import RecipeError, StageError
from lumavox_export.families import de_cells, sr_plain
from lumavox_export.pipeline import Pipeline
from lumavox_export.recipe import Distill, Grow, Recipe
from lumavox_export.training import Schedule
from lumavox_export.weights import read_weights, write_weights
from lumavox_export.work import Work

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    root = make_debug_data(tmp_path_factory.mktemp("data"))
    SigningKey.generate().save(root / "key.pem")
    return Work(root / "out", root, root / "datasets", root / "cache", key=root / "key.pem")


def _run(work: Work, task: str) -> tuple[Bundle, Work]:
    recipe = Recipe.load(MODELS / task / "debug" / "recipe.toml")
    own = Work(work.out / task, work.data, work.manifests, work.cache, key=work.key)
    artifact = Pipeline(recipe, own, report=lambda _: None).run("bundle")
    assert own.key is not None
    trusted = TrustedKeys.of(SigningKey.load(own.key).public_pem())
    return Bundle.open(artifact.folder / "bundle", task=task, trusted_keys=trusted), own


@pytest.fixture(scope="module")
def sr(work: Work) -> tuple[Bundle, Work]:
    return _run(work, "sr")


@pytest.fixture(scope="module")
def de(work: Work) -> tuple[Bundle, Work]:
    return _run(work, "de")


def test_super_resolution_goes_from_recipe_to_signed_bundle(sr: tuple[Bundle, Work]) -> None:
    bundle, _ = sr
    assert bundle.signed_by and bundle.delay_frames == 0
    assert {(v.engine, v.precision, v.content) for v in bundle.variants} == {
        (e, p, c) for e in ("tflite", "onnx") for p in ("int8", "float32") for c in ("clean", "streamed")
    }
    integer = bundle.variants[0]
    assert dict(integer.operators) == {"CONV_2D": 3, "DEPTH_TO_SPACE": 1}
    assert integer.inputs[0].dtype == integer.outputs[0].dtype == "int8"
    assert "Numeric parity" in bundle.card
    assert [d.name for d in bundle.provenance.datasets] == ["debug-pictures"]


def test_the_runtime_enlarges_with_the_fresh_bundle(sr: tuple[Bundle, Work]) -> None:
    frame = Frame.empty(PixelFormat.GRAY8, 50, 31)
    frame.planes[0][...] = np.arange(50, dtype=np.uint8)[None, :] * 4
    with Upscaler.open(sr[0], content="clean") as upscaler:
        out = upscaler.process(frame)
        assert (out.width, out.height) == (100, 62)
        assert upscaler.record().frames_enhanced == 1
    inner = out.planes[0][8:-8, 8:-8].astype(float)
    assert np.abs(inner - np.repeat(np.repeat(frame.planes[0], 2, 0), 2, 1)[8:-8, 8:-8]).mean() < 6


def test_dialog_enhancement_goes_from_recipe_to_signed_bundle(de: tuple[Bundle, Work]) -> None:
    bundle, _ = de
    assert bundle.signed_by and bundle.delay_samples == 1440
    assert bundle.variants[0].states and bundle.front_end["bands"] == 48
    assert [requested for requested, _ in bundle.calibration] == [3.0, 6.0, 9.0, 12.0]
    assert [(v.engine, v.precision) for v in bundle.variants] == [
        ("tflite", "float32"), ("onnx", "float32"), ("tflite", "w8a16"), ("tflite", "int8"), ("onnx", "int8"),
    ]  # fmt: skip
    assert not {"TRANSPOSE", "DEQUANTIZE", "QUANTIZE"} & set(bundle.variants[0].operators)


def test_a_second_run_skips_every_stage(sr: tuple[Bundle, Work]) -> None:
    said: list[str] = []
    Pipeline(Recipe.load(MODELS / "sr" / "debug" / "recipe.toml"), sr[1], said.append).run("bundle")
    assert said == [f"{name}: unchanged" for name in ("train", "distill", "quantize", "export", "bundle")]


def test_an_altered_stage_is_refused_when_a_later_one_is_asked_for_alone(
    sr: tuple[Bundle, Work], tmp_path: Path
) -> None:
    _, work = sr
    record = (work.out / "quantize" / "artifact.json").read_text()
    weights = work.out / "quantize" / "weights.safetensors"
    before = weights.read_bytes()
    try:
        weights.write_bytes(before[:-1])
        with pytest.raises(StageError, match="altered since the stage"):
            Artifact.load(work.out / "quantize")
    finally:
        weights.write_bytes(before)
    assert (work.out / "quantize" / "artifact.json").read_text() == record


def test_a_stage_without_its_input_says_which_to_run(tmp_path: Path) -> None:
    recipe = Recipe.load(MODELS / "sr" / "debug" / "recipe.toml")
    empty = Work(tmp_path, tmp_path, tmp_path, tmp_path)
    with pytest.raises(StageError, match="run that stage first"):
        Pipeline(recipe, empty).run("quantize", first="quantize")


def test_the_command_names_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [
            "train",
            str(MODELS / "sr" / "debug" / "recipe.toml"),
            "--data",
            str(tmp_path),
            "--out",
            str(tmp_path / "o"),
            "--cache",
            str(tmp_path / "c"),
        ]
    )
    assert code == 2
    said = capsys.readouterr().err
    assert "no dataset manifest 'debug-pictures'" in said and said.count("\n") == 1


def test_a_signing_key_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", str(tmp_path / "key.pem")]) == 0
    before = (tmp_path / "key.pem").read_bytes()
    assert main(["keygen", str(tmp_path / "key.pem")]) == 2
    assert (tmp_path / "key.pem").read_bytes() == before
    assert "never overwritten" in capsys.readouterr().err


def test_a_student_learns_from_the_weights_of_a_finished_teacher(work: Work, tmp_path: Path) -> None:
    """And from no other file than the one that the recipe names."""
    recipe = Recipe.load(MODELS / "de" / "debug" / "recipe.toml")
    (content,) = recipe.contents
    teacher = {"bands": 48, "positions": 12, "channels": 16, "frequency_dilations": (1,), "wide_after": ()}
    short = Schedule(steps=3, optimizer="soap")
    distill = Distill(teacher=teacher, teacher_weights="teacher.safetensors", student_train=short)
    guided = replace(recipe, contents=(replace(content, train=short, distill=distill),), folder=tmp_path)
    own = Work(tmp_path / "out", work.data, work.manifests, work.cache)
    with pytest.raises(RecipeError, match=r"teacher_weights: there is no file"):
        Pipeline(guided, own, report=lambda _: None).run("distill")
    network = de_cells.Network(channels=16, frequency_dilations=(1,), wide_after=(), bands=48, positions=12)
    write_weights(tmp_path / "teacher.safetensors", {"any": network.build().state_dict()})
    artifact = Pipeline(guided, own, report=lambda _: None).run("distill")
    assert (artifact.folder / "any" / "student" / "log.jsonl").is_file()
    assert not (artifact.folder / "any" / "teacher").exists()


def test_a_network_grows_from_the_weights_that_the_recipe_names(work: Work, tmp_path: Path) -> None:
    recipe = Recipe.load(MODELS / "sr" / "debug" / "recipe.toml")
    content = recipe.contents[0]
    small = sr_plain.Network(scale=2, channels=6, layers=2)
    grow = Grow({"scale": 2, "channels": 6, "layers": 2}, "small.safetensors")
    still = Schedule(steps=1, learning_rate=0.0)
    grown = replace(
        recipe, contents=(replace(content, train=still, grow=grow, distill=None),), folder=tmp_path
    )
    own = Work(tmp_path / "out", work.data, work.manifests, work.cache)
    with pytest.raises(RecipeError, match=r"contents.grow.weights: there is no file"):
        Pipeline(grown, own, report=lambda _: None).run("train")
    state = small.build().state_dict()
    write_weights(tmp_path / "small.safetensors", {content.name: state})
    artifact = Pipeline(grown, own, report=lambda _: None).run("train")
    kept = read_weights(artifact.folder / "weights.safetensors")[content.name]
    assert torch.equal(kept["weights.0"][:5], state["weights.0"][:5])  # the sixth is the anchor's
    write_weights(tmp_path / "small.safetensors", {content.name: small.build().state_dict()})
    assert Pipeline(grown, own, report=lambda _: None).run("train").digest != artifact.digest


def test_a_family_that_cannot_grow_says_so(work: Work, tmp_path: Path) -> None:
    recipe = Recipe.load(MODELS / "de" / "debug" / "recipe.toml")
    (content,) = recipe.contents
    write_weights(tmp_path / "any.safetensors", {"any": {}})
    grown = replace(recipe, contents=(replace(content, grow=Grow({}, "any.safetensors")),), folder=tmp_path)
    own = Work(tmp_path / "out", work.data, work.manifests, work.cache)
    with pytest.raises(RecipeError, match="family 'de_cells' cannot grow"):
        Pipeline(grown, own, report=lambda _: None).run("train")
