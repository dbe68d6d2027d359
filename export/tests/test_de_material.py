"""The loss under a teacher's guidance: the same distance, to the stem that the teacher makes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lumavox_export.data.debug import make_debug_data
from lumavox_export.recipe import Recipe
from lumavox_export.tasks.de import Material
from lumavox_export.work import Work

RECIPE = Path(__file__).parents[2] / "models" / "de" / "debug" / "recipe.toml"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = make_debug_data(tmp_path_factory.mktemp("data"))
    recipe = Recipe.load(RECIPE)
    work = Work(root / "out", root, root / "datasets", root / "cache")
    return Material(recipe, recipe.contents[0], work)


def _half(features: Tensor) -> Tensor:
    return torch.zeros_like(features)  # logits: every gain is 0.5


def _tenth(features: Tensor) -> Tensor:
    return torch.full_like(features, -2.1972246)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_teachers_stem_takes_its_share_of_the_dialogs_place(material: Material, share: float) -> None:
    features, mix, dialog = material.batch(3)
    spoken = dialog.abs().amax((1, 2), keepdim=True) > 0
    alone = material.loss(_half, (features, mix, dialog)).item()
    to_teacher = material.loss(_half, (features, mix, 0.1 * mix * spoken)).item()
    guided = material.loss(_half, (features, mix, dialog), teacher=_tenth, share=share).item()
    assert guided == pytest.approx((1 - share) * alone + share * to_teacher, abs=1e-5)


def test_a_teacher_is_not_believed_where_there_is_no_dialog(material: Material) -> None:
    features, mix, dialog = material.batch(3)
    silent = (features, mix, torch.zeros_like(dialog))
    alone, guided = (material.loss(_half, silent, teacher=t, share=0.5).item() for t in (None, _tenth))
    assert guided == pytest.approx(alone, abs=1e-6)
