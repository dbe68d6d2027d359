"""Lumavox: streamed video made sharper and its dialog clearer, on the device.

    import lumavox

    with lumavox.Upscaler.open() as upscaler:
        larger = upscaler.process(frame)            # lumavox.Frame in, lumavox.Frame out
    with lumavox.DialogEnhancer.open("de/base", level="medium") as enhancer:
        clearer = enhancer.process(block)           # (n, channels) float32 or int16, any n

`capabilities()` says what works on this machine. Every error is a `LumavoxError`. Importing this loads
numpy at most: a public name brings its module along when it is first used, and OpenCV, an inference
engine or a media library is loaded by the call that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lumavox._version import __version__
from lumavox.capabilities import capabilities  # now, because importing its module later would hide it
from lumavox.errors import (
    AudioError,
    BackendError,
    BackendUnavailableError,
    BundleError,
    BundleFormatError,
    BundleIntegrityError,
    BundleNotFoundError,
    BundleSelfCheckError,
    BundleSignatureError,
    BundleTaskError,
    BundleVersionError,
    EngineError,
    FrameError,
    InputError,
    LumavoxError,
    MediaError,
    MissingExtraError,
    OptionError,
    OutputError,
    UnreadableMediaError,
    UnsupportedMediaError,
    UpdateBlockedError,
    UpdateError,
    UpdateRefusedError,
    UpdateTransportError,
)

if TYPE_CHECKING:
    from lumavox.audio import DialogControls, DialogEnhancer
    from lumavox.bundle import Bundle
    from lumavox.governed import GovernedUpscaler
    from lumavox.governed_sound import GovernedEnhancer
    from lumavox.picture import ColourTags, Frame, PixelFormat
    from lumavox.session import Session
    from lumavox.signing import TrustedKeys
    from lumavox.telemetry import TelemetryRecord
    from lumavox.video import Upscaler

__all__ = [
    "AudioError",
    "BackendError",
    "BackendUnavailableError",
    "Bundle",
    "BundleError",
    "BundleFormatError",
    "BundleIntegrityError",
    "BundleNotFoundError",
    "BundleSelfCheckError",
    "BundleSignatureError",
    "BundleTaskError",
    "BundleVersionError",
    "ColourTags",
    "DialogControls",
    "DialogEnhancer",
    "EngineError",
    "Frame",
    "FrameError",
    "GovernedEnhancer",
    "GovernedUpscaler",
    "InputError",
    "LumavoxError",
    "MediaError",
    "MissingExtraError",
    "OptionError",
    "OutputError",
    "PixelFormat",
    "Session",
    "TelemetryRecord",
    "TrustedKeys",
    "UnreadableMediaError",
    "UnsupportedMediaError",
    "UpdateBlockedError",
    "UpdateError",
    "UpdateRefusedError",
    "UpdateTransportError",
    "Upscaler",
    "__version__",
    "capabilities",
]

_HOME = {
    "Bundle": "bundle",
    "ColourTags": "picture",
    "DialogControls": "audio",
    "DialogEnhancer": "audio",
    "Frame": "picture",
    "GovernedEnhancer": "governed_sound",
    "GovernedUpscaler": "governed",
    "PixelFormat": "picture",
    "Session": "session",
    "TelemetryRecord": "telemetry",
    "TrustedKeys": "signing",
    "Upscaler": "video",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r} (public: {', '.join(__all__)})")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
