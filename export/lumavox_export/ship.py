"""Puts a finished model where it ships from: ``bundle/`` and ``weights.safetensors`` beside its recipe."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .artifacts import Artifact
from .recipe import Recipe
from .stages.train import WEIGHTS
from .work import Work


def ship(recipe: Recipe, work: Work) -> Path:
    """Copy what the pipeline made, each by temporary name and rename; returns the recipe's folder.

    Raises StageError if the pipeline has not finished.
    """
    made, quantized = Artifact.load(work.out / "bundle"), Artifact.load(work.out / "quantize")
    folder = recipe.folder
    partial = Path(tempfile.mkdtemp(prefix=".ship.", dir=folder))
    try:
        shutil.copytree(made.folder / "bundle", partial / "bundle")
        shutil.copyfile(quantized.folder / WEIGHTS, partial / WEIGHTS)
        if (folder / "bundle").exists():
            (folder / "bundle").rename(partial / "old")
        (partial / "bundle").rename(folder / "bundle")
        (partial / WEIGHTS).replace(folder / WEIGHTS)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
