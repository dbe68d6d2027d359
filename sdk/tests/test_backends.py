"""The engines: found by file, alike in behaviour, and silent about their own error classes."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import bundles
import tiny_models
from lumavox import backends
from lumavox.backends import base, virtual
from lumavox.errors import BackendUnavailableError, EngineError, OptionError

FILES = sorted(
    p.stem for p in Path(backends.__file__).parent.glob("*.py") if p.stem not in ("__init__", "base")
)


def nearest(plane: np.ndarray) -> np.ndarray:
    return plane.repeat(2, axis=0).repeat(2, axis=1)


def tiny(name: str):
    """A backend, and the tiny model and variant that it can open; skips where it cannot be used."""
    backend = backends.get(name)
    probe = backend.probe()
    if not probe.usable:
        pytest.skip(probe.reason)
    if name == "litert":
        return backend, tiny_models.tflite_int8(), tiny_models.tflite_variant()
    if name == "ort":
        pytest.importorskip("onnx", reason="writes the tiny model")
        return backend, tiny_models.onnx_float32(), tiny_models.onnx_variant()
    return backend, json.dumps({"op": "nearest", "scale": 2}).encode(), bundles.sr_variant()


def shape_of(variant, rows: int, columns: int) -> tuple[int, ...]:
    nhwc = variant.inputs[0].layout == "NHWC"
    return (1, rows, columns, 1) if nhwc else (1, 1, rows, columns)


def random_input(variant, rows: int, columns: int) -> np.ndarray:
    values = np.random.default_rng(rows).integers(-128, 128, shape_of(variant, rows, columns))
    spec = variant.inputs[0]
    return values.astype(np.int8) if spec.dtype == "int8" else ((values + 128) / 255).astype(np.float32)


def test_every_file_of_the_folder_is_a_backend_of_that_name():
    assert [backend.name for backend in backends.available()] == FILES
    assert {"litert", "ort", "virtual"} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_probe_says_why(name):
    probe = backends.get(name).probe()
    assert probe.backend == name
    assert probe.reason
    assert probe.usable is (probe.library is not None or name == "virtual")


def test_a_library_that_cannot_be_imported_is_a_reason_not_an_error(monkeypatch):
    """None in sys.modules makes an import statement raise ImportError."""
    for module in ("onnxruntime", "ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    for name, extra in (("ort", "lumavox[ort]"), ("litert", "lumavox[litert]")):
        probe = backends.get(name).probe()
        assert not probe.usable
        assert "be imported" in probe.reason
        assert extra in probe.reason
    with pytest.raises(BackendUnavailableError, match=r"litert: .*ort: .*lumavox probe"):
        backends.choose([tiny_models.tflite_variant(), tiny_models.onnx_variant()])


def test_an_unknown_backend_names_the_nearest():
    with pytest.raises(OptionError, match="'litrt'; did you mean 'litert'"):
        backends.get("litrt")


def test_auto_takes_the_first_variant_that_can_run_and_says_what_it_passed_over(monkeypatch):
    unusable = base.Probe("litert", False, "not installed here")
    monkeypatch.setattr(type(backends.get("litert")), "probe", lambda self: unusable)
    variants = [tiny_models.tflite_variant(), bundles.sr_variant()]
    backend, variant, reason = backends.choose(variants)
    assert (backend.name, variant) == ("virtual", variants[1])
    assert "not installed here" in reason
    with pytest.raises(BackendUnavailableError, match="not installed here"):
        backends.choose(variants, "litert")


def test_a_backend_that_reads_none_of_the_variants_is_refused():
    with pytest.raises(BackendUnavailableError, match="formats: tflite"):
        backends.choose([tiny_models.tflite_variant()], "virtual")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [(4, 6), (1, 1), (17, 33)])
def test_an_engine_computes_what_the_model_says_at_any_size(name, size):
    """Oracle: numpy's repeat, exact for int8, 1e-6 for float."""
    backend, model, variant = tiny(name)
    engine = backend.open(model, variant)
    for rows, columns in (size, (5, 3), size):  # sizes change back and forth
        x = random_input(variant, rows, columns)
        engine.resize("luma", x.shape)
        for _ in range(2):  # the second run writes into memory that the first one found
            engine.input("luma")[...] = x
            engine.run()
            y = engine.output("enlarged").reshape(2 * rows, 2 * columns).copy()
            np.testing.assert_allclose(y, nearest(x.reshape(rows, columns)), rtol=0, atol=1e-6)
    assert engine.description
    engine.close()
    engine.close()


