"""What the tests of `lumavox.media` share: options with test bundles. Not a test itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bundles
from lumavox.media import EnhanceOptions


def options(sr_path: Path, de_path: Path, **changes: Any) -> EnhanceOptions:
    """Options with the virtual models: x2 by repeating pixels, and all bands dialog."""
    given: dict[str, Any] = {"sr": str(sr_path), "de": str(de_path), "trusted_keys": bundles.trusted()}
    return EnhanceOptions(**{**given, **changes})
