"""``Bundle``: everything a device needs for one model, read once and verified before anything parses it.

A bundle is a folder, or the same folder as a zip (layout: docs/design.md). ``open`` reads all files into
memory (models are small, at most ``MAX_BUNDLE_BYTES`` in all), verifies signature and digests of exactly
those bytes, and only then reads their meaning. ``read`` hands out the same bytes, so nothing can change
between check and use. It runs no model: that is ``session``.

    bundle = Bundle.open("sr/base-x2", task="sr")
    variant = bundle.select(engines=["tflite", "onnx"], content="streamed")
    model = bundle.read(variant.file)
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from . import _bundle_rules as rules
from ._bundle_files import read_files
from ._bundle_rules import MAX_BUNDLE_BYTES
from ._bundle_schema import Golden, Provenance, StateSpec, TensorSpec, Variant
from .catalog import find_bundle
from .errors import BundleError, BundleFormatError, OptionError
from .signing import TrustedKeys

__all__ = ["Bundle", "Golden", "Provenance", "StateSpec", "TensorSpec", "Variant", "read_files"]

CONTENTS = ("any", "clean", "streamed")


@dataclass(frozen=True, eq=False, repr=False)
class Bundle:
    """A verified model bundle; made by ``Bundle.open``."""

    id: str  # "sr/base-x2"
    version: str
    task: str  # "sr" or "de"
    digest: str  # SHA-256 of manifest.json, hex: names these exact bytes
    signed_by: str | None  # key id, None if unsigned
    front_end: Mapping[str, object]
    delay_frames: int  # 0 for task "de"
    delay_samples: int  # 0 for task "sr"
    calibration: tuple[tuple[float, float], ...]  # (requested dB, applied dB), rising; often empty
    variants: tuple[Variant, ...]  # in order of preference
    provenance: Provenance
    card: str  # Markdown
    min_runtime: str
    _files: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def open(
        cls,
        path_or_id: str | Path,
        *,
        task: str | None = None,
        trusted_keys: TrustedKeys | None = None,
        allow_unsigned: bool = False,
    ) -> Bundle:
        """Read and verify the bundle at a path, or the one of that id (``lumavox models`` lists them).

        ``task`` refuses a bundle for another one. ``trusted_keys`` replaces the keys shipped with lumavox.
        ``allow_unsigned`` accepts a bundle without signature; one that is present must still be right.
        Raises BundleError, and nothing else, for whatever is wrong with the bundle.
        """
        path = find_bundle(path_or_id)
        files = read_files(path)
        where = str(path)
        signed_by = rules.verify_files(files, where, trusted_keys, allow_unsigned)
        document = rules.parse_document(files, where, task)
        try:
            card = files["card.md"].decode("utf-8")
        except UnicodeDecodeError as cause:
            raise BundleFormatError(f"{where}: card.md is not UTF-8: {cause}") from cause
        return cls(
            id=document.id,
            version=document.version,
            task=document.task,
            digest=hashlib.sha256(files[rules.MANIFEST]).hexdigest(),
            signed_by=signed_by,
            front_end=document.front_end,
            delay_frames=document.delay.frames or 0,
            delay_samples=document.delay.samples or 0,
            calibration=document.calibration,
            variants=document.variants,
            provenance=document.provenance,
            card=card,
            min_runtime=document.min_runtime,
            _files=MappingProxyType(files),
        )

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all files."""
        return tuple(sorted(self._files))

    def read(self, file: str) -> bytes:
        """The verified bytes of one file. Raises OptionError if there is no such file."""
        if file not in self._files:
            raise OptionError.unknown("file", file, self._files, f"bundle {self.id}")
        return self._files[file]

    def golden(self, variant: Variant | str) -> dict[str, np.ndarray]:
        """The golden arrays of a variant by tensor name; state tensors may be left out (then zeros).

        Raises BundleFormatError if the file is not a plain npz of the variant's tensors.
        """
        variant = self.variant(variant) if isinstance(variant, str) else variant
        where = f"bundle {self.id}: {variant.golden.file}"
        data = self.read(variant.golden.file)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                unpacked = sum(info.file_size for info in archive.infolist())
            if unpacked > MAX_BUNDLE_BYTES:
                raise BundleFormatError(f"{where}: {unpacked} bytes unpacked (limit {MAX_BUNDLE_BYTES})")
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except BundleError:
            raise
        except Exception as cause:  # zipfile, zlib and numpy have many ways to say "malformed"
            raise BundleFormatError(f"{where}: not a readable npz without pickles: {cause}") from cause
        _check_golden(variant, found, where)
        return found

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises OptionError if there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise OptionError.unknown("variant", name, [v.name for v in self.variants], f"bundle {self.id}")

    def select(
        self, *, engines: Collection[str], content: str = "any", precision: str | None = None
    ) -> Variant:
        """The first variant, in the bundle's order, that fits.

        ``engines`` are those that can run here; ``content`` "any" takes what comes first. Raises
        BundleError that says for each variant why it was passed over.
        """
        if content not in CONTENTS:
            raise OptionError.unknown("content", content, CONTENTS)
        passed_over = []
        for variant in self.variants:
            reasons = rules.reasons_against(variant, engines=engines, content=content, precision=precision)
            if not reasons:
                return variant
            passed_over.append(f"{variant.name}: {' and '.join(reasons)}")
        raise BundleError(f"no variant of {self.id} {self.version} fits: {'; '.join(passed_over)}")

    def __repr__(self) -> str:
        return (
            f"<Bundle {self.id} {self.version}, {len(self.variants)} variants, "
            f"{'signed by ' + self.signed_by if self.signed_by else 'unsigned'}>"
        )


def _check_golden(variant: Variant, arrays: Mapping[str, np.ndarray], where: str) -> None:
    tensors = {tensor.name: tensor for tensor in variant.inputs + variant.outputs}
    states = {name for state in variant.states for name in (state.input, state.output)}
    for name in arrays:
        if name not in tensors:
            raise BundleFormatError(str(OptionError.unknown("array", name, tensors, where)))
    for name, tensor in tensors.items():
        if name not in arrays:
            if name in states:
                continue
            raise BundleFormatError(f"{where}: there is no array for the tensor {name!r}")
        array = arrays[name]
        fits = len(array.shape) == len(tensor.shape) and all(
            want in (-1, have) for want, have in zip(tensor.shape, array.shape)
        )
        if array.dtype.name != tensor.dtype or not fits:
            raise BundleFormatError(
                f"{where}: the array {name!r} is {array.dtype.name} {array.shape}, "
                f"the variant {variant.name} says {tensor.dtype} {tensor.shape}"
            )
