"""bundle.json: each key is understood, or the bundle is refused with the file, the key and the nearest."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles import edited, opened, sign, sr_bundle
from lumavox import _bundle_rules as rules
from lumavox.bundle import read_files
from lumavox.errors import BundleError, BundleFormatError, BundleTaskError, BundleVersionError

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_newer_schema_is_refused_and_says_to_upgrade(copy):
    """Even with keys that this version does not know."""
    with pytest.raises(BundleVersionError, match=r"bundle\.json: has schema 2, .* reads up to 1; upgrade"):
        opened(edited(copy, lambda d: d.update(schema=2, brand_new={})))


def test_a_newer_schema_of_the_manifest_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"schema": 2, "new": 1}))
    with pytest.raises(BundleVersionError, match=r"manifest\.json: has schema 2"):
        opened(copy)


def test_a_bundle_that_needs_a_newer_runtime_is_refused_before_its_keys_are_read(copy):
    with pytest.raises(BundleVersionError, match=r"needs lumavox 9\.0\.0 or newer, this is"):
        opened(edited(copy, lambda d: d.update(min_runtime="9.0.0", brand_new={})))


def test_an_unknown_key_is_refused_and_the_nearest_is_named(copy):
    def misspell(document):
        document["variants"][0]["percision"] = document["variants"][0].pop("precision")

    with pytest.raises(BundleFormatError, match=r"variants\[0\]: unknown key 'percision'; did you mean"):
        opened(edited(copy, misspell))


def test_another_task_is_refused(sr_path):
    with pytest.raises(BundleTaskError, match="'sr', asked for task 'de'"):
        opened(sr_path, task="de")


def change_variant(**changes):
    return lambda d: d["variants"][0].update(changes)


def change_input(**changes):
    return lambda d: d["variants"][0]["inputs"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(id="de/tiny"), "id 'de/tiny' is not 'sr/<name>'"),
        (lambda d: d.update(id="sr/../x"), "is not 'sr/<name>'"),
        (lambda d: d.update(version="1"), "version: '1' is not a semantic version"),
        (lambda d: d.update(version=1), "version: expected text, got 1"),
        (lambda d: d.update(min_runtime=None), "min_runtime: null is not a value"),
        (lambda d: d.update(schema=True), "schema: expected a whole number, got True"),
        (lambda d: d.update(task="asr"), "task: unknown value 'asr'.*known: de, sr"),
        (lambda d: d.update(variants=[]), "needs variants"),
        (lambda d: d.update(variants=d["variants"] * 2), "two variants have the same name"),
        (lambda d: d.update(delay={"samples": 3}), "task 'sr' needs frames"),
        (lambda d: d.update(delay={"frames": -1}), "cannot be negative"),
        (lambda d: d.update(delay={"frames": 1.0}), r"delay\.frames: expected a whole number, got 1\.0"),
        (lambda d: d.update(calibration=[[0.0, 1.0]]), "calibration belongs to task 'de'"),
        (lambda d: d["front_end"].update(scale=0), "front_end: scale must be 1 to 8"),
        (lambda d: d["front_end"].update(scale="2"), "scale: expected one of a whole number, .* got '2'"),
        (lambda d: d["front_end"].update(scale=2.0), r"scale 2\.0: write 2"),
        (lambda d: d["front_end"].update(scale=1.5), r"scale 1\.5 times multiple 1 is not a whole number"),
        (lambda d: d["front_end"].update(multiple=0), "multiple must be 1 to 16"),
        (lambda d: d["front_end"].update(multiple=2.0), r"multiple: expected a whole number, got 2\.0"),
        (lambda d: d["front_end"].pop("plane"), "front_end: the key 'plane' is missing"),
        (lambda d: d["front_end"].update(plain="luma"), "unknown key 'plain'; did you mean 'plane'"),
        (lambda d: d.update(front_end=[]), "front_end: expected an object"),
        (change_variant(engine="tensorflow"), "unknown value 'tensorflow'"),
        (change_variant(dynamic=1), "dynamic: expected true or false, got 1"),
        (change_variant(dynamic=False), "not dynamic has fixed shapes"),
        (change_variant(file="variants/none.tflite"), "has no file 'variants/none.tflite'"),
        (change_variant(file="../../etc/passwd"), "has no file"),
        (change_variant(inputs=[]), "needs inputs and outputs"),
        (change_variant(operators={"CONV_2D": "6"}), r"operators\.CONV_2D: expected a whole number"),
        (change_variant(golden={"file": "card.md"}), "either max_lsb or max_abs"),
        (change_variant(golden={"file": "card.md", "max_lsb": -1}), "cannot be negative"),
        (change_variant(states=[{"input": "lumo", "output": "o", "delay_frames": 1}]), "did you mean 'luma'"),
        (change_variant(min_runtime="soon"), r"variants\[0\]\.min_runtime: 'soon' is not a semantic"),
        (change_input(shape=[1, 0, 8, 1]), "sizes are positive"),
        (change_input(shape=[1, -2, 8, 1]), "sizes are positive"),
        (change_input(shape=7), "shape: expected a list, got 7"),
        (change_input(dtype="int7"), "unknown value 'int7'; did you mean 'int8'"),
        (change_input(scale=-1.0), "must be positive"),
        (change_input(zero_point=200), "outside int8"),
        (change_input(dtype="float32"), "a float32 tensor has no scale"),
    ],
)  # fmt: skip
def test_wrong_content_is_refused_with_file_and_key(copy, change, message):
    with pytest.raises(BundleFormatError, match=message) as caught:
        opened(edited(copy, change))
    assert "bundle.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"schema": 1, "schema": 1}', "duplicate key 'schema'"),
        (b'{"schema": NaN}', "NaN is not a JSON number"),
        (b'{"schema": 1, "x": -Infinity}', "Infinity is not a JSON number"),
        (b'{"schema": 1, "x": 1e999}', "too large"),
        (b'{"schema": 1' + b"0" * 5000 + b"}", "a number of 5001 characters"),
        (b'{"schema": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper than 32"),
        (b'{"schema": 1, "x": "\\ud800"}', "surrogates not allowed"),
        ('{"schema": 1}'.encode("utf-16"), "not valid JSON"),
        (b'\xef\xbb\xbf{"schema": 1}', "not valid JSON"),
        (b'{"schema": 1', "not valid JSON"),
        (b"[]", "expected a whole number, got None"),
        (b" " * (2**20 + 1), "limit 1048576"),
        (b'"' + b'\\"' * 400_000, "not valid JSON"),
    ],
    ids=range(13),
)
def test_json_that_is_not_plain_is_refused_although_it_is_signed(copy, text, message):
    (copy / "bundle.json").write_bytes(text)
    with pytest.raises(BundleFormatError, match=message):
        opened(sign(copy))


def test_a_scale_and_a_half_takes_multiples_of_two_and_whole_scales_stay_whole(tmp_path):
    half, double = sr_bundle(tmp_path, name="half", scale=1.5), sr_bundle(tmp_path)
    assert opened(half).front_end["scale"] == 1.5
    assert opened(half).front_end["multiple"] == 2
    assert '"scale": 2\n' in (double / "bundle.json").read_text()
    with pytest.raises(BundleFormatError, match=r"'luma' has sides \(7, 8\), not multiples of 2"):
        opened(edited(half, lambda d: d["variants"][0].update(fixed_at(7, 8))))


def fixed_at(height, width):
    tensor = {"dtype": "int8", "layout": "NHWC"}
    return {
        "dynamic": False,
        "inputs": [{"name": "luma", "shape": [1, height, width, 1], **tensor}],
        "outputs": [{"name": "enlarged", "shape": [1, 12, 12, 1], **tensor}],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@quick
@given(value=JSON, data=st.data())
def test_random_json_in_any_place_is_refused_with_a_bundle_error(sr_path, value, data):
    """A random value takes the place of a random part of a good bundle.json."""
    files = read_files(sr_path)
    whole = {"document": json.loads(files[rules.DOCUMENT])}
    place, key = whole, "document"
    for _ in range(data.draw(st.integers(0, 4))):
        if not isinstance(place[key], (dict, list)) or not place[key]:
            break
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    good, place[key] = place[key], value
    changed = files | {rules.DOCUMENT: json.dumps(whole["document"]).encode()}
    try:
        parsed = rules.parse_document(changed, "b")
    except BundleError:
        return
    assert parsed is not None
    whole_for_fraction = type(value) is int and type(good) is float
    assert type(value) is type(good) or whole_for_fraction, "a value of another type was accepted"
