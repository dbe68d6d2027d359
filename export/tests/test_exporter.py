"""Exporter and bundler: from a graph to a signed bundle that the runtime opens and runs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from graphs import picture_graph, plan_for, random_feeds, sound_graph
from lumavox.bundle import Bundle, Provenance
from lumavox.errors import OptionError
from lumavox.session import Session
from lumavox.signing import SigningKey, TrustedKeys
from lumavox_export import formats
from lumavox_export.bundler import BundleInput, bundle
from lumavox_export.engines import ENGINES
from lumavox_export.errors import ParityError, StageError
from lumavox_export.exporter import Content, ExportArtifact, ExportInput, Integers, export
from lumavox_export.graph import Graph
from lumavox_export.parity import Tolerances
from lumavox_export.reference import run_float, stream

PICTURE, SOUND = picture_graph(), sound_graph()


def content(graph: Graph, name: str = "any", **changes: object) -> Content:
    rng = np.random.default_rng(0)
    if graph.states:
        frames = [{"features": random_feeds(graph, rng)["features"]} for _ in range(4)]
        feeds = [feeds for feeds, _ in stream(graph, frames)]
    else:
        feeds = [random_feeds(graph, rng, (8, 10))]
    source = Content(
        name=name,
        graph=graph,
        integers=(Integers(graph, plan_for(graph)),),
        reference=lambda feeds: run_float(graph, feeds),
        feeds=feeds,
        tolerances=Tolerances(lsb=2, share=1.0),
    )
    return dataclasses.replace(source, **changes)


def picture_bundle(**changes: object) -> BundleInput:
    source = BundleInput(
        id="sr/test",
        version="0.1.0",
        front_end={"scale": 2, "plane": "luma", "bit_depth": 8, "receptive_field": 7},
        provenance=Provenance(recipe_sha256="0" * 64),
        card="# A test model\n",
        parameters=PICTURE.parameters(),
        architecture="sr_plain",
    )
    return dataclasses.replace(source, **changes)


def test_variants_come_by_preference_then_content(tmp_path):
    source = ExportInput((content(PICTURE, "clean"), content(picture_graph(seed=3), "streamed")))
    artifact = export(source, tmp_path / "export")
    assert [v.name for v in artifact.variants[:4]] == [
        "clean-int8-tflite",
        "streamed-int8-tflite",
        "clean-int8-onnx",
        "streamed-int8-onnx",
    ]
    assert [v.precision for v in artifact.variants[4:]] == ["float32"] * 4
    assert artifact.variants[0].operators == {"CONV_2D": 3, "DEPTH_TO_SPACE": 1}
    assert artifact.variants[0].dynamic
    assert [report.content for report in artifact.reports] == ["clean", "streamed"]


def test_an_artifact_is_read_back_as_it_was_made_and_the_same_twice(tmp_path):
    source = ExportInput((content(SOUND),))
    first, second = export(source, tmp_path / "a"), export(source, tmp_path / "b")
    assert ExportArtifact.load(tmp_path / "a") == first
    assert first.files() == second.files()


@pytest.mark.parametrize("graph", [PICTURE, SOUND], ids=["picture", "sound"])
def test_golden_vectors_come_out_of_every_engine(graph, tmp_path):
    """States included; float vectors come from the float network, integer ones from the integer reference."""
    artifact = export(ExportInput((content(graph),)), tmp_path / "export")
    files = artifact.files()
    for variant in artifact.variants:
        with np.load(artifact.folder / variant.golden.file, allow_pickle=False) as vectors:
            layout = variant.inputs[0].layout
            arrays = {name: formats.from_layout(vectors[name], layout) for name in vectors.files}
        assert set(arrays) == {t.name for t in variant.inputs + variant.outputs}
        feeds = {t.name: arrays[t.name] for t in variant.inputs}
        open_engine = next(iter(ENGINES[variant.engine].values())).open
        for name, got in open_engine(files[variant.file])(feeds).items():
            limit = variant.golden.max_lsb if variant.golden.max_abs is None else variant.golden.max_abs
            assert np.abs(got.astype(float) - arrays[name]).max() <= limit


def test_states_of_a_golden_vector_are_those_of_a_running_stream(tmp_path):
    artifact = export(ExportInput((content(SOUND),), (("onnx", "float32"),)), tmp_path / "export")
    variant = artifact.variants[0]
    assert [(s.input, s.output, s.delay_frames) for s in variant.states] == [
        ("past2", "now", 2),
        ("past1", "now", 1),
    ]
    with np.load(artifact.folder / variant.golden.file, allow_pickle=False) as vectors:
        assert vectors["past2"].any()
        assert vectors["past2"].shape == (1, 6, 1, 12)  # NCHW


def test_integer_files_hold_the_weights_trained_further(tmp_path):
    """After quantization-aware training the integer network is another one than the float network."""
    trained = picture_graph(seed=3)
    source = content(PICTURE, integers=(Integers(trained, plan_for(trained)),))
    variants = (("tflite", "int8"), ("tflite", "float32"))
    files = export(ExportInput((source,), variants), tmp_path / "export").files()
    assert files["variants/any-int8.tflite"] == formats.get("tflite").write(trained, plan_for(trained))
    assert files["variants/any-float32.tflite"] == formats.get("tflite").write(PICTURE)


def test_nothing_is_written_when_the_files_do_not_agree(tmp_path):
    wrong = content(PICTURE, reference=lambda feeds: run_float(picture_graph(seed=4), feeds))
    with pytest.raises(ParityError):
        export(ExportInput((wrong,)), tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_a_new_export_replaces_an_old_one_but_no_other_folder(tmp_path):
    source = ExportInput((content(PICTURE),), (("tflite", "int8"),))
    export(source, tmp_path / "export")
    export(ExportInput((content(PICTURE),), (("onnx", "int8"),)), tmp_path / "export")
    assert [p.name for p in (tmp_path / "export" / "variants").iterdir()] == ["any-int8.onnx"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(OptionError, match="something else"):
        export(source, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_a_precision_without_a_plan_is_refused(tmp_path):
    with pytest.raises(OptionError, match="unknown precision 'w8a16'"):
        export(ExportInput((content(PICTURE),), (("tflite", "w8a16"),)), tmp_path / "export")


def test_an_unfinished_or_altered_export_is_refused(tmp_path):
    with pytest.raises(StageError, match="run the export stage"):
        ExportArtifact.load(tmp_path)
    artifact = export(ExportInput((content(PICTURE),), (("tflite", "int8"),)), tmp_path / "export")
    path = artifact.folder / artifact.variants[0].file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StageError, match="was altered"):
        ExportArtifact.load(artifact.folder)
    path.unlink()
    with pytest.raises(StageError, match="is gone"):
        ExportArtifact.load(artifact.folder)


def test_a_picture_bundle_opens_and_passes_its_self_check_on_both_engines(tmp_path):
    exported = export(ExportInput((content(PICTURE),)), tmp_path / "export")
    key = SigningKey.generate()
    folder = bundle(picture_bundle(), exported, tmp_path / "bundle", key=key)
    opened = Bundle.open(folder, task="sr", trusted_keys=TrustedKeys.of(key.public_pem()))
    assert opened.signed_by == key.key_id
    assert opened.variants == exported.variants
    assert "integers = tflite int8 on LiteRT" in opened.card
    for backend in ("litert", "ort"):
        for precision in ("int8", "float32"):
            with Session.open(opened, backend=backend, precision=precision) as session:
                assert session.variant.precision == precision


def test_a_sound_bundle_opens_and_passes_its_self_check_on_both_engines(tmp_path):
    exported = export(ExportInput((content(SOUND),)), tmp_path / "export")
    source = picture_bundle(id="de/test", front_end={}, delay_samples=1440, calibration=((3.0, 3.5),))
    folder = bundle(source, exported, tmp_path / "bundle", key=None)
    opened = Bundle.open(folder, task="de", allow_unsigned=True)
    assert opened.delay_samples == 1440
    for backend in ("litert", "ort"):
        with Session.open(opened, backend=backend) as session:
            assert session.variant.precision == "int8"


def test_the_bill_of_materials_names_data_files_and_digests(tmp_path):
    from lumavox._bundle_schema import Dataset

    exported = export(ExportInput((content(PICTURE),), (("tflite", "int8"),)), tmp_path / "export")
    data = Dataset("stills", "CC0-1.0", sha256="1" * 64, source="https://example.org")
    source = picture_bundle(provenance=Provenance(weights_sha256="2" * 64, datasets=(data,)))
    folder = bundle(source, exported, tmp_path / "bundle", key=None)
    document = json.loads((folder / "sbom.json").read_text())
    model = document["metadata"]["component"]
    assert (document["specVersion"], model["type"]) == ("1.6", "machine-learning-model")
    dataset = model["modelCard"]["modelParameters"]["datasets"][0]
    assert dataset["contents"]["properties"][0] == {"name": "lumavox:licence", "value": "CC0-1.0"}
    parts = {part["name"]: part["hashes"][0]["content"] for part in document["components"]}
    manifest = json.loads((folder / "manifest.json").read_text())["files"]
    assert {name: manifest[name]["sha256"] for name in parts} == parts
    assert "variants/any-int8.tflite" in parts
