"""``lumavox models``: the bundles found, with what they do and who signed them."""

from __future__ import annotations

import argparse
from typing import Any

from lumavox.cli._output import add_json_flag, print_json, table

HELP = "list the models that are installed"

COLUMNS = ("id", "version", "task", "scale", "delay", "signed_by", "variants")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """0, or 1 if a bundle that was found is refused."""
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
                "scale": bundle.front_end["scale"] if bundle.task == "sr" else None,
                "delay_frames": bundle.delay_frames if bundle.task == "sr" else None,
                "delay_samples": bundle.delay_samples if bundle.task == "de" else None,
                "signed_by": bundle.signed_by,
                "digest": bundle.digest,
                "path": path,
                "variants": [
                    {
                        "name": v.name,
                        "engine": v.engine,
                        "precision": v.precision,
                        "content": v.content,
                        "bytes": len(bundle.read(v.file)),
                    }
                    for v in bundle.variants
                ],
            }
        )
    if args.json:
        print_json({"models": models, "refused": refused})
        return int(bool(refused))
    if models:
        print(table(COLUMNS, (_row(model) for model in models)))
    for item in refused:
        print(f"refused  {item['reason']}")
    if not models and not refused:
        print("no models found; name a bundle by its path, or set LUMAVOX_MODELS to a folder of bundles")
    return int(bool(refused))


def _row(model: dict[str, Any]) -> tuple[object, ...]:
    delay = (
        f"{model['delay_frames']} frames" if model["task"] == "sr" else f"{model['delay_samples']} samples"
    )
    variants = ", ".join(f"{v['name']} ({v['bytes'] / 1000:.0f} kB)" for v in model["variants"])
    scale = None if model["scale"] is None else f"x{model['scale']:g}"
    return (
        model["id"],
        model["version"],
        model["task"],
        scale,
        delay,
        model["signed_by"] or "nobody",
        variants,
    )
