"""What an inference engine must do for Lumavox, as two small protocols.

A `Backend` is one file of this folder with a module-level object ``BACKEND``; the folder is the registry.
An `Engine` is one opened model. Neither knows bundles, pictures or sound: bytes of a model and its
`Variant` contract come in, arrays come out. Whatever a library raises becomes an `EngineError` at this
border, and nothing else leaves it.

    engine = backends.get("litert").open(model_bytes, variant)
    engine.resize("luma", (1, 540, 960, 1))
    engine.input("luma")[...] = x
    engine.run()
    y = engine.output("enlarged").copy()

A view returned by `Engine.input` or `Engine.output` belongs to the engine: use it and drop it before the
next ``run``, ``resize`` or ``close``. (LiteRT refuses to run while one is alive, because it may move the
memory; the virtual engine refuses likewise, so that tests find a kept view.) One engine is used by one
thread at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lumavox.errors import EngineError

if TYPE_CHECKING:
    from lumavox.bundle import TensorSpec, Variant

__all__ = ["Backend", "Engine", "Probe", "check_tensors", "engine_errors"]


@dataclass(frozen=True)
class Probe:
    """Whether a backend can be used on this machine; ``reason`` says why or why not."""

    backend: str
    usable: bool
    reason: str
    version: str | None = None
    library: str | None = None


class Engine(Protocol):
    """One opened model. Every method raises `EngineError` and nothing else.

    An engine that knows where its operators run has an attribute ``placement``: (on the accelerator, all).
    One that can work in others' memory has a method ``use(inputs, outputs)``: contiguous arrays by name, of
    the shapes and dtypes that `input` and `output` give after a run. It reads and writes those from then on,
    until it is given others or resized.
    """

    description: str  # library, version, delegate, threads: for reports

    def resize(self, name: str, shape: Sequence[int]) -> None:
        """Give input ``name`` another shape; its contents are undefined afterwards."""

    def input(self, name: str) -> np.ndarray:
        """A writable view of an input tensor; drop it before ``run``."""

    def run(self) -> None:
        """Run the model once on the inputs as they are."""

    def output(self, name: str) -> np.ndarray:
        """A view of an output tensor, valid until the next ``run``."""

    def close(self) -> None:
        """Free the model. May be called twice."""


class Backend(Protocol):
    """One inference library."""

    name: str  # as the user asks for it, and the file's name: "litert"
    engine: str  # the model format it reads, as variants name it: "tflite"

    def probe(self) -> Probe:
        """Whether it can be used here. Raises nothing."""

    def open(self, model: bytes, variant: Variant, *, threads: int = 1) -> Engine:
        """Open a model. Raises `EngineError` if the library cannot be imported, refuses the model, or the
        model's tensors are not those of ``variant``."""


class engine_errors:
    """Context manager: turn what a library raises into an `EngineError` that says what was being done.

    A class, not a generator: streaming networks enter it dozens of times per hop.
    """

    __slots__ = ("_backend", "_doing")

    def __init__(self, backend: str, doing: str) -> None:
        self._backend, self._doing = backend, doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, EngineError):
            text = " ".join(str(error).split())[:300] or type(error).__name__
            raise EngineError(f"{self._backend} failed while {self._doing}: {text}") from error


def check_tensors(
    backend: str, what: str, specs: Sequence[TensorSpec], actual: dict[str, tuple[Sequence[Any], str]]
) -> None:
    """Compare a variant's tensors with a model's own ``{name: (shape, dtype name)}``.

    A dimension matches if either side leaves it open (-1, or a symbol). Raises `EngineError`.
    """
    for spec in specs:
        if spec.name not in actual:
            names = ", ".join(sorted(actual)) or "none"
            raise EngineError(f"{backend}: the model has no {what} {spec.name!r} (it has: {names})")
        shape, dtype = actual[spec.name]
        fixed = [d if isinstance(d, (int, np.integer)) and d >= 0 else -1 for d in shape]
        same = len(fixed) == len(spec.shape) and all(
            a == b or a < 0 or b < 0 for a, b in zip(fixed, spec.shape)
        )
        if not same or dtype != spec.dtype:
            raise EngineError(
                f"{backend}: {what} {spec.name!r} of the model is {dtype}{fixed}, "
                f"its bundle says {spec.dtype}{list(spec.shape)}"
            )


def named(backend: str, what: str, table: dict[str, Any], name: str) -> Any:
    """``table[name]``, or an `EngineError` that lists the tensors there are."""
    try:
        return table[name]
    except KeyError:
        names = ", ".join(sorted(table)) or "none"
        raise EngineError(f"{backend}: no {what} tensor {name!r} (there are: {names})") from None


def concrete(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape to start from where a variant leaves dimensions open."""
    return tuple(d if d > 0 else 1 for d in shape)


def distribution_version(*names: str) -> str | None:
    """The installed version of the first of these distributions, without importing it."""
    from importlib import metadata

    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def loaded_from(module: str) -> str | None:
    """The file an imported module came from."""
    return getattr(sys.modules.get(module), "__file__", None)
