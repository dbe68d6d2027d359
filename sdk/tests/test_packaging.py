"""What the built wheel carries: the runtime, the exporter, the shipped bundles, and nothing else.

It is built from a copy of the sources with a tiny model beside them, whose folder also holds what must
stay at home.
"""

from __future__ import annotations

import email.parser
import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bundles import sr_bundle

pytest.importorskip("hatchling", reason="building a wheel needs hatchling, which is in lumavox[dev]")

ROOT = Path(__file__).parents[2]
SOURCES = (
    "pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore", "sdk", "export", "device_tests",
)  # fmt: skip
STAY_AT_HOME = (
    "models/sr/tiny/recipe.toml",
    "models/sr/tiny/measured.json",
    "models/sr/tiny/weights.safetensors",
    "sdk/lumavox/keys/release.key",
    "sdk/lumavox/keys/release.pem.key",
    "sdk/lumavox/__pycache__/stale.cpython-311.pyc",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, with one shipped model."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    sr_bundle(tree / "models")
    for name in STAY_AT_HOME:
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("-----BEGIN PRIVATE KEY-----")
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path) -> zipfile.ZipFile:
    """The wheel, built by the backend in this process: no isolation, no network."""
    before = os.getcwd()
    os.chdir(tree)
    try:
        name = importlib.import_module("hatchling.build").build_wheel(str(tree / "dist"))
    finally:
        os.chdir(before)
    return zipfile.ZipFile(tree / "dist" / name)


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> list[str]:
    return wheel.namelist()


PACKAGES = (("lumavox", "sdk"), ("lumavox_export", "export"), ("lumavox_matrix", "device_tests"))


def test_the_import_packages_are_in_the_wheel(names):
    for package, folder in ((package, ROOT / name) for package, name in PACKAGES):
        modules = {p.relative_to(folder).as_posix() for p in (folder / package).rglob("*.py")}
        assert modules <= set(names)
        assert f"{package}/py.typed" in names


def test_a_shipped_bundle_is_in_the_wheel_byte_for_byte_and_the_rest_of_its_folder_is_not(tree, wheel, names):
    bundle = tree / "models/sr/tiny/bundle"
    files = {
        f"lumavox/_models/sr/tiny/bundle/{f.relative_to(bundle).as_posix()}": f for f in bundle.rglob("*.*")
    }
    assert len(files) > 4
    assert {n for n in names if n.startswith("lumavox/_models/")} == set(files)
    assert all(wheel.read(name) == file.read_bytes() for name, file in files.items())


def test_an_installed_wheel_finds_its_models_from_any_folder(wheel, tmp_path):
    """Unpacked as pip would, with no repository around it."""
    wheel.extractall(tmp_path / "site")
    program = "from lumavox.catalog import find_bundle; print(find_bundle('sr/tiny'))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == str(tmp_path / "site/lumavox/_models/sr/tiny/bundle"), result.stderr


def test_only_the_packages_and_the_metadata_are_in_the_wheel(names):
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {p for p, _ in PACKAGES}


def test_the_chipset_profiles_are_in_the_wheel(names):
    for file in (ROOT / "device_tests/chipsets").glob("*.toml"):
        assert f"lumavox_matrix/_chipsets/{file.name}" in names


def test_no_tests_caches_or_training_files_are_in_the_wheel(names):
    unwanted = re.compile(r"(^|/)(tests?|__pycache__|\.git|out)/|\.(pyc|pt|pth|ckpt|safetensors|pkl)$")
    assert [n for n in names if unwanted.search(n)] == []


def test_no_private_key_is_in_the_wheel(wheel, names):
    assert [n for n in names if n.endswith(".key")] == []
    holders = [n for n in names if re.search(rb"BEGIN [A-Z ]*PRIVATE KEY", wheel.read(n))]
    assert holders == []


def test_the_schemas_and_public_keys_are_in_the_wheel(names):
    for file in (ROOT / "sdk/lumavox").glob("*/*"):
        if file.suffix in (".json", ".pem"):
            assert file.relative_to(ROOT / "sdk").as_posix() in names


def test_the_metadata_names_the_version_the_licence_and_the_commands(wheel, names):
    folder = next(n.split("/")[0] for n in names if n.endswith(".dist-info/METADATA"))
    metadata = email.parser.Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())
    version = (ROOT / "sdk/lumavox/_version.py").read_text()
    assert f'"{metadata["Version"]}"' in version
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{folder}/licenses/LICENSE" in names
    commands = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "lumavox = lumavox.cli:main" in commands
    assert "lumavox-export = lumavox_export.cli:main" in commands
    assert "lumavox-matrix = lumavox_matrix.cli:main" in commands


def test_the_runtime_depends_on_three_packages_and_no_extra_installs_torch(wheel, names):
    """torch is installed first, by the build that fits the machine; an extra would choose for the user."""
    metadata = wheel.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    required = [line.split(": ", 1)[1] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    base = {re.split(r"[<>=\[; ]", r)[0] for r in required if "extra ==" not in r}
    assert base == {"numpy", "opencv-python-headless", "cryptography"}
    assert not [r for r in required if re.match(r"torch\b", r)]
