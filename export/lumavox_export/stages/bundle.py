"""Stage bundle: exported files, front-end, card and bill of materials become a signed bundle.

Only connects the pipeline to ``bundler``, which does the work.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lumavox import __version__
from lumavox._bundle_schema import Dataset
from lumavox.bundle import Provenance
from lumavox.signing import SigningKey

from ..artifacts import Artifact
from ..bundler import BundleInput, bundle
from ..errors import StageError
from ..exporter import ExportArtifact
from ..recipe import Recipe, part
from ..work import Work
from .quantize import quantized
from .train import WEIGHTS


def inputs(recipe: Recipe, previous: Artifact | None, work: Work) -> dict[str, Any]:
    """The words of the card and the key, beside the exported files."""
    key = SigningKey.load(work.key).key_id if work.key else ""
    return {"id": recipe.id, "version": recipe.version, "card": _card(recipe), "key": key}


def run(recipe: Recipe, previous: Artifact | None, out_dir: Path, work: Work) -> list[str]:
    """Bundle; returns the names of the files made."""
    if previous is None:
        raise StageError(f"{recipe.id}: bundle needs the files of stage export")
    task = part("tasks", recipe.task, recipe.id)
    made = Artifact.load(work.out / "quantize")
    graph = next(iter(quantized(recipe, made).values())).graph
    delay = task.delay(recipe)
    knob = made.folder / "knob.json"
    datasets = [work.dataset(name) for name in recipe.datasets]
    source = BundleInput(
        id=recipe.id,
        version=recipe.version,
        front_end=task.front_end(recipe),
        provenance=Provenance(
            recipe_sha256=recipe.digest,
            weights_sha256=made.files[WEIGHTS],
            code_version=__version__,
            datasets=tuple(Dataset(d.name, ", ".join(d.licences), d.digest) for d in datasets),
        ),
        card=_card(recipe),
        parameters=graph.parameters(),
        architecture=recipe.family,
        delay_frames=delay.get("frames"),
        delay_samples=delay.get("samples"),
        calibration=tuple(tuple(pair) for pair in json.loads(knob.read_text())) if knob.is_file() else (),
    )
    key = SigningKey.load(work.key) if work.key else None
    folder = bundle(source, ExportArtifact.load(previous.folder / "files"), out_dir / "bundle", key=key)
    return sorted(str(path.relative_to(out_dir)) for path in folder.rglob("*") if path.is_file())


def _card(recipe: Recipe) -> str:
    """``card.md`` beside the recipe, or a bare one."""
    path = recipe.folder / "card.md"
    return path.read_text() if path.is_file() else f"# {recipe.id}\n\n{recipe.summary}\n"
