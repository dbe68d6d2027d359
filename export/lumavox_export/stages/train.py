"""Stage train: a network for every content of the recipe, in order, from scratch or from an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lumavox._parse import plain

from ..artifacts import Artifact
from ..recipe import Recipe, part
from ..training import fit
from ..weights import load_into, read_weights, seeded, write_weights
from ..work import Work

WEIGHTS = "weights.safetensors"


def inputs(recipe: Recipe, previous: Artifact | None, work: Work) -> dict[str, Any]:
    """All that the result depends on."""
    contents = [{"name": c.name, "data": plain(c.data), "train": plain(c.train)} for c in recipe.contents]
    return {
        "network": plain(recipe.network),
        "family": recipe.family,
        "seed": recipe.seed,
        "contents": contents,
    }


def run(recipe: Recipe, previous: Artifact | None, out_dir: Path, work: Work) -> list[str]:
    """Train; returns the names of the files made."""
    task = part("tasks", recipe.task, recipe.id)
    states: dict[str, Any] = {}
    logs = []
    for content in recipe.contents:
        seeded(recipe.seed)
        module = recipe.network.build()  # type: ignore[attr-defined]
        if content.start_from is not None:
            load_into(module, states[content.start_from], content.name)
        material = task.Material(recipe, content, work)
        folder = out_dir / content.name
        states[content.name] = fit(
            module,
            material.loss,
            content.train,
            folder,
            resume=work.resume,
            label=f"train {recipe.id} {content.name}",
            validate=material.validate,
            validate_every=max(1, content.train.steps // 10),
        )
        logs.append(f"{content.name}/log.jsonl")
    write_weights(out_dir / WEIGHTS, states)
    return [WEIGHTS, *logs]


def trained(artifact: Artifact) -> dict[str, Any]:
    """States by content of a finished stage that makes weights."""
    return read_weights(artifact.folder / WEIGHTS)
