"""Stage export: every content in every format and precision, the parity chain asserted.

Only connects the pipeline to ``exporter``, which does the work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..artifacts import Artifact
from ..errors import StageError
from ..exporter import Content, ExportArtifact, ExportInput, export
from ..recipe import Recipe, part
from ..work import Work
from .quantize import quantized


def inputs(recipe: Recipe, previous: Artifact | None, work: Work) -> dict[str, Any]:
    """Nothing beside the quantized networks."""
    return {}


def run(recipe: Recipe, previous: Artifact | None, out_dir: Path, work: Work) -> list[str]:
    """Export; returns the names of the files made."""
    if previous is None:
        raise StageError(f"{recipe.id}: export needs the networks of stage quantize")
    task, family = part("tasks", recipe.task, recipe.id), part("families", recipe.family, recipe.id)
    contents = tuple(
        Content(
            name,  # type: ignore[arg-type]
            found.graph,
            found.integers,
            found.module.reference,  # type: ignore[arg-type]
            task.golden(recipe, found.graph),
            family.TOLERANCES,
        )
        for name, found in quantized(recipe, previous).items()
    )
    offered = {"float32", recipe.quantize.precision, *(recipe.quantize.also or ())}
    variants = tuple(v for v in task.VARIANTS if v[1] in offered)
    artifact = export(ExportInput(contents, variants), out_dir / "files")
    return sorted(f"files/{name}" for name in [*artifact.files(), ExportArtifact.RECORD])
