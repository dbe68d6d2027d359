"""Stage train: a network for every content of the recipe, in order, from scratch or from an earlier one."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from lumavox._parse import parse, plain

from ..artifacts import Artifact
from ..errors import RecipeError
from ..recipe import Content, Grow, Recipe, part
from ..training import fit
from ..weights import load_into, read_state, read_weights, seeded, write_weights
from ..work import Work

WEIGHTS = "weights.safetensors"
EVERY_RANK = True  # trains, on all ranks together


def inputs(recipe: Recipe, previous: Artifact | None, work: Work) -> dict[str, Any]:
    """All that the result depends on."""
    contents = [{"name": c.name, "data": plain(c.data), "train": plain(c.train)} for c in recipe.contents]
    for told, content in zip(contents, recipe.contents, strict=True):
        if content.grow is not None:
            sha256 = hashlib.sha256(_weights_to_grow(recipe, content.grow).read_bytes()).hexdigest()
            told["grow"] = plain(content.grow) | {"sha256": sha256}
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
        module = trainee(_beginning(recipe, content, states))
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


def _beginning(recipe: Recipe, content: Content, states: dict[str, Any]) -> Any:
    """The network of a content before its first step."""
    network: Any = recipe.network
    if content.grow is not None:
        return _grown(recipe, content, content.grow)
    if content.start_from is not None:
        return load_into(network.build(), states[content.start_from], content.name)
    return network.build()


def _grown(recipe: Recipe, content: Content, grow: Grow) -> Any:
    family, network = part("families", recipe.family, recipe.id), recipe.network
    if not hasattr(network, "grown"):
        raise RecipeError(f"{recipe.id}: contents.grow: family {recipe.family!r} cannot grow")
    key = "contents.grow.network"
    old = parse(family.Network, grow.network, recipe.id, key=key, error=RecipeError).build()
    state = read_state(_weights_to_grow(recipe, grow), content.name)
    return network.grown(load_into(old, state, content.name))


def _weights_to_grow(recipe: Recipe, grow: Grow) -> Path:
    return recipe.beside(grow.weights, "contents.grow.weights")


def trainee(module: Any) -> Any:
    """A fresh or loaded network as it is trained: some families train another form of the same function."""
    return module.expanded() if hasattr(module, "expanded") else module


def executed(module: Any) -> Any:
    """The inverse of `trainee`: the network whose weights are kept."""
    return module.collapsed() if hasattr(module, "collapsed") else module


def trained(artifact: Artifact) -> dict[str, Any]:
    """States by content of a finished stage that makes weights."""
    return read_weights(artifact.folder / WEIGHTS)
