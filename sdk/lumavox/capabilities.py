"""What this machine can do with this installation, and why not the rest.

`capabilities()` asks each backend, each shipped bundle and the media libraries; it opens no model, so it
is cheap enough for a settings page. It is not a benchmark and it promises no speed.

    caps = lumavox.capabilities()
    caps.backends                      # one Probe each: usable or not, with the reason
    [m.id for m in caps.models if m.task == "sr" and m.usable]
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lumavox._version import __version__
from lumavox.errors import BundleError

if TYPE_CHECKING:
    from lumavox.backends.base import Probe
    from lumavox.isolation import IsolationProbe

__all__ = ["Capabilities", "MediaCapability", "ModelCapability", "capabilities"]


@dataclass(frozen=True)
class ModelCapability:
    """One bundle found: what it does, and whether an engine on this machine can run it. A bundle that is
    refused has no more than a path, a name and the reason.

    ``scale`` is a picture magnification (task ``sr``), ``rate_hz`` the network's sample rate (task
    ``de``); a member that does not apply is ``None``. ``reason`` says why the model is usable or not.
    """

    id: str
    usable: bool
    reason: str
    path: str
    version: str | None = None
    task: str | None = None
    scale: float | None = None
    rate_hz: float | None = None
    delay_frames: int | None = None
    delay_samples: int | None = None
    variants: tuple[str, ...] = ()
    signed_by: str | None = None


@dataclass(frozen=True)
class MediaCapability:
    """Whether files can be read and written here; ``reason`` names the absent packages and the cure."""

    usable: bool
    reason: str


@dataclass(frozen=True)
class Capabilities:
    """What `capabilities` found.

    ``pixel_formats`` are names of `lumavox.picture.PixelFormat`; ``levels_db`` the dialog levels and their
    dB; sound is taken at every whole rate from ``min_rate_hz`` to ``max_rate_hz``.
    """

    version: str
    backends: tuple[Probe, ...]
    models: tuple[ModelCapability, ...]
    pixel_formats: tuple[str, ...]
    levels_db: Mapping[str, float]
    min_rate_hz: int
    max_rate_hz: int
    media: MediaCapability
    isolation: IsolationProbe


def capabilities() -> Capabilities:
    """The backends, models, formats, media support and worker processes of this installation.

    Raises nothing of its own: a broken bundle or engine is reported with its reason."""
    from lumavox import backends, catalog, isolation
    from lumavox.loudness import MAX_RATE_HZ, MIN_RATE_HZ
    from lumavox.picture import PixelFormat
    from lumavox.remix import LEVELS

    probes = tuple(backend.probe() for backend in backends.available())
    engines = {backends.get(p.backend).engine for p in probes if p.usable}
    return Capabilities(
        version=__version__,
        backends=probes,
        models=tuple(_model(path, engines) for path in catalog.shipped_bundles()),
        pixel_formats=tuple(f.name for f in PixelFormat),
        levels_db=dict(LEVELS),
        min_rate_hz=MIN_RATE_HZ,
        max_rate_hz=MAX_RATE_HZ,
        media=_media(),
        isolation=isolation.probe(),
    )


def _model(path: Path, engines: Collection[str]) -> ModelCapability:
    from lumavox.bundle import Bundle

    try:
        bundle = Bundle.open(path)
    except BundleError as error:
        return ModelCapability(id=path.parent.name, usable=False, reason=str(error), path=str(path))
    needed = sorted({v.engine for v in bundle.variants})
    usable = sorted(set(needed) & set(engines))
    if usable:
        reason = f"runs on {', '.join(usable)}"
    else:
        reason = f"needs an engine for {' or '.join(needed)}: see `lumavox probe`"
    sr, de = bundle.task == "sr", bundle.task == "de"
    return ModelCapability(
        id=bundle.id,
        usable=bool(usable),
        reason=reason,
        path=str(path),
        version=bundle.version,
        task=bundle.task,
        scale=_number(bundle.front_end.get("scale")) if sr else None,
        rate_hz=_number(bundle.front_end.get("rate_hz")) if de else None,
        delay_frames=bundle.delay_frames if sr else None,
        delay_samples=bundle.delay_samples if de else None,
        variants=tuple(v.name for v in bundle.variants),
        signed_by=bundle.signed_by,
    )


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) else None


def _media() -> MediaCapability:
    absent = [name for name in ("av", "soundfile") if importlib.util.find_spec(name) is None]
    if absent:
        cure = 'install them with: pip install "lumavox[media]"'
        return MediaCapability(False, f"absent: {', '.join(absent)}; {cure}")
    return MediaCapability(True, "av and soundfile are installed")
