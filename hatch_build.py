"""Build hook: puts every shipped bundle and the chipset profiles into the wheel.

The folder is the registry: ``models/<task>/<name>/bundle`` becomes
``lumavox/_models/<task>/<name>/bundle``, where ``lumavox.catalog`` looks. Recipes, weights and measured
numbers stay in the repository. Editable installs use the repository's own ``models/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedBundles(BuildHookInterface):
    """Adds the files of ``models/*/*/bundle`` to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        for manifest in sorted(root.glob("models/*/*/bundle/manifest.json")):
            bundle = manifest.parent
            name = bundle.relative_to(root / "models").as_posix()
            build_data["force_include"][str(bundle)] = f"lumavox/_models/{name}"
        build_data["force_include"][str(root / "device_tests/chipsets")] = "lumavox_matrix/_chipsets"
        build_data["force_include"][str(root / "device_tests/faults.toml")] = "lumavox_matrix/_faults.toml"
