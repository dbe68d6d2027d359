"""What `capabilities()` says of backends, models, formats and media, and why not."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import types

import pytest

import lumavox
from bundles import de_bundle
from lumavox import backends
from lumavox.picture import PixelFormat


@pytest.fixture
def folder(sr_path, trusted, tmp_path, monkeypatch):
    """A folder of bundles with ``sr/tiny`` and ``de/tiny``, signed by a key that is trusted."""
    shutil.copytree(sr_path, tmp_path / "sr/tiny/bundle")
    de_bundle(tmp_path)
    monkeypatch.setattr("lumavox.catalog._roots", lambda: [tmp_path])  # not those that ship
    monkeypatch.setattr("lumavox.signing.TrustedKeys.shipped", lambda: trusted)
    return tmp_path


def model(name):
    return next(m for m in lumavox.capabilities().models if m.id == name)


def test_every_backend_is_listed_with_a_reason():
    found = lumavox.capabilities().backends
    assert [p.backend for p in found] == [b.name for b in backends.available()]
    assert all(p.reason for p in found)


def test_a_picture_model_has_a_scale_and_a_sound_model_has_a_rate(folder):
    sr, de = model("sr/tiny"), model("de/tiny")
    assert (sr.task, sr.scale, sr.delay_frames, sr.rate_hz, sr.delay_samples) == ("sr", 2.0, 0, None, None)
    assert (de.task, de.rate_hz, de.delay_samples, de.scale, de.delay_frames) == (
        "de",
        48000,
        1440,
        None,
        None,
    )
    assert sr.usable
    assert de.usable
    assert sr.variants == ("any-int8-virtual",)


def test_a_model_without_an_engine_is_not_usable_and_says_what_it_needs(folder, monkeypatch):
    probe = dataclasses.replace(backends.get("virtual").probe(), usable=False, reason="not here")
    absent = types.SimpleNamespace(name="virtual", engine="virtual", probe=lambda: probe)
    monkeypatch.setattr(backends, "available", lambda: [absent])
    found = model("sr/tiny")
    assert not found.usable
    assert "virtual" in found.reason


def test_a_refused_bundle_is_listed_with_the_reason(folder):
    (folder / "sr/tiny/bundle/card.md").write_text("altered")
    refused = next(m for m in lumavox.capabilities().models if not m.usable)
    assert "card.md" in refused.reason
    assert refused.path == str(folder / "sr/tiny/bundle")


def test_the_formats_rates_and_levels_are_those_of_the_contract():
    found = lumavox.capabilities()
    assert set(found.pixel_formats) == {f.name for f in PixelFormat}
    assert found.levels_db == {"off": 0, "low": 3, "medium": 6, "high": 9, "max": 12}
    assert found.min_rate_hz <= 44100 < 48000 <= found.max_rate_hz


def test_absent_media_libraries_are_named_with_the_install_command(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "av" else real(name, *a)
    )
    media = lumavox.capabilities().media
    assert not media.usable
    assert "av" in media.reason
    assert 'pip install "lumavox[media]"' in media.reason


def test_the_result_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        lumavox.capabilities().version = "9"
