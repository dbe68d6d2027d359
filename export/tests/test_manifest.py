"""Dataset manifests: nothing without a licence, nothing altered."""

from pathlib import Path

import pytest

from lumavox_export.data.debug import make_debug_data
from lumavox_export.data.manifest import Dataset
from lumavox_export.errors import DatasetError

SHIPPED = sorted((Path(__file__).parents[2] / "models" / "datasets").glob("*.toml"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_debug_data(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("manifest", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_manifest_names_a_licence_for_every_file(manifest: Path) -> None:
    dataset = Dataset.load(manifest, "nowhere")
    assert dataset.entries and all(entry.licence for entry in dataset.entries)


def test_a_dataset_is_found_under_its_root_and_verified(root: Path) -> None:
    dataset = Dataset.load(root / "datasets" / "debug-speech.toml", root)
    dataset.verify()
    assert [e.group for e in dataset.entries] == ["speech0", "speech1", "speech2"]
    assert dataset.licences == ("CC0 1.0",)


def test_the_digest_follows_the_files_and_not_the_place(root: Path) -> None:
    manifest = root / "datasets" / "debug-music.toml"
    assert Dataset.load(manifest, root).digest == Dataset.load(manifest, "elsewhere").digest


def test_an_absent_file_is_an_error_that_names_it_and_the_option(root: Path) -> None:
    dataset = Dataset.load(root / "datasets" / "debug-speech.toml", root / "elsewhere")
    with pytest.raises(DatasetError, match=r"speech/0.wav.*--data"):
        dataset.path(dataset.entries[0])


def test_an_altered_file_is_named(root: Path, tmp_path: Path) -> None:
    copy = make_debug_data(tmp_path)
    (copy / "speech" / "1.wav").write_bytes(b"else")
    with pytest.raises(DatasetError, match="speech/1.wav differs"):
        Dataset.load(copy / "datasets" / "debug-speech.toml", copy).verify()


def test_the_kind_of_material_may_be_told_and_is_no_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('name = "d"\ntitle = "d"\nevidence = "none"\n')
    plain = f"file,licence,author,sha256,group,native_rate\na.png,CC0,me,{'0' * 64},a,\n"
    (tmp_path / "d.csv").write_text(plain)
    without = Dataset.load(tmp_path / "d.toml", tmp_path)
    (tmp_path / "d.csv").write_text(plain.replace("rate\n", "rate,kind\n").replace(",a,\n", ",a,,text\n"))
    told = Dataset.load(tmp_path / "d.toml", tmp_path)
    assert (without.entries[0].kind, told.entries[0].kind) == ("", "text")
    assert without.digest == told.digest


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,,me," + "0" * 64 + ",,", "no licence"),
        ("a.wav,CC0,me,short,,", "no sha256"),
        ("a.wav,CC0,me," + "0" * 64 + ",,,extra", "columns must be"),
    ],
)
def test_a_row_that_may_not_be_trained_on_is_refused(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "d.toml").write_text('name = "d"\ntitle = "d"\nevidence = "none"\n')
    (tmp_path / "d.csv").write_text(f"file,licence,author,sha256,group,native_rate\n{row}\n")
    with pytest.raises(DatasetError, match=message):
        Dataset.load(tmp_path / "d.toml", tmp_path)