@pytest.mark.parametrize("name", ["ort", "virtual"])
def test_an_engine_can_work_in_memory_that_it_is_given(name):
    """Two sets in turn, as an isolated worker does; a resize brings its own memory back."""
    backend, model, variant = tiny(name)
    engine = backend.open(model, variant)
    x = random_input(variant, 4, 6)
    engine.resize("luma", x.shape)
    engine.run()
    y = engine.output("enlarged").copy()
    sets = [(np.zeros_like(x), np.zeros_like(y)) for _ in range(2)]
    for number in range(4):
        given, made = sets[number % 2]
        engine.use({"luma": given}, {"enlarged": made})
        given[...] = np.roll(x, number)
        engine.run()
        expected = nearest(np.roll(x, number).reshape(4, 6))
        np.testing.assert_allclose(made.reshape(8, 12), expected, rtol=0, atol=1e-6)
    before = [array.copy() for pair in sets for array in pair]
    other = random_input(variant, 2, 3)
    engine.resize("luma", other.shape)
    engine.input("luma")[...] = other
    engine.run()
    enlarged = engine.output("enlarged").reshape(4, 6)
    np.testing.assert_allclose(enlarged, nearest(other.reshape(2, 3)), rtol=0, atol=1e-6)
    assert all((a == b).all() for a, b in zip(before, [array for pair in sets for array in pair]))


def run_resized(engine, shape: tuple[int, ...]) -> None:
    engine.resize("luma", shape)
    engine.run()


@pytest.mark.parametrize("name", FILES)
def test_only_engine_errors_leave_a_backend(name):
    backend, model, variant = tiny(name)
    luma = variant.inputs[0]
    other_dtype = "uint8"
    broken_models = [b"", b"not a model", model[::-1]]
    if "tflite-runtime" not in backend.probe().reason:  # that one verifies nothing: see backends/litert.py
        broken_models.append(model[: len(model) // 2])
    for broken in broken_models:
        with pytest.raises(EngineError):
            backend.open(broken, variant)
    engine = backend.open(model, variant)
    with pytest.raises(EngineError, match="'lumma'"):
        engine.input("lumma")
    with pytest.raises(EngineError):
        engine.output("luma2")
    with pytest.raises(EngineError):
        run_resized(engine, (3,))
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run()
    if name != "virtual":  # its tensors are whatever the variant says
        for wrong in (
            dataclasses.replace(luma, dtype=other_dtype, scale=None, zero_point=None),
            dataclasses.replace(luma, shape=(1, 2, 3, 4)),
            dataclasses.replace(luma, name="chroma"),
        ):
            with pytest.raises(EngineError, match="luma|chroma"):
                backend.open(model, dataclasses.replace(variant, inputs=(wrong,)))


@pytest.mark.parametrize("name", ["litert", "virtual"])
def test_a_view_kept_over_a_run_is_refused_and_harmless_once_dropped(name):
    backend, model, variant = tiny(name)
    engine = backend.open(model, variant)
    kept = engine.input("luma")
    with pytest.raises(EngineError):
        engine.run()
    del kept
    engine.run()


def virtual_engine(**script):
    return backends.get("virtual").open(json.dumps({"op": "nearest"} | script).encode(), bundles.sr_variant())


def test_virtual_faults_come_at_the_calls_they_are_scripted_for():
    engine = virtual_engine(fail_at=[1], fail_every=3, black_at=[2], nan_at=[4], wrong_at=[5])
    engine.resize("luma", (1, 1, 1, 1))
    engine.input("luma")[...] = 100
    seen: list[int | None] = []
    for _ in range(6):
        try:
            engine.run()
            seen.append(int(engine.output("enlarged")[0, 0, 0, 0]))
        except EngineError:
            seen.append(None)
    assert seen == [100, None, -128, None, 127, -101]


def test_an_unknown_key_of_a_virtual_script_names_the_nearest():
    with pytest.raises(EngineError, match="did you mean 'fail_at'"):
        virtual_engine(fail_att=[1])
    assert virtual.Script.parse(b'{"op": "mask", "value": 0.5}').value == 0.5


def test_the_stored_tiny_model_is_what_its_code_writes():
    """It is stored so that old interpreters, which come without the schema, are tested with it too."""
    pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the schema writes the tiny model")
    pytest.importorskip("flatbuffers", reason="writes the tiny model")
    for network in (tiny_models.DOUBLE, tiny_models.HALF_MORE):
        assert tiny_models.written_tflite_int8(network) == tiny_models.tflite_int8(network)
