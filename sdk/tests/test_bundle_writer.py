"""The writer makes what the reader accepts, atomically and reproducibly."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from bundles import CARD, SR_FRONT_END, de_bundle, npz, signing_key, sr_bundle, sr_variant, trusted
from lumavox.bundle import Bundle, Provenance
from lumavox.bundle_writer import pack_bundle, write_bundle
from lumavox.errors import BundleError, BundleFormatError, OptionError


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_written_is_what_is_read(tmp_path):
    provenance = Provenance(code_version="abc")
    path = de_bundle(tmp_path, calibration=[(0.0, 0.0), (6.0, 7.5)], provenance=provenance)
    bundle = Bundle.open(path, task="de", trusted_keys=trusted())
    assert (bundle.id, bundle.version, bundle.card) == ("de/tiny", "0.1.0", CARD)
    assert bundle.delay_samples == 1440
    assert bundle.delay_frames == 0
    assert bundle.calibration == ((0.0, 0.0), (6.0, 7.5))
    assert bundle.provenance == provenance
    assert bundle.front_end["hop"] == 720
    assert bundle.variants[0].states[0].delay_frames == 1


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    assert content(sr_bundle(tmp_path / "a")) == content(sr_bundle(tmp_path / "b"))
    zips = [pack_bundle(tmp_path / x / "sr/tiny/bundle", tmp_path / f"{x}.zip").read_bytes() for x in "ab"]
    assert zips[0] == zips[1]


def test_a_zip_has_the_digest_of_its_folder(tmp_path, sr_path):
    packed = pack_bundle(sr_path, tmp_path / "new folder" / "x.zip")
    folder, zipped = (Bundle.open(p, trusted_keys=trusted()) for p in (sr_path, packed))
    assert folder.digest == zipped.digest
    assert folder.files == zipped.files
    assert zipfile.ZipFile(packed).testzip() is None


def test_the_file_that_lists_the_parts_names_each_file_and_its_digest(sr_path):
    sbom = json.loads((sr_path / "sbom.json").read_text())
    manifest = json.loads((sr_path / "manifest.json").read_text())["files"]
    assert sbom["bomFormat"] == "CycloneDX"
    listed = {part["name"]: part["hashes"][0]["content"] for part in sbom["components"]}
    assert set(listed) == {"variants/any-int8-virtual.json", "golden/any-int8-virtual.npz"}
    assert all(manifest[name]["sha256"] == digest for name, digest in listed.items())


def test_an_older_bundle_is_replaced_as_a_whole(tmp_path):
    old = sr_bundle(tmp_path, contents=["clean", "streamed"])
    assert (old / "variants/clean-int8-virtual.json").exists()
    new = sr_bundle(tmp_path)
    assert new == old
    assert sorted(p.name for p in (new / "variants").iterdir()) == ["any-int8-virtual.json"]
    assert os.listdir(new.parent) == ["bundle"], "a temporary folder was left"


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path):
    precious = tmp_path / "sr/tiny/bundle/notes.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("keep me")
    with pytest.raises(OptionError, match="is not a bundle; it is not replaced"):
        sr_bundle(tmp_path)
    assert precious.read_text() == "keep me"


def test_content_that_would_be_refused_is_not_written_and_leaves_the_old_bundle(tmp_path):
    path = sr_bundle(tmp_path)
    before = content(path)
    for fields, message in (
        ({"scale": 0}, "scale must be 1 to 8"),
        ({"golden": {"luma": np.zeros((1, 8, 8, 1), np.int8)}}, "no array for the tensor"),
        ({"version": "1"}, "not a semantic version"),
        ({"min_runtime": "99.0.0"}, "needs lumavox 99.0.0"),
        ({"delay_samples": 3}, "only these"),
    ):
        with pytest.raises(BundleError, match=message):
            sr_bundle(tmp_path, **fields)
    assert content(path) == before
    assert os.listdir(path.parent) == ["bundle"]


@pytest.mark.parametrize("name", ["../evil", "/etc/x", "a\\b", "C:x", "manifest.json", "signature.json"])
def test_a_file_name_that_leads_elsewhere_or_is_reserved_is_not_written(tmp_path, name):
    variant = sr_variant()
    files = {variant.file: b"{}", variant.golden.file: npz(), name: b"x"}
    with pytest.raises(BundleFormatError):
        write_bundle(
            tmp_path / "b", id="sr/x", version="1.0.0", front_end=SR_FRONT_END, variants=[variant],
            provenance=Provenance(), card="", files=files, key=signing_key(),
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_file_is_named(tmp_path):
    variant = replace(sr_variant(), file="variants/other.json")
    with pytest.raises(BundleFormatError, match=r"has no file 'variants/other\.json'"):
        write_bundle(
            tmp_path / "b", id="sr/x", version="1.0.0", front_end=SR_FRONT_END, variants=[variant],
            provenance=Provenance(), card="", files={}, key=None,
        )  # fmt: skip


def test_without_a_key_the_bundle_is_unsigned(tmp_path):
    path = sr_bundle(tmp_path, key=None)
    assert not (path / "signature.json").exists()
    assert Bundle.open(path, allow_unsigned=True).signed_by is None
