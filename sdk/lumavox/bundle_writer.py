"""Writes model bundles: the one writer, used by the export and by tests. It makes no model.

What is written passes through the same rules that ``Bundle.open`` applies, so a bundle that this runtime
would refuse is never made. The same arguments give the same bytes.

    folder = write_bundle(out / "bundle", id="sr/base-x2", version="0.1.0", front_end={...}, variants=[...],
                          provenance=Provenance(...), card="# ...", files={"variants/a.tflite": ...}, key=key)
    pack_bundle(folder, out / "base-x2.zip")
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import _bundle_rules as rules
from ._bundle_schema import SCHEMA, Provenance, Variant
from ._parse import dump_json, plain
from ._version import __version__
from .bundle import Bundle, read_files
from .errors import BundleFormatError, OptionError
from .signing import SigningKey, TrustedKeys


def write_bundle(
    out_dir: str | Path,
    *,
    id: str,
    version: str,
    front_end: Mapping[str, object],
    variants: Sequence[Variant],
    provenance: Provenance,
    card: str,
    files: Mapping[str, bytes],
    key: SigningKey | None,
    delay_frames: int | None = None,
    delay_samples: int | None = None,
    calibration: Sequence[tuple[float, float]] = (),
    min_runtime: str = __version__,
) -> Path:
    """Write a bundle folder and return it. A bundle that was there before is replaced as a whole.

    The task is the first part of ``id``. Give ``delay_frames`` for task "sr" (default 0), ``delay_samples``
    for task "de". ``files`` holds model files and golden vectors, and ``sbom.json`` if the generated list
    of parts (CycloneDX 1.5) is not wanted. ``key`` None writes an unsigned bundle, for experiments.
    Raises BundleFormatError for content that could not be opened again, and OptionError if ``out_dir``
    holds something that is not a bundle.
    """
    out_dir = Path(out_dir)
    task = id.partition("/")[0]
    if task == "sr" and delay_frames is None:
        delay_frames = 0
    delay = {"frames": delay_frames, "samples": delay_samples}
    document = {
        "schema": SCHEMA,
        "id": id,
        "version": version,
        "task": task,
        "min_runtime": min_runtime,
        "provenance": plain(provenance),
        "front_end": plain(front_end),
        "delay": {name: value for name, value in delay.items() if value is not None},
        "variants": plain(tuple(variants)),
    }
    if calibration:
        document["calibration"] = plain(tuple(calibration))
    content = {"sbom.json": _sbom(id, version, files)} | dict(files)
    content |= {rules.DOCUMENT: dump_json(document), "card.md": card.encode()}
    _write_signed(out_dir, content, key)
    return out_dir


def pack_bundle(folder: str | Path, zip_path: str | Path) -> Path:
    """Pack a bundle folder into a zip: the same files, the same digest, the same bytes each time."""
    files, zip_path = read_files(Path(folder)), Path(zip_path)
    with _temporary_beside(zip_path) as temporary:
        packed = temporary / zip_path.name
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(files.items()):
                info = zipfile.ZipInfo(name)  # dated 1980-01-01
                info.external_attr = 0o100644 << 16
                archive.writestr(info, data, zipfile.ZIP_DEFLATED)
        os.replace(packed, zip_path)
    return zip_path


def _write_signed(out_dir: Path, content: Mapping[str, bytes], key: SigningKey | None) -> None:
    for reserved in {rules.MANIFEST, rules.SIGNATURE} & set(content):
        raise BundleFormatError(f"{out_dir}: {reserved} is written here, it cannot be among the files")
    manifest = dump_json(rules.manifest_of(content))
    files = dict(content) | {rules.MANIFEST: manifest}
    if key is not None:
        files[rules.SIGNATURE] = rules.signature_file(manifest, key)
    trusted = TrustedKeys.of(key.public_pem()) if key else None
    with _temporary_beside(out_dir) as temporary:
        new, old = temporary / "new", temporary / "old"
        for name, data in files.items():
            rules.check_paths([name], str(out_dir))
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        written = Bundle.open(new, trusted_keys=trusted, allow_unsigned=key is None)
        for variant in written.variants:
            written.golden(variant)
        if out_dir.exists():
            _require_replaceable(out_dir)
            os.rename(out_dir, old)
        os.rename(new, out_dir)


def _require_replaceable(out_dir: Path) -> None:
    if not out_dir.is_dir() or (any(out_dir.iterdir()) and not (out_dir / rules.MANIFEST).is_file()):
        raise OptionError(f"{out_dir} exists and is not a bundle; it is not replaced, choose another folder")


@contextlib.contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as ``path``, so that a rename is atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sbom(id: str, version: str, files: Mapping[str, bytes]) -> bytes:
    """A software bill of materials: each file of the model and its SHA-256."""
    parts = [
        {
            "type": "file",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}],
        }
        for name, data in sorted(files.items())
    ]
    model = {"type": "machine-learning-model", "name": id, "version": version}
    head = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": model}}
    return dump_json(head | {"components": parts})
