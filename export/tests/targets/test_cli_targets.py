"""The target commands on a small bundle: compile, write into a copy, lint, advise; errors leave no trace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from graphs import picture_graph, plan_for, random_feeds
from lumavox.bundle import Bundle, Provenance
from lumavox.bundle_writer import write_bundle
from lumavox.errors import EngineError
from lumavox.session import Session
from lumavox.signing import SigningKey, TrustedKeys
from lumavox_export.cli import main
from lumavox_export.exporter import Content, ExportInput, Integers, export
from lumavox_export.npu.advise import advise
from lumavox_export.npu.cache import Cache
from lumavox_export.npu.compiler import Compiler
from lumavox_export.npu.cost_model import CostModel, plain_network
from lumavox_export.npu.environments import Environments
from lumavox_export.npu.presets import HOP, Preset, for_scale, parse
from lumavox_export.npu.table import targets_table
from lumavox_export.reference import run_float

FRONT_END = {"scale": 2, "plane": "luma", "bit_depth": 8, "receptive_field": 7}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    graph = picture_graph(channels=20)
    feeds = [random_feeds(graph, np.random.default_rng(0), (16, 16))]
    content = Content("any", graph, (Integers(graph, plan_for(graph)),), lambda f: run_float(graph, f), feeds)
    made = export(ExportInput((content,)), folder / "export")
    return write_bundle(
        folder / "bundle",
        id="sr/tiny",
        version="1.0.0",
        front_end=FRONT_END,
        variants=made.variants,
        provenance=Provenance(),
        card="# tiny",
        files=made.files(),
        key=None,
    )


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    return ["--preset", "40x24", "--cache", str(tmp_path / "c"), "--environments", str(tmp_path / "e")]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_compiled_network_becomes_a_variant_of_a_signed_copy(bundle, options, tmp_path, capsys) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "sign.key")
    before, copy = contents(bundle), tmp_path / "copy"
    words = ["compile", str(bundle), "--target", "cpu-litert", *options, "--write-bundle", str(copy)]
    assert main([*words, "--key", str(tmp_path / "sign.key")]) == 0
    assert "all of 4 operators on a CPU" in capsys.readouterr().out
    assert contents(bundle) == before
    opened = Bundle.open(copy, trusted_keys=TrustedKeys.of(key.public_pem()))
    made = opened.variants[-1]
    assert (made.name, made.target, made.compiler) == (
        "any-int8-cpu-litert-40x24",
        "cpu-litert",
        "ai-edge-litert",
    )
    assert made.inputs[0].shape == (1, 24, 40, 1)
    assert opened.variants[:-1] == Bundle.open(bundle, allow_unsigned=True).variants
    assert "targets/cpu-litert/any-int8-40x24/record.json" in opened.files
    with Session.open(opened) as session:  # what is compiled for a target is not chosen for the CPU
        assert session.variant.target == "cpu"


def test_float16_is_written_from_the_float32_network_and_is_half_its_size(bundle, options, tmp_path) -> None:
    words = ["compile", str(bundle), "--target", "cpu-litert", "--out", str(tmp_path / "out"), *options]
    sizes = {}
    for precision in ("float32", "float16"):
        assert main([*words, "--precision", precision]) == 0
        folder = tmp_path / "out" / "sr/tiny/cpu-litert" / f"any-{precision}-40x24"
        sizes[precision] = (folder / "model.tflite").stat().st_size
    assert sizes["float16"] < 0.75 * sizes["float32"]


def test_mixed_precision_tells_gain_time_and_quality_and_leaves_the_model_alone(
    bundle, options, tmp_path, capsys
) -> None:
    before = contents(bundle)
    words = ["mixed", str(bundle), *options, "--out", str(tmp_path / "out"), "--target"]
    assert main([*words, "cpu-litert", "--budget", "1"]) == 0
    said = capsys.readouterr().out
    assert "| tensor | gain, dB | of MACs |" in said and "| mixed | 40x24 |" in said
    narrow, mixed = (
        len((tmp_path / "out" / name / "sr/tiny/cpu-litert/any-int8-40x24/model.tflite").read_bytes())
        for name in ("int8", "mixed")
    )
    assert mixed > narrow and contents(bundle) == before
    assert main([*words, "cpu-litert", "--budget", "2"]) == 2
    assert "share of MACs in 16 bits is 0 to 1" in capsys.readouterr().err
    assert main([*words, "cpu-ort"]) == 2
    assert "cpu-ort takes onnx, which has one width; try cpu-litert" in capsys.readouterr().err


def test_a_second_run_comes_from_the_cache_and_files_are_copied_out(
    bundle, options, tmp_path, capsys
) -> None:
    words = ["compile", str(bundle), "--target", "cpu-litert", *options, "--out", str(tmp_path / "out")]
    assert main(words) == 0 and main(words) == 0
    first, second = capsys.readouterr().out.strip().splitlines()
    assert first.endswith("compiled") and second.endswith("from the cache")
    assert (tmp_path / "out/sr/tiny/cpu-litert/any-int8-40x24/model.tflite").is_file()


def test_an_absent_environment_is_an_error_by_name_and_a_skip_among_all(bundle, options, capsys) -> None:
    assert main(["compile", str(bundle), "--target", "ethos-u65-512", *options]) == 2
    said = capsys.readouterr().out
    assert (
        "SKIP: environment 'vela' is not made; make it usable with: lumavox-export environment vela" in said
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "ethos-u66"], "unknown target 'ethos-u66'"),
        (["--target", "cpu-litert", "--preset", "541p"], "unknown preset '541p'"),
        (["--target", "cpu-litert", "--precision", "w8a16"], "unknown precision 'w8a16'"),
        ([], "give --target NAME"),
    ],
)
def test_what_is_not_known_is_named(bundle, options, capsys, words, said) -> None:
    assert main(["compile", str(bundle), *words, *options]) == 2
    assert said in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_one_error_and_no_bundle(bundle, tmp_path, capsys) -> None:
    (tmp_path / "cache").write_text("a file")
    before = contents(bundle)
    words = ["compile", str(bundle), "--target", "cpu-litert", "--preset", "40x24"]
    words += ["--cache", str(tmp_path / "cache"), "--write-bundle", str(tmp_path / "copy")]
    assert main(words) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert contents(bundle) == before and not (tmp_path / "copy").exists()


def test_lint_tells_what_an_npu_without_depth_to_space_needs(bundle, capsys) -> None:
    assert main(["lint", str(bundle), "--target", "ethos-u85-512"]) == 1
    assert "DepthToSpace enlarged: operator is not supported; rewrite: depth_to_space_as_rows" in (
        capsys.readouterr().out
    )
    assert main(["lint", str(bundle), "--target", "cpu-litert"]) == 0


def test_presets_follow_from_the_scale() -> None:
    names = {scale: [preset.name for preset in for_scale(scale)] for scale in (1.5, 2, 3, 4)}
    assert names == {
        1.5: ["720p-1080p"],
        2: ["360p-720p", "540p-1080p", "1080p-4k"],
        3: ["360p-1080p", "720p-4k"],
        4: ["540p-4k"],
    }
    assert parse("96x64", for_scale(2)) == Preset("96x64", 64, 96)
    assert parse("hop", (HOP,)) == HOP


def compiler(tmp_path: Path) -> Compiler:
    return Compiler(Cache(tmp_path / "cache"), Environments(tmp_path / "environments"))


def test_the_table_has_no_cell_without_a_reason(bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("lumavox_export.npu.presets.for_scale", lambda scale: (Preset("40x24", 24, 40),))
    text = targets_table([(Bundle.open(bundle, allow_unsigned=True), bundle)], compiler(tmp_path))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > 6
    assert all(cell.strip() for row in rows for cell in row.strip("|").split("|"))
    assert "not here [1]" in text and "\n1. " in text


def test_a_table_of_the_cache_alone_says_what_is_not_compiled_and_calls_no_tool(
    bundle, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("lumavox_export.npu.presets.for_scale", lambda scale: (Preset("40x24", 24, 40),))
    models = [(Bundle.open(bundle, allow_unsigned=True), bundle)]
    cached = Compiler(Cache(tmp_path / "cache"), Environments(tmp_path / "environments"), cached_only=True)
    assert "| cpu-litert | not compiled [" in targets_table(models, cached)
    some = targets_table(models, compiler(tmp_path), ["cpu-litert"])
    assert "| cpu-litert | none, a CPU |" in some and "| cpu-ort | not compiled [" in some
    whole = targets_table(models, compiler(tmp_path))
    assert targets_table(models, cached) == whole and "not compiled" not in whole


def test_a_family_in_trouble_is_a_cell_of_the_table_and_measured_quality_fills_in(
    bundle, tmp_path, monkeypatch
) -> None:
    """cpu-ort raises what it should not, cpu-litert has no simulator."""
    monkeypatch.setattr("lumavox_export.npu.presets.for_scale", lambda scale: (Preset("40x24", 24, 40),))
    plain = Compiler.compile

    def troubled(self, network, preset, target):  # type: ignore[no-untyped-def]
        if target == "cpu-ort":
            raise EngineError("the engine\nfell over")
        return plain(self, network, preset, target)

    monkeypatch.setattr(Compiler, "compile", troubled)
    monkeypatch.setattr(Compiler, "agreement", lambda self, network, target: "no simulator")
    measured = {"stills": {"any int8": {"psnr_y_db": 35.5}}}
    (bundle.parent / "measured.json").write_text(json.dumps(measured))
    text = targets_table([(Bundle.open(bundle, allow_unsigned=True), bundle)], compiler(tmp_path))
    (bundle.parent / "measured.json").unlink()
    assert "| cpu-ort | refused [" in text and "the engine fell over" in text
    assert "35.50 dB PSNR-Y [" in text and "no simulator" in text


def test_advice_ranks_what_fits_and_says_what_would(bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("lumavox_export.npu.presets.for_scale", lambda scale: (Preset("40x24", 24, 40),))
    model = CostModel("cpu-litert", (0.1, 0.0, 0.01), 0.2, 8)
    monkeypatch.setattr(CostModel, "calibrate", classmethod(lambda cls, *_: model))
    opened = [(Bundle.open(bundle, allow_unsigned=True), bundle)]
    good = advise(opened, compiler(tmp_path), "cpu-litert", 1000.0)
    assert [c.model for c in good.fitting] == ["sr/tiny"] and not good.others and not good.remarks
    assert good.fitting[0].unit == "not measured"
    tight = advise(opened, compiler(tmp_path), "cpu-litert", 0.041, predict=True)
    assert not tight.fitting and tight.others[0].total_ms == pytest.approx(0.0418, abs=1e-4)
    assert "20% off on average" in tight.remarks[0]
    assert "40x24: a plain x2 network of 16 channels and 3 layers" in tight.remarks[1]
    none = advise(opened, compiler(tmp_path), "cpu-litert", 0.001, predict=True)
    assert none.remarks[1].startswith("40x24: no plain network down to 8 channels and 3 layers fits")


def test_a_cost_model_recovers_the_costs_it_was_fitted_to(tmp_path, monkeypatch) -> None:
    from lumavox_export.npu import cost_model

    class Linear:
        def compile(self, network, size, target):  # type: ignore[no-untyped-def]
            terms = cost_model._terms(network.fixed(size).graph)
            record = type("R", (), {"total_ms": float(terms @ np.array([1.5, 0.02, 0.1]))})
            return type("O", (), {"record": record})

    model = CostModel.calibrate(Linear(), "any")  # type: ignore[arg-type]
    np.testing.assert_allclose(model.weights, (1.5, 0.02, 0.1), rtol=1e-6)
    assert model.error < 1e-6
    graph = plain_network(20, 5).fixed(Preset("any", 100, 100)).graph
    assert model.predict_ms(graph) == pytest.approx(cost_model._terms(graph) @ np.array([1.5, 0.02, 0.1]))
