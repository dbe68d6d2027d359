"""``Model``: a bundle as the planner sees it, real or scripted.

models([])                                    # the shipped bundles
models(["sr/base-x2", "my/bundle"])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lumavox import backends
from lumavox.bundle import Bundle, Variant
from lumavox.catalog import find_bundle, shipped_bundles

from .presets import Preset
from .profile import EngineSupport

__all__ = ["Model", "models"]

MAX_OUTPUT_SIDE = 4096


@dataclass(frozen=True)
class Model:
    """``path`` None: a scripted model, whose bundle is made when it runs (``virtual``)."""

    id: str
    task: Literal["sr", "de"]
    digest: str
    variants: tuple[Variant, ...]
    scale: float = 1.0
    path: Path | None = None

    @property
    def virtual(self) -> bool:
        """Whether it is a scripted model."""
        return all(v.engine == "virtual" for v in self.variants)

    def has(self, support: EngineSupport, precision: str) -> bool:
        """Whether there is a variant for that engine, target and precision."""
        return self._find(support, precision) is not None

    def variant(self, support: EngineSupport, precision: str) -> str:
        """The name of that variant."""
        found = self._find(support, precision)
        assert found is not None, "only asked for what the model has"
        return found.name

    def reference(self, support: EngineSupport, precision: str) -> str | None:
        """The CPU variant to compare an accelerated one with, if there is one."""
        if support.delegate == "cpu":
            return None
        found = [v for v in self.variants if v.target == "cpu" and v.precision == precision]
        return found[0].name if found else None

    def reason_against(self, preset: Preset) -> str | None:
        """Why a preset is not for this model, or None."""
        if preset.task == "sr" and max(preset.width, preset.height) * self.scale > MAX_OUTPUT_SIDE:
            return f"{self.id} makes {preset.name} larger than {MAX_OUTPUT_SIDE} pixels"
        return None

    def _find(self, support: EngineSupport, precision: str) -> Variant | None:
        reads = backends.get(support.engine).engine
        fits = (
            v
            for v in self.variants
            if (v.engine, v.target, v.precision) == (reads, support.target, precision)
        )
        return next(fits, None)

    @classmethod
    def of(cls, bundle: Bundle, path: Path | None) -> Model:
        """A bundle as a model of the matrix."""
        scale = bundle.front_end.get("scale", 1.0)
        return cls(
            id=bundle.id,
            task=cast(Literal["sr", "de"], bundle.task),
            digest=bundle.digest,
            variants=bundle.variants,
            scale=float(cast(float, scale)),
            path=path,
        )


def models(ids_or_paths: Sequence[str], *, allow_unsigned: bool = False) -> list[Model]:
    """The bundles of those ids or paths; all shipped ones if none is given. Raises BundleError."""
    paths = [find_bundle(name) for name in ids_or_paths] or shipped_bundles()
    return [Model.of(Bundle.open(path, allow_unsigned=allow_unsigned), path) for path in paths]
