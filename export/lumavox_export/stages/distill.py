"""Stage distill: contents with a ``[contents.distill]`` section go on under the guidance of a larger teacher.

The teacher (same family, other ``[network]``) is trained on the same material first. Contents without the
section pass through unchanged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from lumavox._parse import parse, plain

from ..artifacts import Artifact
from ..errors import RecipeError, StageError
from ..recipe import Content, Distill, Recipe, part
from ..training import Schedule, fit
from ..weights import load_into, seeded, write_weights
from ..work import Work
from .train import WEIGHTS, executed, trained, trainee

EVERY_RANK = True  # trains, on all ranks together


def inputs(recipe: Recipe, previous: Artifact | None, work: Work) -> dict[str, Any]:
    """All that the result depends on, beside the trained weights."""
    return {"distill": {c.name: plain(c.distill) if c.distill else {} for c in recipe.contents}}


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
            names += [f"{content.name}/{who}/log.jsonl" for who in ("teacher", "student")]
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

    train("teacher", teacher, distill.teacher_train, material.loss)
    guide = executed(teacher).requires_grad_(False).to(machine.device).eval()
    guided = functools.partial(material.loss, teacher=machine.network(guide), share=distill.share)
    train("student", student, distill.student_train, guided)
    return dict(executed(student).state_dict())
