"""Pictures of a teacher: made once for whole pictures, cut and turned as the crops are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lumavox_export.data.debug import make_debug_data
from lumavox_export.errors import RecipeError
from lumavox_export.families.sr_plain import Network
from lumavox_export.recipe import Recipe
from lumavox_export.tasks.sr import Data, Material
from lumavox_export.work import Work

RECIPE = Path(__file__).parents[2] / "models" / "sr" / "debug" / "recipe.toml"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    root = make_debug_data(tmp_path_factory.mktemp("data"))
    return Work(root / "out", root, root / "datasets", root / "cache")


def _repeats() -> torch.nn.Module:
    """A network that learned nothing: pixels twice, so a crop's picture is a crop of the picture."""
    network = Network(scale=2, channels=8, layers=2).build().eval()
    with torch.no_grad():
        for weight in network.weights:
            weight.zero_()
    return network


def test_what_is_remembered_of_a_teacher_is_what_it_says_of_each_crop(work: Work) -> None:
    """And crops are those that they were before."""
    recipe, teacher = Recipe.load(RECIPE), _repeats()
    material = Material(recipe, recipe.contents[0], work)
    plain = material.batch(5)
    material.remember(teacher)
    low, high, guide = material.batch(5)
    assert (low == plain[0]).all() and (high == plain[1]).all()
    with torch.no_grad():
        expected = teacher(low.float() / 255) * 255
    assert torch.allclose(guide.float() / 256, expected, atol=1 / 256)


def test_the_loss_is_the_same_with_a_remembered_teacher_as_with_one_that_is_asked(work: Work) -> None:
    recipe, teacher = Recipe.load(RECIPE), _repeats()
    student = Network(scale=2, channels=8, layers=3).build()
    material = Material(recipe, recipe.contents[0], work)
    asked = material.loss(student, material.batch(2), teacher=teacher, share=0.3)
    material.remember(teacher)
    assert np.isclose(material.loss(student, material.batch(2), share=0.3).item(), asked.item(), atol=1e-5)
    assert material.loss(student, material.batch(2)).item() != asked.item()


def test_a_patch_larger_than_the_smallest_picture_is_refused_before_training(work: Work) -> None:
    recipe = Recipe.load(RECIPE)
    content = recipe.contents[0]
    assert isinstance(content.data, Data)
    with pytest.raises(RecipeError, match=r"patch 4000 does not fit into the smallest picture, \d+ pixels"):
        Material(recipe, replace(content, data=replace(content.data, patch=4000)), work)
