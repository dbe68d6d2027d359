"""A verified variant of a bundle, opened on an engine, and checked by its golden vector before first use.

It is not a stream: it has no frames, blocks, states or deadlines (`video` and `audio` have). It picks the
engine, opens the variant, and runs the golden vector once, which is also the warm-up. With
``backend="auto"`` a variant that cannot be opened, or does not reproduce its vector on this machine, is
passed over for the next one, and ``reason`` says so.

    session = Session.open(Bundle.open("sr/x2-base"))
    session.engine.run()
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from lumavox import backends
from lumavox.backends.base import Backend, Engine
from lumavox.errors import BundleError, BundleSelfCheckError, EngineError

if TYPE_CHECKING:
    from lumavox.bundle import Bundle, TensorSpec, Variant

__all__ = ["Session", "fitting"]


@dataclass(frozen=True)
class Session:
    """An opened variant. ``cold_load_ms`` is the time to open it and run the golden vector once."""

    bundle: Bundle
    variant: Variant
    backend: Backend
    engine: Engine
    reason: str
    cold_load_ms: float

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        *,
        backend: str = "auto",
        content: str = "any",
        precision: str | None = None,
        threads: int = 1,
    ) -> Session:
        """Open the first variant of ``bundle`` that fits and works.

        ``content`` is ``"any"``, ``"clean"`` or ``"streamed"``; ``precision`` a variant's precision, or
        ``None`` for the bundle's preference. Raises `OptionError` for an unknown backend,
        `BackendUnavailableError` if no engine can run it, `EngineError` if the engine refuses it,
        `BundleSelfCheckError` if its golden vector does not come out, `BundleError` if no variant fits.
        """
        candidates = fitting(bundle, content, precision)
        passed_over: list[str] = []
        failure: Exception | None = None
        while candidates:
            try:
                chosen, variant, reason = backends.choose(candidates, backend)
            except BundleError:
                raise
            except Exception:
                if failure is None:
                    raise
                break  # an engine was there, and what it opened did not work: that is the news
            started = time.perf_counter()
            try:
                engine = _open_checked(chosen, variant, bundle, threads)
            except (EngineError, BundleSelfCheckError) as error:
                if backend != "auto":
                    raise
                failure = failure or error
                passed_over.append(str(error))
                candidates = [v for v in candidates if v is not variant]
                continue
            elapsed_ms = (time.perf_counter() - started) * 1e3
            full_reason = "; ".join([reason, *(f"passed over: {why}" for why in passed_over)])
            return cls(bundle, variant, chosen, engine, full_reason, elapsed_ms)
        assert failure is not None
        raise failure

    def close(self) -> None:
        """Free the engine. May be called twice."""
        self.engine.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def fitting(bundle: Bundle, content: str, precision: str | None = None) -> list[Variant]:
    """The variants for that content and precision, in order of preference. Raises `BundleError` if none."""
    found = [
        v
        for v in bundle.variants
        if (content == "any" or v.content in (content, "any")) and precision in (None, v.precision)
    ]
    if not found:
        have = ", ".join(f"{v.name} ({v.content}, {v.precision})" for v in bundle.variants)
        asked = f"content {content!r}" + (f" and precision {precision!r}" if precision else "")
        raise BundleError(f"bundle {bundle.id!r} has no variant for {asked}; it has: {have}")
    return found


def _open_checked(backend: Backend, variant: Variant, bundle: Bundle, threads: int) -> Engine:
    engine = backend.open(bundle.read(variant.file), variant, threads=threads)
    try:
        _self_check(engine, variant, bundle)
    except BaseException:
        engine.close()
        raise
    return engine


def _self_check(engine: Engine, variant: Variant, bundle: Bundle) -> None:
    vectors = bundle.golden(variant)
    for spec in variant.inputs:
        vector = _vector(vectors, spec, variant, bundle)
        engine.resize(spec.name, vector.shape)
        engine.input(spec.name)[...] = vector
    engine.run()
    for spec in variant.outputs:
        wanted = _vector(vectors, spec, variant, bundle)
        got = engine.output(spec.name)
        where = f"bundle {bundle.id!r}, variant {variant.name!r}, output {spec.name!r} on {engine.description}"
        if got.shape != wanted.shape:
            raise BundleSelfCheckError(f"{where}: golden vector is {wanted.shape}, the engine gave {got.shape}")
        if wanted.dtype.kind == "f":
            worst, limit = float(np.max(np.abs(got - wanted))), variant.golden.max_abs or 0.0
        else:
            worst = float(np.max(np.abs(got.astype(np.int32) - wanted.astype(np.int32))))
            limit = float(variant.golden.max_lsb or 0)
        del got
        if not worst <= limit:  # also catches NaN
            raise BundleSelfCheckError(
                f"{where}: differs from its golden vector by {worst:g}, allowed is {limit:g}; "
                "try another backend, or report this with the output of `lumavox doctor`"
            )


def _vector(
    vectors: dict[str, np.ndarray], spec: TensorSpec, variant: Variant, bundle: Bundle
) -> np.ndarray:
    vector = vectors.get(spec.name)
    if vector is None or vector.dtype.name != spec.dtype:
        got = "nothing" if vector is None else vector.dtype.name
        raise BundleSelfCheckError(
            f"bundle {bundle.id!r}: {variant.golden.file} must hold {spec.name!r} as {spec.dtype}, "
            f"it holds {got}"
        )
    return vector
