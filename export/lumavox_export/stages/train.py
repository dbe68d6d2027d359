"""Stage train: a network for every content of the recipe, in order, from scratch or from an earlier one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from lumavox._parse import plain

from ..artifacts import Artifact
from ..recipe import Recipe, part
from ..training import fit
from ..weights import load_into, read_weights, seeded, write_weights
from ..work import Work

WEIGHTS = "weights.safetensors"
EVERY_RANK = True  # trains, on all ranks together


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
    ranks = work.machine.ranks
    states: dict[str, Any] = {}
    logs = []
    for content in recipe.contents:
        seeded(recipe.seed)
        module = recipe.network.build()  # type: ignore[attr-defined]
        if content.start_from is not None:
            load_into(module, states[content.start_from], content.name)
        module = trainee(module)
        material = ranks.after_first(functools.partial(task.Material, recipe, content, work))
        fit(
            module,
            material.batch,
            material.loss,
            content.train,
            out_dir / content.name,
            machine=work.machine,
            resume=work.resume,
            label=f"train {recipe.id} {content.name}",
            workers=material.workers,
            validate=material.validate,
            validate_every=max(1, content.train.steps // 10),
        )
        states[content.name] = executed(module).state_dict()
        logs.append(f"{content.name}/log.jsonl")
    if ranks.first:
        write_weights(out_dir / WEIGHTS, states)
    return [WEIGHTS, *logs]


def trainee(module: Any) -> Any:
    """A fresh or loaded network as it is trained: some families train another form of the same function."""
    return module.expanded() if hasattr(module, "expanded") else module


def executed(module: Any) -> Any:
    """The inverse of `trainee`: the network whose weights are kept."""
    return module.collapsed() if hasattr(module, "collapsed") else module


def trained(artifact: Artifact) -> dict[str, Any]:
    """States by content of a finished stage that makes weights."""
    return read_weights(artifact.folder / WEIGHTS)
