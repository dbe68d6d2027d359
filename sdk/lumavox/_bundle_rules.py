"""The rules of a model bundle: pure functions over bytes, no file is opened here.

A bundle is a mapping from relative path to bytes. ``verify_files`` decides whether the bytes are what the
signer signed, ``parse_document`` whether ``bundle.json`` means something that this runtime can run. Both
raise a BundleError that names the file and what to do. ``lumavox.bundle`` reads the files, and
``lumavox.bundle_writer`` passes what it wrote through the same rules.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ._bundle_schema import SCHEMA, Document
from ._parse import dump_json, load_json, parse, plain
from ._version import __version__
from .errors import (
    BundleFormatError,
    BundleIntegrityError,
    BundleSignatureError,
    BundleTaskError,
    BundleVersionError,
)
from .signing import SigningKey, TrustedKeys

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
DOCUMENT = "bundle.json"

MAX_BUNDLE_BYTES = 256 * 2**20  # all files together, unpacked
MAX_FILES = 256
MAX_JSON_BYTES = 2**20

# One rule against absolute paths, "..", backslashes, drive letters, control and look-alike characters.
_SAFE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_SEMANTIC_VERSION = re.compile(
    r"([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
)


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``."""

    schema: int
    files: Mapping[str, FileEntry]


@dataclass(frozen=True)
class SignatureFile:
    """``signature.json``; the signature is base64 of 64 bytes."""

    algorithm: Literal["ed25519"]
    key_id: str
    signature: str


def check_paths(paths: Iterable[str], where: str) -> None:
    """Refuse paths that could lead out of the bundle, or that differ only in case."""
    seen: dict[str, str] = {}
    for path in paths:
        if len(path) > 200 or not _SAFE_PATH.fullmatch(path):
            raise BundleFormatError(
                f"{where}: the file name {path[:200]!r} is not safe; possible are relative paths of at "
                "most 200 letters, digits, '.', '_' and '-', in which no part starts with '.' or '-'"
            )
        twin = seen.setdefault(path.lower(), path)
        if twin != path:
            raise BundleFormatError(f"{where}: {twin!r} and {path!r} are one file on some systems")
        if len(seen) > MAX_FILES:
            raise BundleFormatError(f"{where}: too many files (limit {MAX_FILES}); is this a bundle?")


def verify_files(
    files: Mapping[str, bytes], where: str, trusted: TrustedKeys | None, allow_unsigned: bool
) -> str | None:
    """Check signature, digests and completeness of ``files``; returns the key id, or None if unsigned.

    ``trusted`` None means the shipped keys. Order: manifest, signature over it, every file. A signature
    that is present must be right, ``allow_unsigned`` excuses only an absent one.
    """
    check_paths(files, where)
    if MANIFEST not in files:
        raise BundleFormatError(f"{where}: there is no {MANIFEST} at its top level, so this is not a bundle")
    raw = _load(files, MANIFEST, where)
    _check_schema(raw, f"{where}: {MANIFEST}")
    manifest = parse(Manifest, raw, f"{where}: {MANIFEST}", error=BundleFormatError)
    check_paths(manifest.files, f"{where}: {MANIFEST}")
    key_id = _verify_signature(files, where, trusted, allow_unsigned)
    _verify_digests(files, manifest, where)
    return key_id


def _verify_signature(
    files: Mapping[str, bytes], where: str, trusted: TrustedKeys | None, allow_unsigned: bool
) -> str | None:
    if SIGNATURE not in files:
        if allow_unsigned:
            return None
        raise BundleSignatureError(
            f"{where}: not signed; get a signed bundle, or pass allow_unsigned=True if you made it yourself"
        )
    signed = parse(
        SignatureFile, _load(files, SIGNATURE, where), f"{where}: {SIGNATURE}", error=BundleFormatError
    )
    try:
        signature = base64.b64decode(signed.signature, validate=True)
    except ValueError as cause:
        raise BundleFormatError(f"{where}: {SIGNATURE}: signature: not base64: {cause}") from cause
    if base64.b64encode(signature).decode() != signed.signature or len(signature) != 64:
        raise BundleFormatError(f"{where}: {SIGNATURE}: signature: expected base64 of 64 bytes")
    if dump_json(plain(signed)) != files[SIGNATURE]:  # the one file that no digest covers has one form
        raise BundleFormatError(f"{where}: {SIGNATURE}: not as it was written; get the bundle again")
    trusted = TrustedKeys.shipped() if trusted is None else trusted
    try:
        trusted.verify(signed.key_id, signature, files[MANIFEST])
    except BundleSignatureError as cause:
        raise BundleSignatureError(f"{where}: {cause}") from cause
    return signed.key_id


