"""The bill of materials of a model: CycloneDX 1.6 as plain JSON, with a model card (ECMA-424).

Written by hand because the maintained library drops ``modelCard``. It lists what the model was made from;
it is no bill of the runtime's packages.

    document = model_sbom("sr/base-x2", "0.1.0", variants=..., provenance=..., files=..., parameters=47_000)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from lumavox.bundle import Provenance, Variant

_TASKS = {"sr": "image super-resolution", "de": "dialog enhancement"}


def model_sbom(
    id: str,
    version: str,
    *,
    variants: Sequence[Variant],
    provenance: Provenance,
    files: Mapping[str, bytes],
    parameters: int,
    architecture: str,
) -> dict[str, Any]:
    """The document. ``architecture`` names the network family; ``files`` are the bundle's, by path."""
    task = id.partition("/")[0]
    card = {
        "modelParameters": {
            "task": _TASKS.get(task, task),
            "architectureFamily": architecture,
            "datasets": [
                {
                    "type": "dataset",
                    "name": data.name,
                    "contents": {"properties": _properties(licence=data.licence, sha256=data.sha256)},
                    **({"description": f"source: {data.source}"} if data.source else {}),
                }
                for data in provenance.datasets
            ],
            "inputs": [{"format": form} for form in _forms(variants, "inputs")],
            "outputs": [{"format": form} for form in _forms(variants, "outputs")],
        },
        "properties": _properties(
            parameters=parameters,
            recipe_sha256=provenance.recipe_sha256,
            weights_sha256=provenance.weights_sha256,
            code_version=provenance.code_version,
        ),
    }
    model = {
        "type": "machine-learning-model",
        "bom-ref": f"{id}@{version}",
        "name": id,
        "version": version,
        "modelCard": card,
    }
    parts = [
        {
            "type": "file",
            "bom-ref": name,
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}],
        }
        for name, data in sorted(files.items())
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": model},
        "components": parts,
    }


def _properties(**values: object) -> list[dict[str, str]]:
    known = {key: value for key, value in values.items() if value is not None}
    return [{"name": f"lumavox:{key}", "value": str(value)} for key, value in known.items()]


def _forms(variants: Sequence[Variant], side: str) -> list[str]:
    """Each kind of tensor once, e.g. "luma int8 NHWC [1, -1, -1, 1]"."""
    found = [t for variant in variants for t in getattr(variant, side)]
    return list(dict.fromkeys(f"{t.name} {t.dtype} {t.layout} {list(t.shape)}" for t in found))
