"""A bundle is opened only if every byte is what its signer signed; what is in it can be used."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles import de_bundle, edited, npz, opened, sign, signing_key, sr_bundle, sr_variant, trusted
from lumavox import _bundle_rules as rules
from lumavox.bundle import StateSpec, read_files
from lumavox.errors import (
    BundleError,
    BundleFormatError,
    BundleIntegrityError,
    BundleSignatureError,
    OptionError,
)
from lumavox.signing import SigningKey, TrustedKeys

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_good_bundle_opens_and_says_who_signed_it(sr_path):
    bundle = opened(sr_path, task="sr")
    assert bundle.signed_by == signing_key().key_id
    assert len(bundle.digest) == 64
    assert bundle.front_end["scale"] == 2
    assert repr(bundle) == f"<Bundle sr/tiny 0.1.0, 1 variants, signed by {bundle.signed_by}>"


def test_an_unsigned_bundle_is_refused_and_the_message_names_the_option(tmp_path):
    path = sr_bundle(tmp_path, key=None)
    with pytest.raises(BundleSignatureError, match="allow_unsigned=True"):
        opened(path)
    assert opened(path, allow_unsigned=True).signed_by is None


def test_an_unsigned_bundle_is_still_checked_for_altered_files(tmp_path):
    path = sr_bundle(tmp_path, key=None)
    (path / "card.md").write_text("# Another model!!!!\n")
    with pytest.raises(BundleIntegrityError):
        opened(path, allow_unsigned=True)


def test_an_unknown_key_is_refused_and_both_keys_are_named(sr_path):
    other = SigningKey.generate()
    for allow_unsigned in (False, True):
        with pytest.raises(BundleSignatureError, match="not trusted") as caught:
            opened(sr_path, trusted_keys=TrustedKeys.of(other.public_pem()), allow_unsigned=allow_unsigned)
        assert other.key_id in str(caught.value)
        assert signing_key().key_id in str(caught.value)


def test_a_signature_of_other_bytes_is_refused(copy, de_path):
    shutil.copy(de_path / "signature.json", copy / "signature.json")
    for allow_unsigned in (False, True):
        with pytest.raises(BundleSignatureError, match="does not match"):
            opened(copy, allow_unsigned=allow_unsigned)


def test_the_signature_is_checked_before_any_file_and_before_the_meaning(copy):
    (copy / "bundle.json").write_text("not even JSON")
    (copy / "card.md").unlink()
    (copy / "signature.json").unlink()
    with pytest.raises(BundleSignatureError):
        opened(copy)


# ------------------------------------------------------------------------------------- are the files whole


@pytest.mark.parametrize("name", ["card.md", "variants/any-int8-virtual.json", "bundle.json", "sbom.json"])
def test_an_altered_file_is_refused_and_named(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleIntegrityError, match=f"'{name}' was altered"):
        opened(copy)


def test_a_missing_an_extra_and_a_truncated_file_are_refused_and_named(copy):
    card = (copy / "card.md").read_bytes()
    (copy / "card.md").write_bytes(card[:-1])
    with pytest.raises(BundleIntegrityError, match=rf"'card\.md' has {len(card) - 1} bytes, manifest"):
        opened(copy)
    (copy / "card.md").unlink()
    with pytest.raises(BundleIntegrityError, match=r"'card\.md' of manifest.json is missing"):
        opened(copy)
    (copy / "card.md").write_bytes(card)
    opened(copy)
    (copy / "extra.bin").write_bytes(b"")
    with pytest.raises(BundleIntegrityError, match=r"'extra\.bin' is not in manifest.json"):
        opened(copy)


@quick
@given(data=st.data())
def test_any_single_byte_flip_of_any_file_is_refused(sr_path, data):
    files = read_files(sr_path)
    name = data.draw(st.sampled_from(sorted(files)))
    position = data.draw(st.integers(0, len(files[name]) - 1))
    mask = data.draw(st.integers(1, 255))
    altered = bytearray(files[name])
    altered[position] ^= mask
    with pytest.raises(BundleError):
        rules.verify_files(files | {name: bytes(altered)}, "b", trusted(), True)


@quick
@given(data=st.binary(max_size=200), name=st.sampled_from([rules.MANIFEST, rules.SIGNATURE]))
def test_any_other_manifest_or_signature_file_is_refused(sr_path, data, name):
    with pytest.raises(BundleError):
        rules.verify_files(read_files(sr_path) | {name: data}, "b", trusted(), False)


def test_bytes_that_were_verified_are_the_bytes_handed_out(copy):
    bundle = opened(copy)
    model = (copy / bundle.variants[0].file).read_bytes()
    (copy / bundle.variants[0].file).write_bytes(b"exchanged after the check")
    assert bundle.read(bundle.variants[0].file) == model
    shutil.rmtree(copy)
    assert bundle.golden(bundle.variants[0])["luma"].shape == (1, 8, 8, 1)


def test_a_bundle_cannot_be_changed(sr_path):
    bundle = opened(sr_path)
    with pytest.raises(AttributeError):
        bundle.task = "de"
    with pytest.raises(TypeError):
        bundle.front_end["scale"] = 3
    with pytest.raises(TypeError):
        bundle.variants[0].operators["CONV_2D"] = 1


def test_reading_a_file_that_is_not_there_names_the_nearest(sr_path):
    with pytest.raises(OptionError, match=r"did you mean 'card\.md'"):
        opened(sr_path).read("cart.md")


def test_the_first_variant_that_fits_is_selected(tmp_path):
    bundle = opened(sr_bundle(tmp_path, contents=["streamed", "clean", "any"]))
    assert bundle.select(engines=["virtual"]).content == "streamed"
    assert bundle.select(engines=["virtual"], content="clean").content == "clean"
    assert bundle.select(engines={"virtual", "onnx"}, precision="int8").content == "streamed"
    assert bundle.variant("any-int8-virtual").content == "any"


def test_if_no_variant_fits_each_one_says_why(tmp_path):
    bundle = opened(sr_bundle(tmp_path, contents=["streamed", "clean"]))
    with pytest.raises(BundleError) as caught:
        bundle.select(engines=["tflite", "onnx"], content="clean", precision="float32")
    message = str(caught.value)
    engine = "engine 'virtual' is not among onnx, tflite"
    precision = "its precision is 'int8'"
    assert f"streamed-int8-virtual: {engine} and it is for 'streamed' content and {precision}" in message
    assert f"clean-int8-virtual: {engine} and {precision}" in message
    with pytest.raises(OptionError, match="did you mean 'streamed'"):
        bundle.select(engines=["virtual"], content="stream")


def test_a_variant_for_a_newer_runtime_is_passed_over(copy):
    bundle = opened(edited(copy, lambda d: d["variants"][0].update(min_runtime="99.0.0")))
    with pytest.raises(BundleError, match=r"it needs lumavox 99\.0\.0"):
        bundle.select(engines=["virtual"])


def test_golden_arrays_have_the_names_types_and_shapes_of_the_tensors(sr_path, de_path):
    luma = opened(sr_path).golden("any-int8-virtual")
    assert luma["luma"].dtype == np.int8
    assert luma["enlarged"].shape == (1, 16, 16, 1)
    assert set(opened(de_path).golden("any-float32-virtual")) == {"features", "mask", "state_in", "state_out"}


def good_arrays(**changes):
    return {"luma": np.zeros((1, 8, 8, 1), np.int8), "enlarged": np.zeros((1, 16, 16, 1), np.int8)} | changes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(**good_arrays(luma=np.array([{"a": 1}], object))), "without pickles"),
        (npz(**good_arrays())[:-30], "not a readable npz"),
        (b"", "not a readable npz"),
        (npz(**good_arrays(loma=np.zeros(1))), "unknown array 'loma'.*did you mean 'luma'"),
        (npz(luma=good_arrays()["luma"]), "no array for the tensor 'enlarged'"),
        (npz(**good_arrays(luma=np.zeros((1, 8, 8, 1)))), r"is float64 \(1, 8, 8, 1\)"),
        (npz(**good_arrays(luma=np.zeros((8, 8), np.int8))), r"int8 \(8, 8\)"),
    ],
    ids=["pickle", "truncated", "empty", "unknown name", "missing", "dtype", "shape"],
)
def test_a_golden_file_of_another_kind_is_refused(copy, data, message):
    (copy / "golden/any-int8-virtual.npz").write_bytes(data)
    bundle = opened(sign(copy))
    with pytest.raises(BundleFormatError, match=message):
        bundle.golden(bundle.variants[0])


def test_states_may_be_left_out_of_the_golden_file(tmp_path):
    zeros = np.zeros((1, 1, 1, 96), np.float32)
    bundle = opened(de_bundle(tmp_path, golden={"features": zeros, "mask": zeros}))
    assert set(bundle.golden(bundle.variants[0])) == {"features", "mask"}


def test_state_tensors_of_different_shape_are_refused():
    with pytest.raises(OptionError, match="differ in shape or quantization"):
        replace(sr_variant(dynamic=False), states=(StateSpec("luma", "enlarged", 1),))
