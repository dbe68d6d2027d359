"""The work of stage bundle: exported variants, front-end and card become a signed model bundle.

It computes nothing. The format belongs to the runtime (``lumavox.bundle_writer``), which
opens and verifies what it wrote before it lets the folder appear.

    folder = bundle(BundleInput("sr/base-x2", "0.1.0", ...), exported, out_dir, key=SigningKey.load(path))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lumavox._parse import dump_json
from lumavox.bundle import Provenance
from lumavox.bundle_writer import write_bundle
from lumavox.signing import SigningKey

from .exporter import ExportArtifact
from .sbom import model_sbom


@dataclass(frozen=True)
class BundleInput:
    """What a bundle says about its model beside the variants; words as in ``bundle.json``."""

    id: str
    version: str
    front_end: Mapping[str, object]
    provenance: Provenance
    card: str  # Markdown, written by people; measured parity is appended
    parameters: int
    architecture: str
    delay_frames: int | None = None
    delay_samples: int | None = None
    calibration: tuple[tuple[float, float], ...] = ()


def bundle(source: BundleInput, exported: ExportArtifact, out_dir: Path, *, key: SigningKey | None) -> Path:
    """Writes the bundle folder ``out_dir`` and returns it. ``key`` None leaves it unsigned (experiments).

    Raises `BundleError` for content that the runtime would refuse.
    """
    files = exported.files()
    document = model_sbom(
        source.id,
        source.version,
        variants=exported.variants,
        provenance=source.provenance,
        files=files,
        parameters=source.parameters,
        architecture=source.architecture,
    )
    return write_bundle(
        out_dir,
        id=source.id,
        version=source.version,
        front_end=source.front_end,
        variants=exported.variants,
        provenance=source.provenance,
        card=source.card.rstrip() + "\n\n" + _parity_section(exported),
        files=files | {"sbom.json": dump_json(document)},
        key=key,
        delay_frames=source.delay_frames,
        delay_samples=source.delay_samples,
        calibration=source.calibration,
    )


def _parity_section(exported: ExportArtifact) -> str:
    parts = ["## Numeric parity\n\nMeasured when the files were exported.\n"]
    parts += [f"Content `{report.content}`:\n\n{report.table()}" for report in exported.reports]
    return "\n".join(parts)
