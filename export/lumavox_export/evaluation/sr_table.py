"""The figures of super-resolution as Markdown tables, to read in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import table_of
from .sr_streams import stream_tables


def tables(found: Mapping[str, Any]) -> str:
    """One table of every method on all material, one by kind, and what could not be measured."""
    columns: dict[str, Any] = {}
    if "stills" in found:
        columns |= {"stills": found["stills"], **{n: s for n, s in found["encoded"].items() if s}}
    columns |= {name: folder["stills"] for name, folder in found["pictures"].items()}
    parts = [_all(found, columns)]
    if found.get("by_kind"):
        parts += [_by_kind(found, "stills"), _by_kind(found, "streamed")]
    for material, variants in found.get("integer_minus_float", {}).items():
        said = (
            f"{name} {v['mean_db']:+.3f} dB, at worst {v['worst_db']:+.3f} ({v['worst']})"
            for name, v in variants.items()
        )
        parts.append(f"int8 minus float32, {material}: {'; '.join(said)}")
    parts += stream_tables(found)
    parts += [f"{name}: not measured: {why}" for name, why in found["peers_not_measured"].items()]
    return "\n\n".join(parts)


def _all(found: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
    rows = []
    for name, method in found["methods"].items():
        time = found["speed"]["in_turn"].get(name)
        rows.append(
            [
                name,
                f"{method['parameters']:,}" if "parameters" in method else "",
                f"{method['gmac_1080p']:.1f}" if "gmac_1080p" in method else "",
                f"{time['ms']:.0f} / {time['cpu_ms']:.0f} ({time['ratio']:.2f})" if time else "",
                *(_cell(scores.get(name)) for scores in columns.values()),
            ]
        )
    head = ["PSNR-Y dB / SSIM-Y", "parameters", "GMAC 1080p", "ms wall / CPU (to ours)", *columns]
    return table_of(head, rows)


def _by_kind(found: Mapping[str, Any], material: str) -> str:
    kinds = {kind: f[material] for kind, f in found["by_kind"].items() if f[material]}
    rows = [[name, *(_cell(scores.get(name)) for scores in kinds.values())] for name in found["methods"]]
    return table_of([f"{material} by kind", *kinds], rows)


def _cell(figures: Mapping[str, Any] | None) -> str:
    return f"{figures['psnr_y_db']:.2f} / {figures['ssim_y']:.4f}" if figures else ""
