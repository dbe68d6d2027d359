"""Measures a bundled model as a device runs it, beside the conventional filters; one file per task.

    measured, table = evaluate(recipe, work, Options(peers=Path("peers")))

``measured`` is what ``measured.json`` holds (numbers made by machine, never typed), ``table`` the same to
read.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lumavox.bundle import Bundle
from lumavox.errors import OptionError

from ..recipe import Recipe
from ..work import Work


@dataclass(frozen=True)
class Options:
    """What else to measure: ``peers`` and ``crops`` for both tasks, ``hearing`` for de, the rest for sr."""

    peers: Path | None = None  # folder of other projects' networks
    pictures: tuple[Path, ...] = ()  # folders of pictures, besides the validation datasets
    dataset: bool = True  # False: only ``pictures``
    crops: Path | None = None  # where before-and-after strips, or spectrograms of sound, are written
    video: bool = False  # VMAF and steadiness in time of streamed clips
    bdrate: bool = False  # bit rate saved, over Lanczos and over full resolution
    clips: tuple[Path, ...] = ()  # for ``video`` and ``bdrate``, in place of those of the datasets
    plots: Path | None = None  # where the rate-quality plots of ``bdrate`` are written
    hearing: bool = False  # intelligibility for a hearing loss, with and without its profile


_NOTHING_ELSE = Options()


def evaluate(recipe: Recipe, work: Work, options: Options = _NOTHING_ELSE) -> tuple[dict[str, Any], str]:
    """Measure the bundle of the last pipeline run, or if there is none, the one beside the recipe.

    Raises OptionError for options that the recipe's task does not have.
    """
    if recipe.task == "sr" and options.hearing:
        raise OptionError(f"{recipe.id}: --hearing is for dialog enhancement (task de)")
    if recipe.task != "sr" and replace(options, peers=None, crops=None, hearing=False) != _NOTHING_ELSE:
        raise OptionError(f"{recipe.id}: --pictures, --video and --bdrate are for super-resolution (task sr)")
    made = work.out / "bundle" / "bundle"
    folder = made if made.is_dir() else recipe.folder / "bundle"
    bundle = Bundle.open(folder, task=recipe.task, allow_unsigned=True, trusted_keys=_own_key(work))
    figures, table = importlib.import_module(f"{__name__}.{recipe.task}").measure(
        recipe, bundle, work, options
    )
    head = {
        "model": {"id": bundle.id, "version": bundle.version, "bundle_sha256": bundle.digest},
        "measured_on": {
            "machine": platform.machine(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "data": {name: work.dataset(name).digest for name in _validation(recipe)},
    }
    return head | figures, table


def _validation(recipe: Recipe) -> list[str]:
    from lumavox._parse import plain

    names: set[str] = set()
    for content in recipe.contents:
        for key, value in plain(content.data).items():
            if key.startswith("validation"):
                names.update(value)
    return sorted(names)


def _own_key(work: Work) -> Any:
    """Trust the key that the bundle was just signed with, beside the shipped ones."""
    if work.key is None:
        return None
    from lumavox.signing import SigningKey, TrustedKeys

    return TrustedKeys.of(SigningKey.load(work.key).public_pem())


def mean(values: Sequence[Any], digits: int = 2) -> float:
    """As measured numbers are kept: of floats or arrays, rounded."""
    return round(float(np.mean(values)), digits)


def table_of(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
