"""Bundles are found by id in the folders of the environment, of the wheel and of the checkout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bundles import de_bundle, opened, sr_bundle
from lumavox import catalog
from lumavox.bundle import Bundle
from lumavox.bundle_writer import pack_bundle
from lumavox.errors import BundleNotFoundError


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A folder of models, the only one."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "nowhere")
    monkeypatch.setenv("LUMAVOX_MODELS", str(folder))
    return folder


def test_a_bundle_is_found_by_its_id_and_opened(models):
    path = sr_bundle(models)
    assert catalog.find_bundle("sr/tiny") == path
    assert opened("sr/tiny").id == "sr/tiny"


def test_a_zip_is_found_by_its_id_and_a_folder_comes_first(models):
    pack_bundle(de_bundle(models), models / "de/packed-1.5.zip")
    assert catalog.find_bundle("de/packed-1.5") == models / "de/packed-1.5.zip"
    pack_bundle(models / "de/tiny/bundle", models / "de/tiny.zip")
    assert catalog.find_bundle("de/tiny") == models / "de/tiny/bundle"


def test_shipped_bundles_are_listed_once_and_sorted(models):
    sr_bundle(models, name="b")
    sr_bundle(models, name="a")
    de_bundle(models)
    (models / "sr/unfinished").mkdir()
    (models / "notes/x/bundle").mkdir(parents=True)
    (models / "notes/x/bundle/manifest.json").touch()
    found = [path.relative_to(models).as_posix() for path in catalog.shipped_bundles()]
    assert found == ["de/tiny/bundle", "sr/a/bundle", "sr/b/bundle"]


def test_the_first_folder_of_the_environment_wins(models, tmp_path, monkeypatch):
    sr_bundle(models)
    mine = sr_bundle(tmp_path / "mine")
    both = os.pathsep.join(["", str(tmp_path / "absent"), str(tmp_path / "mine"), str(models)])
    monkeypatch.setenv("LUMAVOX_MODELS", both)
    assert catalog.find_bundle("sr/tiny") == mine
    assert len(catalog.shipped_bundles()) == 1


def test_the_wheel_and_the_checkout_are_searched(tmp_path, monkeypatch):
    package = tmp_path / "sdk/lumavox"
    package.mkdir(parents=True)
    monkeypatch.setattr(catalog, "_PACKAGE", package)
    sr_bundle(package / "_models")
    sr_bundle(tmp_path / "models", name="in-checkout")
    assert [p.parent.name for p in catalog.shipped_bundles()] == ["tiny"], "that is no checkout"
    (tmp_path / "pyproject.toml").touch()
    assert [p.parent.name for p in catalog.shipped_bundles()] == ["in-checkout", "tiny"]


def test_a_path_is_taken_as_it_is(models, tmp_path):
    path = sr_bundle(tmp_path / "elsewhere")
    assert catalog.find_bundle(path) == path
    assert catalog.find_bundle(str(path)) == path


def test_an_id_is_not_shadowed_by_a_folder_of_that_name(models, tmp_path, monkeypatch):
    path = sr_bundle(models)
    (tmp_path / "work/sr/tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert catalog.find_bundle("sr/tiny") == path
    assert catalog.find_bundle("./sr/tiny") == Path("sr/tiny")


def test_an_unknown_id_names_the_nearest_and_where_was_looked(models):
    sr_bundle(models, name="base-x2")
    with pytest.raises(BundleNotFoundError, match="did you mean 'sr/base-x2'") as caught:
        Bundle.open("sr/x2-bas")
    assert str(models) in str(caught.value)


def test_a_path_that_is_not_there_names_the_ids(models):
    sr_bundle(models)
    with pytest.raises(BundleNotFoundError, match=r"no bundle at '/no/such\.zip'.*sr/tiny"):
        Bundle.open("/no/such.zip")
    shutil.rmtree(models)
    with pytest.raises(BundleNotFoundError, match="ids: none"):
        Bundle.open("")
