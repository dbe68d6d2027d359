"""The inference engines, found by file: every module of this folder with a ``BACKEND`` is one.

    backends.available()                       # all of them, usable or not
    backends.get("litert").probe()             # usable here? why not?
    backend, variant, reason = backends.choose(bundle.variants, "auto")

Finding a backend imports its file, never its library: that happens in ``probe`` and ``open``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lumavox.backends.base import Backend, Engine, Probe
from lumavox.errors import BackendUnavailableError, OptionError

if TYPE_CHECKING:
    from lumavox.bundle import Variant

__all__ = ["Backend", "Engine", "Probe", "available", "choose", "get"]

AUTO = "auto"


@functools.cache
def _found() -> dict[str, Backend]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    backends = [module.BACKEND for module in modules if hasattr(module, "BACKEND")]
    return {backend.name: backend for backend in sorted(backends, key=lambda backend: backend.name)}


def available() -> list[Backend]:
    """Every backend there is a file for, by name; ask each one's ``probe`` whether it can be used."""
    return list(_found().values())


def get(name: str) -> Backend:
    """The backend of that name. Raises `OptionError` naming the nearest."""
    found = _found()
    if name not in found:
        raise OptionError.unknown("backend", name, [*found, AUTO])
    return found[name]


def choose(variants: Sequence[Variant], requested: str = AUTO) -> tuple[Backend, Variant, str]:
    """The backend and variant to use, and a sentence that says why.

    ``variants`` are in the bundle's order of preference (on CPUs LiteRT runs int8 convolutions several
    times faster than ONNX Runtime, so bundles list TFLite first). ``"auto"`` takes the first variant that
    a usable backend can run; a backend's name takes the first variant of that backend's engine.
    Raises `OptionError` for an unknown name, `BackendUnavailableError` if nothing can run.
    """
    candidates = available() if requested == AUTO else [get(requested)]
    probes = {backend.name: backend.probe() for backend in candidates}
    passed_over: list[str] = []
    for variant in variants:
        readers = [backend for backend in candidates if backend.engine == variant.engine]
        for backend in readers:
            if probes[backend.name].usable:
                why = "as requested" if requested != AUTO else f"first usable for {variant.name!r}"
                skipped = f" (passed over: {'; '.join(passed_over)})" if passed_over else ""
                return backend, variant, f"{backend.name} {why}{skipped}"
            note = f"{backend.name}: {probes[backend.name].reason}"
            if note not in passed_over:
                passed_over.append(note)
    engines = ", ".join(sorted({variant.engine for variant in variants})) or "none"
    detail = "; ".join(passed_over) or f"backend {requested!r} reads none of these"
    raise BackendUnavailableError(
        f"no engine for the variants at hand (formats: {engines}): {detail}. "
        'Install one with: pip install "lumavox[litert]" or "lumavox[ort]"; `lumavox probe` shows all'
    )
