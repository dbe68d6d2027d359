"""Folders and zips: what could lead out of a bundle, blow up or wait for ever is refused."""

from __future__ import annotations

import os
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles import opened
from lumavox import _bundle_files
from lumavox._bundle_rules import MAX_BUNDLE_BYTES
from lumavox.bundle import read_files
from lumavox.bundle_writer import pack_bundle
from lumavox.errors import BundleError, BundleFormatError, BundleNotFoundError

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def packed(sr_path, tmp_path_factory) -> bytes:
    """A good bundle as a zip."""
    return pack_bundle(sr_path, tmp_path_factory.mktemp("zip") / "b.zip").read_bytes()


def test_a_zip_opens_like_its_folder(packed, tmp_path, sr_path):
    (tmp_path / "b.zip").write_bytes(packed)
    assert opened(tmp_path / "b.zip").digest == opened(sr_path).digest


@quick
@given(data=st.data())
def test_a_zip_truncated_anywhere_is_refused(packed, tmp_path, data):
    (tmp_path / "b.zip").write_bytes(packed[: data.draw(st.integers(0, len(packed) - 1))])
    with pytest.raises(BundleError):
        opened(tmp_path / "b.zip")


@quick
@given(data=st.data())
def test_a_flipped_byte_of_a_zip_is_refused_or_changes_nothing(packed, tmp_path, sr_path, data):
    """Some bytes of a zip carry no content (dates, attributes); all others are refused."""
    position, mask = data.draw(st.integers(0, len(packed) - 1)), data.draw(st.integers(1, 255))
    flipped = bytearray(packed)
    flipped[position] ^= mask
    (tmp_path / "b.zip").write_bytes(flipped)
    try:
        bundle = opened(tmp_path / "b.zip")
    except BundleError:
        return
    assert {name: bundle.read(name) for name in bundle.files} == read_files(sr_path)


def rezipped(packed: bytes, path: Path, extra: list[tuple[zipfile.ZipInfo, bytes]]) -> Path:
    path.write_bytes(packed)
    with zipfile.ZipFile(path, "a") as archive:
        for info, data in extra:
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "variants/../../x", "..\\x", "C:/x", "a//b", "./x", ".hidden", "a\tb", "é"],
)
def test_a_zip_entry_that_could_lead_out_of_the_bundle_is_refused_and_named(packed, tmp_path, name):
    path = rezipped(packed, tmp_path / "b.zip", [(zipfile.ZipInfo(name), b"")])
    with pytest.raises(BundleFormatError, match="is not safe"):
        opened(path)


def test_a_name_with_a_nul_byte_is_refused(packed, tmp_path):
    """Some readers end the name at the NUL; it is judged as it is stored."""
    path = rezipped(packed, tmp_path / "b.zip", [(zipfile.ZipInfo("card.mdX"), b"")])
    path.write_bytes(path.read_bytes().replace(b"card.mdX", b"card.md\0"))
    with pytest.raises(BundleFormatError, match="is not safe"):
        opened(path)


def test_a_link_in_a_zip_is_refused(packed, tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BundleFormatError, match="a link or a special file"):
        opened(rezipped(packed, tmp_path / "b.zip", [(link, b"/etc/passwd")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_two_entries_of_one_name_is_refused(packed, tmp_path):
    for name, message in (("card.md", "is there twice"), ("Card.MD", "one file on some systems")):
        path = rezipped(packed, tmp_path / "b.zip", [(zipfile.ZipInfo(name), b"")])
        with pytest.raises(BundleFormatError, match=message):
            opened(path)


def test_an_encrypted_zip_and_unusual_packing_are_refused(packed, tmp_path):
    secret = bytearray(packed)
    directory = packed.index(b"PK\x01\x02")
    secret[directory + 8] |= 1  # general purpose flag of the first entry
    (tmp_path / "b.zip").write_bytes(secret)
    with pytest.raises(BundleFormatError, match="is encrypted"):
        opened(tmp_path / "b.zip")
    lzma = zipfile.ZipInfo("x")
    lzma.compress_type = zipfile.ZIP_BZIP2
    with pytest.raises(BundleFormatError, match="another method than store or deflate"):
        opened(rezipped(packed, tmp_path / "b.zip", [(lzma, b"x")]))


def test_a_zip_that_unpacks_to_too_much_is_refused_before_unpacking(packed, tmp_path):
    path = rezipped(packed, tmp_path / "b.zip", [(zipfile.ZipInfo("big"), b"")])
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", MAX_BUNDLE_BYTES)
    path.write_bytes(data)
    with pytest.raises(BundleFormatError, match=rf"limit {256 * 2**20}"):
        opened(path)


def test_a_zip_that_lies_about_its_size_is_not_unpacked_beyond_what_it_declares(packed, tmp_path):
    path = tmp_path / "b.zip"
    path.write_bytes(packed)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(2**25))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 10)
    path.write_bytes(data)
    del data
    tracemalloc.start()
    with pytest.raises(BundleError):
        opened(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_too_many_entries_are_refused(packed, tmp_path):
    path = rezipped(packed, tmp_path / "b.zip", [(zipfile.ZipInfo(f"f{i}"), b"") for i in range(300)])
    with pytest.raises(BundleFormatError, match="limit 256"):
        opened(path)


def test_a_folder_that_is_too_large_is_refused(copy, monkeypatch):
    monkeypatch.setattr(_bundle_files, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(BundleFormatError, match="more than 1000 bytes in all"):
        opened(copy)
    (copy / "many").mkdir()
    for index in range(300):
        (copy / f"many/{index}").touch()
    with pytest.raises(BundleFormatError, match="too many files"):
        opened(copy)


def test_a_link_in_a_folder_is_refused_wherever_it_leads(copy, tmp_path):
    outside = tmp_path / "outside.md"
    (copy / "card.md").rename(outside)
    (copy / "card.md").symlink_to(outside)
    with pytest.raises(BundleFormatError, match=r"card\.md is a symbolic link"):
        opened(copy)
    (copy / "card.md").unlink()
    (copy / "golden").rename(tmp_path / "golden")
    (copy / "golden").symlink_to(tmp_path / "golden")
    with pytest.raises(BundleFormatError, match="golden is a symbolic link"):
        opened(copy)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_a_folder_is_refused_without_waiting_for_it(copy):
    (copy / "card.md").unlink()
    os.mkfifo(copy / "card.md")
    with pytest.raises(BundleFormatError, match="not a regular file"):
        opened(copy)


def test_what_is_no_bundle_is_refused_with_the_reason(tmp_path):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty.zip").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, error, message in (
        ("text.txt", BundleFormatError, "not a readable zip"),
        ("empty.zip", BundleFormatError, "not a readable zip"),
        ("folder", BundleFormatError, r"no manifest\.json at its top level"),
        ("nothing", BundleNotFoundError, "there is no bundle"),
        ("x" * 5000, BundleNotFoundError, "there is no bundle"),
        ("a\0b", BundleNotFoundError, "there is no bundle"),
    ):
        with pytest.raises(error, match=message):
            opened(tmp_path / name)
