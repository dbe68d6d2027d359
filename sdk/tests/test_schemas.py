"""The JSON Schema files say what the parser does: same keys, and the same verdict on examples.

The schemas cannot say everything (references between parts, rising numbers); the runtime refuses more,
never less.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lumavox
from bundles import de_bundle, sr_bundle
from lumavox._bundle_rules import check_paths, parse_document
from lumavox._bundle_schema import Document, PictureFrontEnd
from lumavox._fields import fields_of
from lumavox.errors import BundleFormatError, LumavoxError
from lumavox.telemetry import TelemetryRecord
from meters import full_meter

SCHEMAS = Path(lumavox.__file__).parent / "schemas"


def schema(name: str) -> dict:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(name))


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> dict[str, dict]:
    """A good bundle.json of each task."""
    folder = tmp_path_factory.mktemp("b")
    paths = {"sr": sr_bundle(folder), "de": de_bundle(folder, calibration=[(0.0, 0.0), (6.0, 7.5)])}
    return {task: json.loads((path / "bundle.json").read_text()) for task, path in paths.items()}


class _AnyFile(dict):
    """As if every file were there that could be: a verified bundle has safe paths only."""

    def __contains__(self, name):
        try:
            check_paths([name], "b")
        except BundleFormatError:
            return False
        return True


def parsed(document: object) -> bool:
    files = _AnyFile({"bundle.json": json.dumps(document).encode()})
    try:
        parse_document(files, "b")
    except LumavoxError:
        return False
    return True


def record_parsed(record: object) -> bool:
    try:
        TelemetryRecord.from_json(json.dumps(record))
    except LumavoxError:
        return False
    return True


@pytest.mark.parametrize("name", ["bundle", "telemetry"])
def test_the_schema_file_is_itself_a_valid_schema(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))


def same_keys(kind, node: dict, defs: dict, where: str) -> None:
    """Assert that the dataclass ``kind`` and the schema ``node`` have the same and the same required keys."""
    node = defs[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    fields = fields_of(kind)
    assert set(node["properties"]) == set(fields), where
    assert node["additionalProperties"] is False, where
    missing = dataclasses.MISSING
    assert set(node["required"]) == {
        key for key, field in fields.items() if field.default is field.default_factory is missing
    }, where
    hints = typing.get_type_hints(kind)
    for key, field in fields.items():
        inner, of = node["properties"][key], hints[field.name]
        for part in typing.get_args(of) if typing.get_origin(of) in (types.UnionType, typing.Union) else [of]:
            if typing.get_origin(part) is tuple:
                part, inner = typing.get_args(part)[0], inner.get("items", {})
            if dataclasses.is_dataclass(part):
                same_keys(part, inner, defs, f"{where}.{key}")
            elif typing.get_origin(part) is typing.Literal and "enum" in inner:
                assert set(typing.get_args(part)) == set(inner["enum"]), f"{where}.{key}"
            elif typing.get_origin(part) is Mapping:
                assert inner["type"] == "object"


def test_the_keys_of_the_schemas_are_the_fields_of_the_dataclasses():
    bundle, telemetry = schema("bundle"), schema("telemetry")
    same_keys(Document, bundle, bundle["$defs"], "bundle")
    same_keys(PictureFrontEnd, bundle["$defs"]["picture_front_end"], bundle["$defs"], "picture_front_end")
    same_keys(TelemetryRecord, telemetry, {}, "telemetry")


def test_schema_and_parser_accept_a_network_of_one_and_a_half(documents):
    document = copy.deepcopy(documents["sr"])
    document["front_end"].update(scale=1.5, multiple=2)
    validator("bundle").validate(document)
    assert parsed(document)


@pytest.mark.parametrize("task", ["sr", "de"])
def test_schema_and_parser_accept_a_good_bundle(documents, task):
    validator("bundle").validate(documents[task])
    assert parsed(documents[task])


BAD = {
    "unknown key": (lambda d: d.update(extra=1)),
    "unknown key inside": (lambda d: d["variants"][0].update(extra=1)),
    "no id": (lambda d: d.pop("id")),
    "id of another task": (lambda d: d.update(id="xx/tiny")),
    "path as id": (lambda d: d.update(id=d["task"] + "/../x")),
    "version": (lambda d: d.update(version="1.0")),
    "min_runtime": (lambda d: d.update(min_runtime="new")),
    "null": (lambda d: d.update(calibration=None)),
    "task": (lambda d: d.update(task="asr")),
    "schema": (lambda d: d.update(schema=0)),
    "newer schema": (lambda d: d.update(schema=2)),
    "no delay": (lambda d: d.update(delay={})),
    "both delays": (lambda d: d.update(delay={"frames": 1, "samples": 1})),
    "negative delay": (lambda d: d.update(delay={next(iter(d["delay"])): -1})),
    "front end is a list": (lambda d: d.update(front_end=[])),
    "no variants": (lambda d: d.update(variants=[])),
    "calibration of three": (lambda d: d.update(calibration=[[1.0, 2.0, 3.0]])),
    "data without licence": (lambda d: d["provenance"].update(datasets=[{"name": "x"}])),
    "name with a slash": (lambda d: d["variants"][0].update(name="a/b")),
    "engine": (lambda d: d["variants"][0].update(engine="torch")),
    "precision": (lambda d: d["variants"][0].update(precision="int4")),
    "content": (lambda d: d["variants"][0].update(content="old")),
    "dynamic": (lambda d: d["variants"][0].update(dynamic="true")),
    "no outputs": (lambda d: d["variants"][0].update(outputs=[])),
    "open shape, not dynamic": (lambda d: open_and_fixed(d)),
    "operators": (lambda d: d["variants"][0].update(operators={"CONV_2D": "6"})),
    "two tolerances": (lambda d: d["variants"][0]["golden"].update(max_lsb=1, max_abs=1.0)),
    "no tolerance": (lambda d: d["variants"][0].update(golden={"file": "golden/x.npz"})),
    "negative tolerance": (lambda d: d["variants"][0].update(golden={"file": "g.npz", "max_abs": -1.0})),
    "state": (lambda d: d["variants"][0].update(states=[{"input": "a", "output": "b", "delay_frames": 0}])),
    "tensor without name": (lambda d: d["variants"][0]["inputs"][0].update(name="")),
    "tensor without shape": (lambda d: d["variants"][0]["inputs"][0].update(shape=[])),
    "size of zero": (lambda d: d["variants"][0]["inputs"][0].update(shape=[1, 0])),
    "dtype": (lambda d: d["variants"][0]["inputs"][0].update(dtype="int4")),
    "layout": (lambda d: d["variants"][0]["inputs"][0].update(layout="HWC")),
    "scale alone": (lambda d: tensor(d, dtype="int8", scale=1.0)),
    "scale of zero": (lambda d: tensor(d, dtype="int8", scale=0.0, zero_point=0)),
    "zero point outside": (lambda d: tensor(d, dtype="uint8", scale=1.0, zero_point=-1)),
    "quantized float": (lambda d: tensor(d, dtype="float32", scale=1.0, zero_point=0)),
}
BAD_SR = {
    "scale": (lambda d: d["front_end"].update(scale=0)),
    "scale and a half of any size": (lambda d: d["front_end"].update(scale=1.5)),
    "multiple": (lambda d: d["front_end"].update(multiple=0)),
    "multiple that is not whole": (lambda d: d["front_end"].update(multiple=1.5)),
    "plane": (lambda d: d["front_end"].update(plane="chroma")),
    "bit depth": (lambda d: d["front_end"].update(bit_depth=9)),
    "front end key": (lambda d: d["front_end"].update(extra=1)),
    "calibration": (lambda d: d.update(calibration=[[0.0, 0.0]])),
}


def tensor(document: dict, **changes) -> None:
    first = document["variants"][0]["inputs"][0]
    for key in ("scale", "zero_point"):
        first.pop(key, None)
    first.update(changes)


def open_and_fixed(document: dict) -> None:
    document["variants"][0]["dynamic"] = False
    document["variants"][0]["inputs"][0]["shape"] = [1, -1, -1, 1]


@pytest.mark.parametrize(("task", "bad"), [*(("sr", b) for b in BAD), *(("de", b) for b in BAD)])
def test_schema_and_parser_refuse_a_bad_bundle(documents, task, bad):
    document = copy.deepcopy(documents[task])
    BAD[bad](document)
    assert not validator("bundle").is_valid(document)
    assert not parsed(document)


@pytest.mark.parametrize("bad", BAD_SR)
def test_schema_and_parser_refuse_a_bad_picture_front_end(documents, bad):
    document = copy.deepcopy(documents["sr"])
    BAD_SR[bad](document)
    assert not validator("bundle").is_valid(document)
    assert not parsed(document)


VALUES = st.sampled_from([None, True, 0, -1, 3, 0.5, -2.5, "", "x", "0.1.0", "luma", [], {}, [1], {"a": 1}])


def paths(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths(value[key], (*path, key))


def replaced(document, path, value):
    document = copy.deepcopy(document)
    if not path:
        return value
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


@settings(max_examples=80, deadline=None)
@given(data=st.data(), value=VALUES, task=st.sampled_from(["sr", "de"]))
def test_what_the_bundle_schema_refuses_the_parser_refuses(documents, data, value, task):
    document = replaced(documents[task], data.draw(st.sampled_from(list(paths(documents[task])))), value)
    if not validator("bundle").is_valid(document):
        assert not parsed(document)


def test_an_empty_file_name_is_refused_by_both(documents):
    for path in (("variants", 0, "file"), ("variants", 0, "golden", "file")):
        document = replaced(documents["sr"], path, "")
        assert not validator("bundle").is_valid(document)
        assert not parsed(document)


RECORD = json.loads(full_meter().record().to_json())


@settings(max_examples=80, deadline=None)
@given(data=st.data(), value=VALUES)
def test_telemetry_schema_and_parser_agree(data, value):
    """On every record with one part replaced; ints where a float stood are fine for both."""
    record = replaced(RECORD, data.draw(st.sampled_from(list(paths(RECORD)))), value)
    if not validator("telemetry").is_valid(record):
        assert not record_parsed(record)
    elif record["latency_us"] == RECORD["latency_us"]:  # the schema cannot say that percentiles rise
        assert record_parsed(record)


def test_the_schema_accepts_the_smallest_record_and_a_full_one():
    validator("telemetry").validate(RECORD)
    validator("telemetry").validate({"schema": 1, "session_id": "x", "task": "de", "state": "off"})
    assert record_parsed({"schema": 1, "session_id": "x", "task": "de", "state": "off"})
