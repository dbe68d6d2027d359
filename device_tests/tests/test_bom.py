"""A cell's bill of materials names everything that its result depends on, and nothing that is not known."""

from __future__ import annotations

import json

import pytest

import synthetic
from lumavox_matrix.bom import as_cyclonedx
from lumavox_matrix.cli import main
from lumavox_matrix.judged import judge_all
from lumavox_matrix.policy import Policy
from lumavox_matrix.runner.record import Observation
from lumavox_matrix.store import Store


def result(**parts):
    seen = synthetic.observations(
        delta_psnr_y_mean=Observation("delta_psnr_y_mean", "quality", None, 0.04, None, "dB", 4)
    )
    made = synthetic.record(synthetic.histogram(9_000.0, 1), seen)
    return synthetic.result(synthetic.cell_of(0, **parts), made)


def document(**parts):
    (judged,) = judge_all([result(**parts)], Policy())
    return json.loads(as_cyclonedx(judged))


def test_every_part_of_the_key_that_has_a_version_is_a_component():
    made = document(compiler="vela 4.2")
    kinds = {part["type"]: part for part in made["components"]}
    assert set(kinds) == {
        "machine-learning-model", "device", "framework", "library", "firmware", "device-driver",
        "application",
    }  # fmt: skip
    assert kinds["firmware"]["version"] == "2026.8" and kinds["framework"]["version"] == "2.3.0"
    assert made["dependencies"][0]["dependsOn"] == [part["bom-ref"] for part in made["components"]]


def test_the_figures_are_metrics_of_the_model_with_their_rung():
    model = document()["components"][0]
    metrics = {m["type"]: m for m in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["PSNR-Y lost, mean, dB"]["value"] == "0.04"
    assert float(metrics["p99 of a frame or block, ms"]["value"]) > 9
    assert all(metric["slice"].endswith("measured") for metric in metrics.values())


def test_what_nobody_knows_is_left_out():
    made = document(firmware="unknown", driver="none")
    assert {"firmware", "device-driver"}.isdisjoint({part["type"] for part in made["components"]})
    assert "unknown" not in json.dumps(made)


def test_the_document_is_valid_by_the_schema():
    validation = pytest.importorskip(
        "cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed"
    )
    schema = pytest.importorskip("cyclonedx.schema").SchemaVersion.V1_6
    (judged,) = judge_all([result()], Policy())
    assert validation.JsonStrictValidator(schema).validate_str(as_cyclonedx(judged)) is None


def test_the_command_writes_it_and_an_unknown_cell_names_the_nearest(tmp_path, capsys):
    store = Store.open(tmp_path / "s")
    made = result()
    store.add(made)
    assert (
        main(["bom", "--store", str(tmp_path / "s"), made.cell.digest[:6], "--out", str(tmp_path / "b")]) == 0
    )
    assert json.loads((tmp_path / "b").read_text())["bomFormat"] == "CycloneDX"
    assert main(["bom", "--store", str(tmp_path / "s"), "zzzz"]) == 2
    assert "unknown cell 'zzzz'" in capsys.readouterr().err
