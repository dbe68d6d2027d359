"""The pipeline: recipe → train → distill → quantize → export → bundle.

    Pipeline(Recipe.load(path), Work(out=..., data=..., ...)).run("bundle")

Each stage has its own folder under ``work.out`` and a file of its name in ``stages/``. A stage whose inputs
are unchanged is not run again; an interrupted one goes on with ``work.resume``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import lumavox

from .artifacts import Artifact
from .errors import StageError
from .recipe import Recipe, digest
from .stages import bundle, distill, export, quantize, train
from .work import Work

# The one order; name, module. Every module has ``inputs`` and ``run``, those that train ``EVERY_RANK``.
STAGES = {
    "train": train,
    "distill": distill,
    "quantize": quantize,
    "export": export,
    "bundle": bundle,
}


class Pipeline:
    """One recipe in one output folder."""

    def __init__(self, recipe: Recipe, work: Work, report: Callable[[str], None] = print) -> None:
        self.recipe, self.work, self._report = recipe, work, report

    def run(self, last: str, first: str = "train") -> Artifact:
        """Run the stages up to ``last``, those before ``first`` being taken as they lie in the folder.

        Raises StageError if one of those is not there.
        """
        names = list(STAGES)
        artifact: Artifact | None = None
        for name in names[: names.index(last) + 1]:
            if names.index(name) < names.index(first):
                artifact = Artifact.load(self.work.out / name)
            else:
                artifact = self._stage(name, artifact)
        assert artifact is not None
        return artifact

    def adopt(self, weights: Path, last: str) -> None:
        """Take weights from a file in place of the stages before ``last`` that would make them.

        For stage distill they are where it begins; for a later one they are finished, distilled or not.
        """
        ranks, artifact = self.work.machine.ranks, None
        for name in ["train", "distill"] if last not in ("train", "distill") else ["train"]:
            folder = self.work.out / name
            if ranks.first:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copyfile(weights, folder / train.WEIGHTS)
                except OSError as error:
                    raise StageError(f"cannot take the weights {weights}: {error}") from error
                names, notes = [train.WEIGHTS], {"adopted": weights.name}
                Artifact.seal(name, folder, self._inputs(name, artifact), names, notes)
            ranks.wait()
            artifact = Artifact.load(folder)

    def _inputs(self, name: str, previous: Artifact | None) -> str:
        stage = STAGES[name]
        made_from = {
            "stage": name,
            "code": lumavox.__version__,
            "previous": previous.digest if previous else "",
        }
        return digest(made_from | stage.inputs(self.recipe, previous, self.work))

    def _stage(self, name: str, previous: Artifact | None) -> Artifact:
        folder, ranks = self.work.out / name, self.work.machine.ranks
        inputs = self._inputs(name, previous)
        found = Artifact.current(folder, inputs)
        ranks.wait()  # all have looked before the first one writes
        if found is not None:
            self._report(f"{name}: unchanged")
            return found
        if ranks.first:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "artifact.json").unlink(missing_ok=True)
        names: list[str] = []
        if ranks.first or getattr(STAGES[name], "EVERY_RANK", False):
            names = STAGES[name].run(self.recipe, previous, folder, self.work)
        if ranks.first:
            Artifact.seal(name, folder, inputs, names, {})
        ranks.wait()
        self._report(f"{name}: {len(names)} files in {folder}")
        return Artifact.load(folder)