def _verify_digests(files: Mapping[str, bytes], manifest: Manifest, where: str) -> None:
    def altered(problem: str) -> BundleIntegrityError:
        return BundleIntegrityError(f"{where}: {problem}; get the bundle again")

    for path in sorted(set(files) - set(manifest.files) - {MANIFEST, SIGNATURE}):
        raise altered(f"the file {path!r} is not in {MANIFEST}")
    for path, entry in manifest.files.items():
        if path in (MANIFEST, SIGNATURE):
            raise BundleFormatError(f"{where}: {MANIFEST}: files.{path}: cannot list itself or its signature")
        if path not in files:
            raise altered(f"the file {path!r} of {MANIFEST} is missing")
        data = files[path]
        if len(data) != entry.bytes:
            raise altered(f"the file {path!r} has {len(data)} bytes, {MANIFEST} says {entry.bytes}")
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise altered(f"the file {path!r} was altered: its SHA-256 differs from {MANIFEST}")


def parse_document(files: Mapping[str, bytes], where: str, task: str | None = None) -> Document:
    """``bundle.json`` of verified ``files``, checked for the runtime's version, the keys, then the task."""
    if DOCUMENT not in files:
        raise BundleFormatError(f"{where}: there is no {DOCUMENT}")
    inner = f"{where}: {DOCUMENT}"
    raw = _load(files, DOCUMENT, where)
    _check_schema(raw, inner)
    needed = raw.get("min_runtime")
    if isinstance(needed, str) and not runs_here(needed, inner):
        raise BundleVersionError(
            f"{inner}: needs lumavox {needed} or newer, this is {__version__}; upgrade lumavox, "
            "or get an older bundle"
        )
    document = parse(Document, raw, inner, error=BundleFormatError)
    version_key(document.version, f"{inner}: version")
    for index, variant in enumerate(document.variants):
        if variant.min_runtime is not None:
            version_key(variant.min_runtime, f"{inner}: variants[{index}].min_runtime")
        for path in (variant.file, variant.golden.file):
            if path not in files:
                raise BundleFormatError(f"{inner}: variants[{index}]: the bundle has no file {path!r}")
    if "card.md" not in files:
        raise BundleFormatError(f"{where}: there is no card.md")
    if task is not None and document.task != task:
        raise BundleTaskError(
            f"{where}: {document.id} is a bundle for task {document.task!r}, asked for task {task!r}"
        )
    return document


def version_key(version: str, where: str) -> tuple[int, int, int]:
    """(major, minor, patch) of a semantic version; pre-release and build parts are not compared."""
    match = _SEMANTIC_VERSION.fullmatch(version)
    if not match:
        raise BundleFormatError(f"{where}: {version!r} is not a semantic version such as '1.2.3'")
    major, minor, patch = (int(part) for part in match.groups()[:3])
    return major, minor, patch


def runs_here(min_runtime: str, where: str) -> bool:
    """Whether this lumavox is at least version ``min_runtime``."""
    return version_key(min_runtime, where) <= version_key(__version__, "lumavox")


def manifest_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The manifest of ``files``, ready for ``dump_json``."""
    entries = {
        path: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()
    }
    return {"schema": SCHEMA, "files": entries}


def signature_file(manifest: bytes, key: SigningKey) -> bytes:
    """``signature.json`` over the bytes of ``manifest.json``."""
    signature = base64.b64encode(key.sign(manifest)).decode()
    return dump_json(plain(SignatureFile("ed25519", key.key_id, signature)))


def _load(files: Mapping[str, bytes], path: str, where: str) -> Any:
    if len(files[path]) > MAX_JSON_BYTES:
        raise BundleFormatError(f"{where}: {path} has {len(files[path])} bytes (limit {MAX_JSON_BYTES})")
    return load_json(files[path], f"{where}: {path}", BundleFormatError)


def _check_schema(raw: Any, where: str) -> None:
    """The schema version is read before any other key, since a newer schema may have other keys."""
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if type(schema) is not int or schema < 1:
        raise BundleFormatError(f"{where}: schema: expected a whole number, got {schema!r}")
    if schema > SCHEMA:
        raise BundleVersionError(
            f"{where}: has schema {schema}, lumavox {__version__} reads up to {SCHEMA}; upgrade lumavox"
        )


def reasons_against(
    variant: Any, *, engines: Collection[str], content: str, precision: str | None
) -> list[str]:
    """Why ``variant`` does not fit a request; empty if it does."""
    found = []
    if variant.engine not in engines:
        found.append(f"engine {variant.engine!r} is not among {', '.join(sorted(engines)) or 'none'}")
    if variant.target != "cpu":
        found.append(f"it is compiled for {variant.target}")
    if content != "any" and variant.content not in ("any", content):
        found.append(f"it is for {variant.content!r} content")
    if precision is not None and variant.precision != precision:
        found.append(f"its precision is {variant.precision!r}")
    if variant.min_runtime is not None and not runs_here(variant.min_runtime, variant.name):
        found.append(f"it needs lumavox {variant.min_runtime}")
    return found
