"""TOML files into frozen dataclasses, strictly: the reader of chipset profiles, labs and faults."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

from lumavox._parse import parse
from lumavox.errors import OptionError

if sys.version_info >= (3, 11):
    from tomllib import loads
else:
    from tomli import loads

__all__ = ["read"]

T = TypeVar("T")


def read(cls: type[T], path: Path) -> T:
    """The file as an instance of ``cls``. Raises OptionError that names file, key and the nearest key."""
    try:
        document = loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise OptionError(f"{path} cannot be read: {cause.strerror}") from cause
    except (ValueError, RecursionError) as cause:  # numbers beyond all limits, and lists in lists in lists
        raise OptionError(f"{path}: not valid TOML: {cause}") from cause
    return parse(cls, document, str(path))
