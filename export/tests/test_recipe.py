"""Recipes: every one in the repository loads; what is wrong is named with file, key and nearest word."""

import re
from pathlib import Path
from typing import Any

import pytest

from lumavox_export.errors import RecipeError
from lumavox_export.recipe import Recipe

MODELS = Path(__file__).parents[2] / "models"
RECIPES = sorted(MODELS.glob("*/*/recipe.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}")
def test_every_recipe_loads_and_is_named_as_its_folder(path: Path) -> None:
    recipe = Recipe.load(path)
    assert recipe.id == f"{path.parent.parent.name}/{path.parent.name}"
    assert recipe.task == path.parent.parent.name


@pytest.mark.parametrize(
    ("find", "put", "message"),
    [
        ("channels = 8", "chanels = 8", r"network: .*'chanels'.*did you mean 'channels'"),
        ("steps = 60", "stepps = 60", r"contents\[0\].train: .*did you mean 'steps'"),
        ("patch = 24", 'patch = "24"', r"contents\[0\].data.patch"),
        ('family = "sr_plain"', 'family = "sr_plane"', "did you mean 'sr_plain'"),
        ('task = "sr"', 'task = "srr"', "did you mean 'sr'"),
        ("layers = 3", "layers = 1", "need layers >= 2"),
        ('start_from = "clean"', 'start_from = "cleen"', "no earlier content"),
        (
            'start_from = "clean"',
            'start_from = "clean"\ngrow = { network = {}, weights = "a" }',
            "start_from and grow exclude each other",
        ),
        ("[quantize]", "[quantize", "cannot read the recipe"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_place(tmp_path: Path, find: str, put: str, message: str) -> None:
    text = (MODELS / "sr" / "debug" / "recipe.toml").read_text()
    assert find in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(find, put, 1))
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.load(path)
    assert str(path) in str(caught.value)


def test_the_digest_ignores_comments_and_place_but_not_values(tmp_path: Path) -> None:
    text = (MODELS / "sr" / "debug" / "recipe.toml").read_text()
    digests = []
    for number, variant in enumerate(
        (text, "# more words\n" + text, text.replace("steps = 60", "steps = 61"))
    ):
        path = tmp_path / str(number) / "recipe.toml"
        path.parent.mkdir()
        path.write_text(variant)
        digests.append(Recipe.load(path).digest)
    assert digests[0] == digests[1] != digests[2]


CARDS = sorted((MODELS / "sr").glob("*/card.md"))


@pytest.mark.parametrize("card", CARDS, ids=lambda p: p.parent.name)
def test_a_card_tells_the_network_of_its_recipe(card: Path) -> None:
    network: Any = Recipe.load(card.with_name("recipe.toml")).network
    text = " ".join(card.read_text().split())
    at_low_resolution = network.layers - (network.entry_stride == 2)  # an entry of stride 2 is told apart
    assert f"{at_low_resolution} convolutions of 3×3" in text
    assert re.search(rf"\b{network.channels} (hidden )?channels", text)
