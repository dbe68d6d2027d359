"""What every command with a recipe is told: the recipe, data, output, cache, key and threads."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .recipe import Recipe
    from .work import Work


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add the recipe and where its data, outputs and keys are."""
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, default=Path("."), help="root of the dataset files")
    parser.add_argument(
        "--manifests", type=Path, help="dataset manifests (default: models/datasets by the recipe)"
    )
    parser.add_argument("--out", type=Path, help="where the stages leave their files (default: out/<id>)")
    parser.add_argument("--cache", type=Path, default=Path("out/cache"), help="decoded and paired material")
    parser.add_argument("--key", type=Path, help="signing key; without one the bundle is unsigned")
    cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    parser.add_argument("--threads", type=int, default=max(1, cores), help="of each process")


def work_of(args: argparse.Namespace) -> tuple[Recipe, Work]:
    """The recipe and the folders that the arguments name; sets the number of threads."""
    import torch

    from .recipe import Recipe
    from .work import Work

    recipe = Recipe.load(args.recipe)
    torch.set_num_threads(args.threads)
    manifests = args.manifests or args.recipe.parent.parent.parent / "datasets"
    out = args.out or Path("out") / recipe.id
    resume = getattr(args, "resume", False)
    return recipe, Work(out, args.data, manifests, args.cache, resume, args.key)
