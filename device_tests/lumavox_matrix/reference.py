"""``reference_db``: what a model's float32 reference reaches on the content of the runner's quality phase.

Measured once for each model and kind of variant, on this machine, with the code that the device runs too, and
sent with the job. A model without a float32 variant, or a machine without an engine for it, gives nothing:
the device then tells its own figures and no loss is judged.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from lumavox import backends
from lumavox.backends.virtual import Script
from lumavox.bundle import Bundle, Variant
from lumavox.errors import LumavoxError
from lumavox.session import Session

from .models import Model
from .runner.quality import measure
from .runner.session import only
from .virtual import write_virtual_bundle

__all__ = ["reference_db"]

_known: dict[tuple[str, str, tuple[int, ...] | None], tuple[float, ...]] = {}


def reference_db(model: Model, variant: str) -> tuple[float, ...]:
    """PSNR-Y of each picture or SI-SDR of each second, in dB; empty if there is no reference.

    A scripted model has no float32 variant; undisturbed it computes exactly, and is its own reference.
    """
    chosen = next(v for v in model.variants if v.name == variant)
    fixed = None if chosen.dynamic else chosen.inputs[0].shape
    key = (model.digest, chosen.content, fixed)
    if key not in _known:
        _known[key] = _measured(model, chosen.content, fixed)
    return _known[key]


def _measured(model: Model, content: str, fixed: tuple[int, ...] | None) -> tuple[float, ...]:
    if model.virtual:
        with tempfile.TemporaryDirectory() as folder:
            path = write_virtual_bundle(model, Script(op="nearest"), Path(folder), cpu=Script(op="nearest"))
            bundle = Bundle.open(path, allow_unsigned=True)
            return _of(bundle, next(v for v in bundle.variants if v.target == "cpu"))
    assert model.path is not None, "a model that is not scripted is a bundle"
    bundle = Bundle.open(model.path, allow_unsigned=True)
    same = (
        v
        for v in bundle.variants
        if (v.precision, v.target) == ("float32", "cpu") and v.content in (content, "any")
        # A variant of one size is measured on pictures of that size, its reference must be too.
        if (v.dynamic and fixed is None) or v.inputs[0].shape == fixed
    )
    return next(filter(None, (_of(bundle, v) for v in same)), ())


def _of(bundle: Bundle, variant: Variant) -> tuple[float, ...]:
    for backend in backends.available():
        if backend.engine == variant.engine and backend.probe().usable:
            try:
                with Session.open(only(bundle, variant.name), backend=backend.name) as session:
                    return tuple(measure(session))
            except LumavoxError:
                continue
    return ()
