"""The error of this package."""

from __future__ import annotations

from lumavox.errors import LumavoxError

__all__ = ["EmulatorError"]


class EmulatorError(LumavoxError):
    """The emulator cannot be had here, or is not set up; the message says why. Not the product's fault."""
