"""The ways to reach a device, found by file: every module of this folder with a class ``Link``.

kinds()                                    # ["local", ...]
with open_link("local", {}) as link: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from lumavox.errors import OptionError

from .base import DeviceLink, Finished, Identity, LinkError, LinkTimeout, options_of

__all__ = [
    "DeviceLink",
    "Finished",
    "Identity",
    "LinkError",
    "LinkTimeout",
    "kinds",
    "link_module",
    "open_link",
]

_SHARED = ("base",)


def kinds() -> list[str]:
    """The names of all links, which are the files of this folder."""
    names = (info.name for info in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if name not in _SHARED and not name.startswith("_"))


def link_module(kind: str) -> ModuleType:
    """The module of a link. Raises OptionError naming the nearest."""
    if kind not in kinds():
        raise OptionError.unknown("link", kind, kinds())
    return importlib.import_module(f"{__name__}.{kind}")


def open_link(kind: str, options: Mapping[str, object], where: str = "link options") -> DeviceLink:
    """Reach a device. Raises OptionError for unknown options, `LinkError` if it does not answer."""
    module = link_module(kind)
    link: DeviceLink = module.Link(options_of(module, options, where))
    return link
