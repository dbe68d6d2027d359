"""Every error that Lumavox raises.

    LumavoxError
    ├── OptionError (also ValueError)       an option, key or name is not known; the nearest is named
    ├── InputError (also ValueError)        a frame or block that cannot be processed
    │   ├── FrameError
    │   └── AudioError
    ├── BundleError                         a model bundle is refused
    │   ├── BundleNotFoundError
    │   ├── BundleFormatError               malformed, truncated, unknown key, unsafe path
    │   ├── BundleVersionError              newer schema, or needs a newer runtime
    │   ├── BundleIntegrityError            a file differs from the manifest
    │   ├── BundleSignatureError            unsigned, unknown key, or wrong signature
    │   ├── BundleTaskError                 a bundle for another task
    │   └── BundleSelfCheckError            the golden vector did not come out
    ├── BackendError                        an inference engine is the cause
    │   ├── BackendUnavailableError         it cannot be used on this machine
    │   └── EngineError                     it raised while loading or running a model
    ├── MediaError                          a media file is the cause
    │   ├── UnreadableMediaError            not media, truncated, corrupt
    │   ├── UnsupportedMediaError           readable, but not something Lumavox handles
    │   └── OutputError                     the output cannot be written
    ├── UpdateError                         a model was not updated; what was installed stays
    │   ├── UpdateTransportError            the repository cannot be reached, or is too slow
    │   ├── UpdateRefusedError              not what the signers vouch for: an attack, or damage
    │   └── UpdateBlockedError              it is not for this device as it is
    └── MissingExtraError (also ImportError)  an optional dependency is absent; names the install command

Each message says what was asked, where, what is possible, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LumavoxError(Exception):
    """Base of all errors raised by Lumavox."""


class OptionError(LumavoxError, ValueError):
    """An option, key or name is not known."""

    @classmethod
    def unknown(cls, what: str, value: object, known: Iterable[object], where: str = "") -> OptionError:
        """An error for ``value`` that names the nearest of the ``known`` ones.

        ``what`` is the kind of thing (``"level"``), ``where`` the file or call it was found in.
        """
        return cls(unknown_message(what, value, known, where))


class InputError(LumavoxError, ValueError):
    """A frame or block that cannot be processed."""


class FrameError(InputError):
    """A picture with a wrong size, stride, dtype or format."""


class AudioError(InputError):
    """A block of sound with a wrong shape, dtype, rate or channel count."""


class BundleError(LumavoxError):
    """A model bundle is refused."""


class BundleNotFoundError(BundleError):
    """There is no bundle of that id or at that path."""


class BundleFormatError(BundleError):
    """A bundle is malformed or truncated, has an unknown key, or an unsafe path."""


class BundleVersionError(BundleError):
    """A bundle has a newer schema or needs a newer runtime."""


class BundleIntegrityError(BundleError):
    """A file of a bundle differs from its manifest."""


class BundleSignatureError(BundleError):
    """A bundle is unsigned, signed by an unknown key, or its signature is wrong."""


class BundleTaskError(BundleError):
    """A bundle is for another task."""


class BundleSelfCheckError(BundleError):
    """A variant did not reproduce its golden vector on this machine."""


class BackendError(LumavoxError):
    """An inference engine is the cause."""


class BackendUnavailableError(BackendError):
    """An inference engine cannot be used on this machine."""


class EngineError(BackendError):
    """An inference engine raised while loading or running a model."""


class MediaError(LumavoxError):
    """A media file is the cause."""


class UnreadableMediaError(MediaError):
    """A file is not media, or is truncated or corrupt."""


class UnsupportedMediaError(MediaError):
    """A media file is readable, but not something Lumavox handles."""


class OutputError(MediaError):
    """The output cannot be written."""


class UpdateError(LumavoxError):
    """A model was not updated; what was installed stays."""


class UpdateTransportError(UpdateError):
    """The repository of models cannot be reached, or is too slow."""


class UpdateRefusedError(UpdateError):
    """What came is not what the signers vouch for. ``attack`` names what it would be, if on purpose."""

    def __init__(self, message: str, attack: str) -> None:
        super().__init__(message)
        self.attack = attack


class UpdateBlockedError(UpdateError):
    """A release is not for this device as it is."""


class MissingExtraError(LumavoxError, ImportError):
    """An optional dependency is absent."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f'install it with: pip install "lumavox[{extra}]"'
        )
        self.package = package
        self.extra = extra


def unknown_message(what: str, value: object, known: Iterable[object], where: str = "") -> str:
    """The sentence for an unknown name: where it was found, the nearest known one, and all known ones."""
    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    place = f" in {where}" if where else ""
    return f"unknown {what} {value!r}{place}{hint} (known: {', '.join(names) or 'none'})"
