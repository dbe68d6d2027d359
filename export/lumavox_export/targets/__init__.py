"""NPU and CPU targets: every module of this folder with ``TARGETS`` is a family of them (contract: `base`).

for target in available(): print(target.name)
target, family = get("ethos-u65-512")
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import cast

from lumavox.errors import OptionError

from .base import Family, Target


@functools.cache
def families() -> dict[str, Family]:
    """Families by the name of their file."""
    modules = {
        info.name: importlib.import_module(f"{__name__}.{info.name}")
        for info in pkgutil.iter_modules(__path__)
    }
    return {
        name: cast(Family, module) for name, module in sorted(modules.items()) if hasattr(module, "TARGETS")
    }


def available() -> list[Target]:
    """Every target there is a file for, usable here or not, in the order of the files."""
    return [target for family in families().values() for target in family.TARGETS]


def get(name: str) -> tuple[Target, Family]:
    """The target of that name and its family. Raises `OptionError` naming the nearest."""
    for family in families().values():
        for target in family.TARGETS:
            if target.name == name:
                return target, family
    raise OptionError.unknown("target", name, [target.name for target in available()])
