"""Stage distill: contents with a ``[contents.distill]`` section go on under the guidance of a larger teacher.

The teacher (same family, other ``[network]``) is trained on the same material first, or comes with the
weights of a finished model. Contents without the section pass through unchanged.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from lumavox._parse import parse, plain

from ..artifacts import Artifact
from ..errors import RecipeError, StageError
from ..recipe import Content, Distill, Recipe, part
from ..training import Schedule, fit
from ..weights import load_into, read_state, seeded, write_weights
from ..work import Work
from .train import WEIGHTS, executed, trained, trainee

EVERY_RANK = True  # trains, on all ranks together


def inputs(recipe: Recipe, previous: Artifact | None, work: Work) -> dict[str, Any]:
    """All that the result depends on, beside the trained weights."""
    told = {c.name: plain(c.distill) if c.distill else {} for c in recipe.contents}
    for content in recipe.contents:
        if (path := _weights_of_teacher(recipe, content)) is not None:
            told[content.name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"distill": told}


def run(recipe: Recipe, previous: Artifact | None, out_dir: Path, work: Work) -> list[str]:
    """Distil; returns the names of the files made."""
    if previous is None:
        raise StageError(f"{recipe.id}: distill needs the weights of stage train")
    states = trained(previous)
    names = [WEIGHTS]
    for content in recipe.contents:
        if content.distill is not None:
            states[content.name] = _distill(
                recipe, content, content.distill, states[content.name], out_dir, work
            )
            who = ("student",) if content.distill.teacher_weights else ("teacher", "student")
            names += [f"{content.name}/{name}/log.jsonl" for name in who]
    if work.machine.ranks.first:
        write_weights(out_dir / WEIGHTS, states)
    return names


def _distill(
    recipe: Recipe, content: Content, distill: Distill, state: Any, out_dir: Path, work: Work
) -> dict[str, Any]:
    family = part("families", recipe.family, recipe.id)
    network = parse(
        family.Network, distill.teacher, recipe.id, key="contents.distill.teacher", error=RecipeError
    )
    task, machine = part("tasks", recipe.task, recipe.id), work.machine
    material = machine.ranks.after_first(functools.partial(task.Material, recipe, content, work))
    seeded(recipe.seed + 1)
    teacher, student = network.build(), recipe.network.build()  # type: ignore[attr-defined]
    teacher, student = trainee(teacher), trainee(load_into(student, state, content.name))

    def train(who: str, module: Any, schedule: Schedule, loss: Callable[..., Tensor]) -> None:
        fit(
            module,
            material.batch,
            loss,
            schedule,
            out_dir / content.name / who,
            machine=machine,
            resume=work.resume,
            label=f"distill {recipe.id} {content.name} {who}",
            workers=material.workers,
            validate=material.validate,
            validate_every=max(1, schedule.steps // 10),
        )

    path = _weights_of_teacher(recipe, content)
    if path is None:
        train("teacher", teacher, distill.teacher_train, material.loss)
    else:
        teacher = trainee(load_into(network.build(), read_state(path, content.name), content.name))  # type: ignore[attr-defined]
    guide = executed(teacher).requires_grad_(False).to(machine.device).eval()
    guided = functools.partial(material.loss, share=distill.share)
    if hasattr(material, "remember"):
        material.remember(machine.exact(guide))
    else:
        guided = functools.partial(guided, teacher=machine.network(guide))
    train("student", student, distill.student_train, guided)
    return dict(executed(student).state_dict())


def _weights_of_teacher(recipe: Recipe, content: Content) -> Path | None:
    if content.distill is None or content.distill.teacher_weights is None:
        return None
    return recipe.beside(content.distill.teacher_weights, "contents.distill.teacher_weights")
