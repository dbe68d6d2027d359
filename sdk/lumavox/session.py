"""A verified variant of a bundle, opened on an engine, and checked by its golden vector before first use.

It is not a stream: it has no frames, blocks, states or deadlines (`video` and `audio` have). It picks the
engine, opens the variant, and runs the golden vector once, which is also the warm-up. With
``backend="auto"`` a variant that cannot be opened, or does not reproduce its vector on this machine, is
passed over for the next one, and ``reason`` says so.

    session = Session.open(Bundle.open("sr/base-x2"))
    session.engine.run()
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from lumavox import backends
from lumavox._bundle_rules import reasons_against
from lumavox.backends.base import Backend, Engine
from lumavox.errors import BackendUnavailableError, BundleSelfCheckError, EngineError
from lumavox.telemetry import ModelInfo, SelfCheck, config_digest

if TYPE_CHECKING:
    from lumavox.bundle import Bundle, Variant
    from lumavox.isolation import Isolation
    from lumavox.telemetry import Meter

__all__ = ["Session", "fitting"]


@dataclass(frozen=True)
class Session:
    """An opened variant.

    ``reason`` says why this backend; ``cold_load_ms`` is the time to open it and run the golden vector
    once; ``self_check`` how near that came.
    """

    bundle: Bundle
    variant: Variant
    backend: Backend
    engine: Engine
    reason: str
    cold_load_ms: float
    self_check: SelfCheck

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        *,
        backend: str = "auto",
        content: str = "any",
        precision: str | None = None,
        threads: int = 1,
        isolation: Isolation | None = None,
    ) -> Session:
        """Open the first variant of ``bundle`` that fits and works.

        ``content`` is ``"any"``, ``"clean"`` or ``"streamed"``; ``precision`` a variant's precision, or
        ``None`` for the bundle's preference; with ``isolation`` the engine, its golden vector included,
        runs in a worker process. Raises `OptionError` for an unknown backend, `BackendUnavailableError` if
        no engine can run it, `EngineError` if the engine refuses it, `BundleSelfCheckError` if its golden
        vector does not come out, `BundleError` if no variant fits.
        """
        candidates = fitting(bundle, content, precision)
        passed_over: list[str] = []
        failure: Exception | None = None
        while candidates:
            try:
                chosen, variant, reason = backends.choose(candidates, backend)
            except BackendUnavailableError:
                if failure is None:
                    raise
                break  # an engine was there, and what it opened did not work: that is the news
            started = time.perf_counter()
            try:
                engine, check = _open_checked(chosen, variant, bundle, threads, isolation)
            except (EngineError, BundleSelfCheckError) as error:
                if backend != "auto":
                    raise
                failure = failure or error
                passed_over.append(str(error))
                candidates = [v for v in candidates if v is not variant]
                continue
            elapsed_ms = (time.perf_counter() - started) * 1e3
            full_reason = "; ".join([reason, *(f"passed over: {why}" for why in passed_over)])
            return cls(bundle, variant, chosen, engine, full_reason, elapsed_ms, check)
        assert failure is not None
        raise failure

    def tell(self, meter: Meter) -> None:
        """Write what is known about model and engine into a session's telemetry."""
        meter.model = ModelInfo(self.bundle.id, self.bundle.digest, self.bundle.version, self.variant.name)
        meter.ep_actual, meter.ep_version = self.backend.name, self.engine.description
        meter.cold_load_ms, meter.self_check = self.cold_load_ms, self.self_check
        if placement := getattr(self.engine, "placement", None):
            meter.nodes_on_ep, meter.nodes_total = placement
        meter.config_digest = config_digest(
            self.bundle.digest, self.variant.name, self.backend.name, self.engine.description
        )

    def close(self) -> None:
        """Free the engine. May be called twice."""
        self.engine.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def fitting(bundle: Bundle, content: str = "any", precision: str | None = None) -> list[Variant]:
    """The variants for that content and precision, in the bundle's order of preference.

    Raises `BundleError` that says why each was passed over, `OptionError` for an unknown content.
    """
    engines = {v.engine for v in bundle.variants}
    bundle.select(engines=engines, content=content, precision=precision)  # raises if there is none
    return [
        v
        for v in bundle.variants
        if not reasons_against(v, engines=engines, content=content, precision=precision)
    ]


def _open_checked(
    backend: Backend, variant: Variant, bundle: Bundle, threads: int, isolation: Isolation | None
) -> tuple[Engine, SelfCheck]:
    engine: Engine
    if isolation is None:
        engine = backend.open(bundle.read(variant.file), variant, threads=threads)
    else:
        engine = isolation.open_engine(backend, bundle, variant, threads)
    try:
        return engine, _self_check(engine, variant, bundle)
    except BaseException:
        engine.close()
        raise


def _self_check(engine: Engine, variant: Variant, bundle: Bundle) -> SelfCheck:
    """Run the golden vector; states that it leaves out start as zeros and are not compared."""
    vectors = bundle.golden(variant)
    for spec in variant.inputs:
        if spec.name in vectors:
            engine.resize(spec.name, vectors[spec.name].shape)
            engine.input(spec.name)[...] = vectors[spec.name]
        else:
            engine.input(spec.name)[...] = spec.zero_point or 0
    engine.run()
    metric = "max_lsb" if variant.golden.max_abs is None else "max_abs"
    limit = float(getattr(variant.golden, metric))
    worst_of_all = 0.0
    for spec in variant.outputs:
        if spec.name not in vectors:
            continue
        wanted, got = vectors[spec.name], engine.output(spec.name)
        where = f"bundle {bundle.id!r}, {variant.name!r}, output {spec.name!r} on {engine.description}"
        if got.shape != wanted.shape:
            raise BundleSelfCheckError(f"{where}: golden is {wanted.shape}, the engine gave {got.shape}")
        exact = np.float64 if wanted.dtype.kind == "f" else np.int32
        worst = float(np.max(np.abs(got.astype(exact) - wanted.astype(exact))))
        del got
        if not worst <= limit:  # also catches NaN
            raise BundleSelfCheckError(
                f"{where}: differs from its golden vector by {worst:g}, allowed is {limit:g}; "
                "try another backend, or report this with the output of `lumavox doctor`"
            )
        worst_of_all = max(worst_of_all, worst)
    return SelfCheck(variant.golden.file, metric, worst_of_all, limit, True)
