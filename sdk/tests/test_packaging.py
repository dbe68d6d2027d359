"""What the built wheel carries: the runtime, the exporter, the shipped bundles, and nothing else."""

from __future__ import annotations

import email.parser
import importlib
import os
import re
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUNDLES = sorted(p.parent for p in ROOT.glob("models/*/*/bundle/manifest.json"))

pytest.importorskip("hatchling", reason="building a wheel needs hatchling, which is in lumavox[dev]")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built by the backend in this process: no isolation, no network."""
    folder = tmp_path_factory.mktemp("dist")
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        name = importlib.import_module("hatchling.build").build_wheel(str(folder))
    finally:
        os.chdir(before)
    return zipfile.ZipFile(folder / name)


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> list[str]:
    return wheel.namelist()


def test_both_import_packages_are_in_the_wheel(names):
    for package, folder in (("lumavox", ROOT / "sdk"), ("lumavox_export", ROOT / "export")):
        modules = {p.relative_to(folder).as_posix() for p in (folder / package).rglob("*.py")}
        assert modules <= set(names)
        assert f"{package}/py.typed" in names


def test_every_shipped_bundle_is_in_the_wheel_byte_for_byte(wheel):
    for bundle in BUNDLES:
        task_and_name = bundle.relative_to(ROOT / "models").as_posix()
        for file in (p for p in bundle.rglob("*") if p.is_file()):
            inside = f"lumavox/_models/{task_and_name}/{file.relative_to(bundle).as_posix()}"
            assert wheel.read(inside) == file.read_bytes(), inside


def test_the_wheel_holds_no_bundle_that_the_models_folder_does_not(names):
    inside = {n.split("/bundle/")[0] for n in names if n.startswith("lumavox/_models/")}
    assert inside == {f"lumavox/_models/{b.parent.relative_to(ROOT / 'models').as_posix()}" for b in BUNDLES}


def test_only_the_two_packages_and_the_metadata_are_in_the_wheel(names):
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"lumavox", "lumavox_export"}


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


def test_the_metadata_names_the_version_the_licence_and_both_commands(wheel, names):
    folder = next(n.split("/")[0] for n in names if n.endswith(".dist-info/METADATA"))
    metadata = email.parser.Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())
    version = (ROOT / "sdk/lumavox/_version.py").read_text()
    assert f'"{metadata["Version"]}"' in version
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{folder}/licenses/LICENSE" in names
    commands = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "lumavox = lumavox.cli:main" in commands
    assert "lumavox-export = lumavox_export.cli:main" in commands


def test_the_runtime_depends_on_three_packages_and_no_extra_installs_torch(wheel, names):
    """torch is installed first, by the build that fits the machine; an extra would choose for the user."""
    metadata = wheel.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    required = [line.split(": ", 1)[1] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    base = {re.split(r"[<>=\[; ]", r)[0] for r in required if "extra ==" not in r}
    assert base == {"numpy", "opencv-python-headless", "cryptography"}
    assert not [r for r in required if re.match(r"torch\b", r)]
