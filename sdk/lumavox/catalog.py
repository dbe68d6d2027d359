"""Where bundles are found by id, such as ``de/base``.

A folder is the registry: ``<root>/<task>/<name>/bundle``, or ``<root>/<task>/<name>.zip``. Roots, in this
order: the folders in the environment variable ``LUMAVOX_MODELS``, ``lumavox/_models`` of an installed
wheel, ``models`` of a source checkout. Nothing is opened or verified here.

    find_bundle("de/base")            # -> Path
    tiers()                           # -> {"base": {1.5: "sr/base-x1.5", 2.0: "sr/base-x2"}}
    [str(p) for p in shipped_bundles()]
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from .errors import BundleNotFoundError, unknown_message

DEFAULT_SR = "base"
"""The picture model where none is named: a tier, or an id."""
DEFAULT_DE = "de/base"
"""The dialog model where none is named."""

ENVIRONMENT = "LUMAVOX_MODELS"
_PACKAGE = Path(__file__).parent
_ID = re.compile(r"(sr|de)/([A-Za-z0-9_][A-Za-z0-9._-]*)")
_TIER = re.compile(r"sr/(?P<tier>[A-Za-z0-9_][A-Za-z0-9._-]*)-x(?P<scale>[0-9]+(?:\.[0-9]+)?)")


def shipped_bundles() -> list[Path]:
    """All bundles in the roots, one per id (the first root wins), sorted by id."""
    return [path for _, path in sorted(_found().items())]


def find_bundle(id_or_path: str | Path) -> Path:
    """The folder or zip of a bundle id, or of a path that exists.

    A text that is both is taken as the id; write ``./de/base`` for the folder. Raises
    BundleNotFoundError that names the nearest known id.
    """
    text = os.fspath(id_or_path)
    found = _found()
    if isinstance(id_or_path, str) and text in found:
        return found[text]
    path = Path(text or "\0")  # an empty text is not the current folder
    with contextlib.suppress(OSError, ValueError):  # a name that no file can have is not found
        path.lstat()
        return path
    if isinstance(id_or_path, str) and _ID.fullmatch(text):
        roots = ", ".join(str(root) for root in _roots()) or "no folder"
        raise BundleNotFoundError(f"{unknown_message('bundle', text, found)}; looked in {roots}")
    raise BundleNotFoundError(
        f"there is no bundle at {text!r}; give the path of a bundle folder or zip, "
        f"or one of the ids: {', '.join(sorted(found)) or 'none'}"
    )


def tiers() -> dict[str, dict[float, str]]:
    """The picture models by tier and scale, as their ids say: ``sr/<tier>-x<scale>``."""
    tiers: dict[str, dict[float, str]] = {}
    for id in sorted(_found()):
        if match := _TIER.fullmatch(id):
            tiers.setdefault(match["tier"], {})[float(match["scale"])] = id
    return tiers


def _found() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in _roots():
        folders = {path.parent.parent: path.parent for path in root.glob("*/*/bundle/manifest.json")}
        zips = {path.with_suffix(""): path for path in root.glob("*/*.zip")}
        for place, path in (zips | folders).items():
            id = place.relative_to(root).as_posix()
            if _ID.fullmatch(id):
                found.setdefault(id, path)
    return found


def _roots() -> list[Path]:
    named = [Path(entry) for entry in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if entry]
    checkout = _PACKAGE.parent.parent
    own = [checkout / "models"] if (checkout / "pyproject.toml").is_file() else []
    return [root for root in (*named, _PACKAGE / "_models", *own) if root.is_dir()]
