"""Fixtures that several test modules use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import bundles
from lumavox.signing import SigningKey, TrustedKeys


@pytest.fixture(autouse=True)
def _no_models_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see the models of the repository, never those that the user's environment names."""
    monkeypatch.delenv("LUMAVOX_MODELS", raising=False)


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """The key that signs test bundles; made anew in each run."""
    return bundles.signing_key()


@pytest.fixture(scope="session")
def trusted() -> TrustedKeys:
    """The keys that verify test bundles."""
    return bundles.trusted()


@pytest.fixture(scope="session")
def sr_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed "sr" bundle folder that no test may change."""
    return bundles.sr_bundle(tmp_path_factory.mktemp("sr"))


@pytest.fixture
def copy(sr_path: Path, tmp_path: Path) -> Path:
    """The signed "sr" bundle as a folder that the test may spoil."""
    return shutil.copytree(sr_path, tmp_path / "copy")


@pytest.fixture(scope="session")
def de_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed "de" bundle folder that no test may change."""
    return bundles.de_bundle(tmp_path_factory.mktemp("de"))
