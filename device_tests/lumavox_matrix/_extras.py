"""Libraries of ``lumavox[matrix]``, imported where they are first used: `required`."""

from __future__ import annotations

import importlib
from typing import Any

from lumavox.errors import MissingExtraError

__all__ = ["required"]


def required(module: str, purpose: str) -> Any:
    """The module of that name, such as "scipy.stats". Raises MissingExtraError, which tells the purpose."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(module.partition(".")[0], "matrix", purpose) from None
