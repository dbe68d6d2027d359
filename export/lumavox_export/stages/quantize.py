"""Stage quantize: scales are decided once, by calibration and quantization-aware training.

Leaves the float weights as they will be exported (``weights.safetensors``), and for each content the integer
network's arrays and its plan, which every file format applies unchanged.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from lumavox._parse import plain

from ..artifacts import Artifact
from ..calibration import calibrate, largest
from ..errors import StageError
from ..exporter import Integers
from ..graph import Graph
from ..qat import FakeQuantGraph, weights_to_dict, with_weights
from ..quant_plan import QuantPlan
from ..recipe import Content, Recipe, part
from ..rounding import compensate
from ..training import fit
from ..weights import load_into, write_weights
from ..work import Work
from .train import WEIGHTS, trained

EVERY_RANK = True  # trains, on all ranks together


@dataclass(frozen=True, eq=False)
class Quantized:
    """One content: the float network, and the integer ones (own weights after training) with their plans."""

    module: torch.nn.Module
    graph: Graph
    integers: tuple[Integers, ...]


def inputs(recipe: Recipe, previous: Artifact | None, work: Work) -> dict[str, Any]:
    """All that the result depends on, beside the weights."""
    return {"quantize": plain(recipe.quantize)}


def run(recipe: Recipe, previous: Artifact | None, out_dir: Path, work: Work) -> list[str]:
    """Quantize every content; returns the names of the files made."""
    if previous is None:
        raise StageError(f"{recipe.id}: quantize needs the weights of stage distill")
    states, names = trained(previous), [WEIGHTS]
    task, ranks = part("tasks", recipe.task, recipe.id), work.machine.ranks
    for content in recipe.contents:
        module = load_into(recipe.network.build(), states[content.name], content.name)  # type: ignore[attr-defined]
        material = ranks.after_first(functools.partial(task.Material, recipe, content, work))
        graph, plan = _quantize(recipe, content, module, material, task, out_dir / content.name, work)
        states[content.name] = module.state_dict()
        if not ranks.first:
            continue
        arrays = {name: np.ascontiguousarray(array) for name, array in weights_to_dict(graph).items()}
        save_file(arrays, out_dir / f"{content.name}.safetensors")
        (out_dir / f"{content.name}.plan.json").write_text(json.dumps(plan.to_dict()))
        names += [f"{content.name}.safetensors", f"{content.name}.plan.json"]
        for precision in recipe.quantize.also or ():
            further = _calibrated(recipe, material, task, module.to_graph(), precision)  # type: ignore[operator]
            names.append(f"{content.name}.{precision}.plan.json")
            (out_dir / names[-1]).write_text(json.dumps(further.to_dict()))
        if hasattr(task, "knob"):
            (out_dir / "knob.json").write_text(json.dumps(task.knob(recipe, material, module)))
            names.append("knob.json")
    if ranks.first:
        write_weights(out_dir / WEIGHTS, states)
    return names


def _quantize(
    recipe: Recipe, content: Content, module: Any, material: Any, task: Any, folder: Path, work: Work
) -> tuple[Graph, QuantPlan]:
    settings = recipe.quantize
    drawn = module.to_graph()
    module.equalize(largest(drawn, task.calibration(recipe, material, drawn)))
    graph: Graph = module.to_graph()
    plan = _calibrated(recipe, material, task, graph, settings.precision)
    if settings.rounding == "compensated":
        graph = compensate(graph, plan, task.calibration(recipe, material, graph))
    if settings.qat.steps == 0:
        return graph, plan
    student = FakeQuantGraph(graph, plan)
    folder.mkdir(parents=True, exist_ok=True)
    fit(
        task.network_of(student),
        material.batch,
        material.loss,
        settings.qat,
        folder,
        machine=work.machine.in_float32(),
        resume=work.resume,
        label=f"quantize {recipe.id} {content.name}",
        workers=material.workers,
        validate=material.validate,
        validate_every=settings.qat.steps,
    )
    return student.trained_graph(), plan


def _calibrated(recipe: Recipe, material: Any, task: Any, graph: Graph, precision: str) -> QuantPlan:
    return calibrate(
        graph,
        task.calibration(recipe, material, graph),
        precision=precision,  # type: ignore[arg-type]
        ranges=task.ranges(recipe, graph),
        # 16 bits have room for the rarest value, and for one rarer still.
        percentile=recipe.quantize.percentile if precision == "int8" else 100.0,
    )


def quantized(recipe: Recipe, artifact: Artifact) -> dict[str, Quantized]:
    """What the stage left, by content."""
    states = trained(artifact)
    found = {}
    for content in recipe.contents:
        module = load_into(recipe.network.build(), states[content.name], content.name)  # type: ignore[attr-defined]
        graph: Graph = module.to_graph()  # type: ignore[operator]
        arrays = load_file(artifact.folder / f"{content.name}.safetensors")
        integers = [Integers(with_weights(graph, arrays), _plan(artifact, content.name))]
        for precision in recipe.quantize.also or ():
            integers.append(Integers(graph, _plan(artifact, f"{content.name}.{precision}")))
        found[content.name] = Quantized(module, graph, tuple(integers))
    return found


def _plan(artifact: Artifact, name: str) -> QuantPlan:
    return QuantPlan.from_dict(json.loads((artifact.folder / f"{name}.plan.json").read_text()))
