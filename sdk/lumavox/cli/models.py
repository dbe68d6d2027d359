"""``lumavox models``: the bundles found, with what they do and who signed them."""

from __future__ import annotations

import argparse

from lumavox.cli._output import add_json_flag, print_json, table

HELP = "list the models that are installed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    from lumavox.bundle import Bundle
    from lumavox.catalog import shipped_bundles
    from lumavox.errors import BundleError

    models, refused = [], []
    for path in shipped_bundles():
        try:
            bundle = Bundle.open(path)
        except BundleError as error:
            refused.append({"path": path, "reason": str(error)})
            continue
        models.append(
            {
                "id": bundle.id,
                "version": bundle.version,
                "task": bundle.task,
                "variants": [v.name for v in bundle.variants],
                "parameters": bundle.provenance.get("parameters"),
                "signed_by": bundle.signed_by,
                "path": path,
            }
        )
    if args.json:
        print_json({"models": models, "refused": refused})
        return int(bool(refused))
    if models:
        header = ("id", "version", "task", "parameters", "signed_by", "variants")
        print(table(header, ([m[k] if k != "variants" else " ".join(m[k]) for k in header] for m in models)))
    for item in refused:
        print(f"refused  {item['path']}: {item['reason']}")
    if not models and not refused:
        print("no models found; name a bundle by its path, or set LUMAVOX_MODELS to a folder of bundles")
    return int(bool(refused))
