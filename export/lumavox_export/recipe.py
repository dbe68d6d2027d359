"""Recipes: one TOML file says everything about how a model is made.

    recipe = Recipe.load("models/sr/base-x2/recipe.toml")

The file is parsed into frozen dataclasses; an unknown key is an error that names the file, the key and the
nearest known one. ``family`` names a file in ``families/`` (its ``Network`` is section ``[network]``) and
``task`` one in ``tasks/`` (its ``Data`` is section ``[contents.data]``).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from lumavox._parse import parse, plain
from lumavox.dsp import BandFrontEnd
from lumavox.errors import OptionError

from ._toml import loads
from .errors import RecipeError
from .training import Schedule


@dataclass(frozen=True)
class Distill:
    """Section ``[contents.distill]``: a teacher of the same family guides the student."""

    teacher: Mapping[str, object] = field(default_factory=dict)  # its [network]
    teacher_weights: str | None = None  # a file beside the recipe ("../plus/weights.safetensors")
    teacher_train: Schedule = Schedule()  # without that file
    student_train: Schedule = Schedule()
    share: float = 0.5  # of the loss that comes from the teacher


@dataclass(frozen=True)
class Grow:
    """Section ``[contents.grow]``: the network begins as a trained one of its family in another shape."""

    network: Mapping[str, object]  # its [network]
    weights: str  # a file beside the recipe ("../base-x2/weights.safetensors")


@dataclass(frozen=True)
class Content:
    """Section ``[[contents]]``: one set of weights, for one kind of material."""

    name: str  # "clean" | "streamed" | "any"
    data: object  # the task's Data
    train: Schedule
    start_from: str | None = None  # an earlier content whose trained weights are the beginning
    grow: Grow | None = None
    distill: Distill | None = None


@dataclass(frozen=True)
class Quantize:
    """Section ``[quantize]``: calibration, then quantization-aware training when ``qat.steps`` > 0."""

    precision: str = "int8"
    also: tuple[str, ...] | None = None  # further precisions, by calibration alone
    calibration_samples: int = 32
    percentile: float = 100.0  # of the values seen in calibration
    rounding: Literal["nearest", "compensated"] = "nearest"  # of the weights, before training
    qat: Schedule = Schedule(steps=0, learning_rate=1e-4, ema_decay=0.99)


@dataclass(frozen=True)
class Recipe:
    """How one model is made."""

    id: str  # "sr/base-x2"
    version: str
    task: str
    family: str
    summary: str
    network: object  # the family's Network
    contents: tuple[Content, ...]
    quantize: Quantize = Quantize()
    front_end: BandFrontEnd | None = None  # task "de"
    seed: int = 1
    folder: Path = Path(".")  # where the file lies; its card.md is beside it

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read and check a recipe. Raises RecipeError naming file, key and what is known."""
        path = Path(path)
        try:
            document = loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML
            raise RecipeError(f"cannot read the recipe {path}: {error}") from error
        where = str(path)
        draft = parse(_Draft, document, where, error=RecipeError)
        task, family = part("tasks", draft.task, where), part("families", draft.family, where)
        contents: list[Content] = []
        for number, content in enumerate(draft.contents):
            data = parse(task.Data, content.data, where, key=f"contents[{number}].data", error=RecipeError)
            names = [earlier.name for earlier in contents]
            if content.start_from is not None and content.start_from not in names:
                raise RecipeError(
                    f"{where}: contents[{number}].start_from: {content.start_from!r} is no earlier content"
                )
            if content.start_from is not None and content.grow is not None:
                raise RecipeError(f"{where}: contents[{number}]: start_from and grow exclude each other")
            contents.append(replace(content, data=data))
        if not contents:
            raise RecipeError(f"{where}: needs at least one [[contents]]")
        network = parse(family.Network, draft.network, where, key="network", error=RecipeError)
        return cls(
            draft.id, draft.version, draft.task, draft.family, draft.summary, network, tuple(contents),
            draft.quantize, draft.front_end, draft.seed, path.parent,
        )  # fmt: skip

    @property
    def digest(self) -> str:
        """sha256 of the whole recipe, in a form that does not depend on layout or comments."""
        return digest({k: v for k, v in plain(self).items() if k != "folder"})

    def beside(self, name: str, key: str) -> Path:
        """A file that the recipe names. Raises RecipeError naming the key if it is not there."""
        path = self.folder / name
        if not path.is_file():
            raise RecipeError(f"{self.id}: {key}: there is no file {path}")
        return path

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets that any content is trained on (validation material is not)."""
        names: set[str] = set()
        for content in self.contents:
            for key, value in plain(content.data).items():
                if (
                    isinstance(value, list)
                    and not key.startswith("validation")
                    and all(isinstance(v, str) for v in value)
                ):
                    names.update(value)
        return tuple(sorted(names))


@dataclass(frozen=True)
class _Draft:
    """The file before the family's and the task's sections are parsed."""

    id: str
    version: str
    task: str
    family: str
    summary: str
    network: Mapping[str, object]
    contents: tuple[Content, ...]  # their data are tables yet
    quantize: Quantize = Quantize()
    front_end: BandFrontEnd | None = None
    seed: int = 1


def part(folder: str, name: str, where: str) -> ModuleType:
    """The module ``name`` of ``families`` or ``tasks``. Raises RecipeError naming the nearest there is."""
    package = importlib.import_module(f"lumavox_export.{folder}")
    known = [module.name for module in pkgutil.iter_modules(package.__path__)]
    if name not in known:
        raise RecipeError(str(OptionError.unknown(folder, name, known, where)))
    return importlib.import_module(f"lumavox_export.{folder}.{name}")


def digest(value: Any) -> str:
    """sha256 of JSON-able data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
