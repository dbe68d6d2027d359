"""Super-resolution figures: PSNR-Y and SSIM-Y on stills (MATLAB-style bicubic) and on encoded clips.

`sr_material` has the pictures and the protocol, `sr_methods` what is compared, `sr_score` the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lumavox.benchmark import overhead
from lumavox.bundle import Bundle

from ..recipe import Recipe
from ..work import Work
from . import table_of
from .sr_material import CODECS as CODECS
from .sr_material import Group, Size, clips, encoded, stills
from .sr_methods import Costs, methods
from .sr_score import figures, score

SHOWN: Size = (1080, 1920)  # what costs and times are told for


def measure(recipe: Recipe, bundle: Bundle, work: Work) -> tuple[dict[str, Any], str]:
    """All figures of a bundle; see the package."""
    scale: float = recipe.network.scale  # type: ignore[attr-defined]
    multiple = int(str(bundle.front_end.get("multiple", 1)))
    names = sorted({n for c in recipe.contents for n in c.data.validation})  # type: ignore[attr-defined]
    datasets = [work.dataset(name) for name in names]
    network: Any = recipe.network.build().to_graph()  # type: ignore[attr-defined]
    costs = Costs(network.parameters(), network.macs(16, 16) / 256)
    shots = list(clips(datasets))
    with methods(bundle, scale, costs) as compared:
        pictures = figures(score(compared, stills(datasets, scale, multiple), scale, "stills"))
        streamed: dict[str, Any] = {}
        for codec, levels in CODECS.items():
            for crf in levels:
                name = f"{codec} crf {crf}"

                def groups(codec: str = codec, crf: int = crf) -> Iterator[Group]:
                    return (encoded(clip, scale, codec, crf, multiple) for clip in shots)

                streamed[name] = figures(score(compared, groups(), scale, name), clips=True)
        engines = {m.name: m.engine for m in compared if m.role == "ours"}
    found = {
        "parameters": costs.parameters,
        "macs_per_input_pixel": round(costs.macs_per_pixel),
        "engines": engines,
        "stills": pictures,
        "encoded": streamed,
        "speed": _speed(bundle, scale),
    }
    return found, _table(pictures, streamed)


def _speed(bundle: Bundle, scale: float) -> dict[str, Any]:
    """The preferred variant on one thread: bare engine and whole `Upscaler`, interleaved."""
    height, width = (round(n / scale) for n in SHOWN)
    found = overhead(bundle, size=(width, height), rounds=20)
    return {
        f"engine_ms_{width}x{height}": round(found.engine_ms, 1),
        f"upscaler_ms_{width}x{height}": round(found.process_ms, 1),
        "ratio": round(found.ratio, 3),
    }


def _table(stills: dict[str, Any], encoded: dict[str, Any]) -> str:
    columns = {"stills": stills, **{name: scores for name, scores in encoded.items() if scores}}
    rows = []
    for method in stills:
        cells = [f"{s[method]['psnr_y_db']:.2f} / {s[method]['ssim_y']:.4f}" for s in columns.values()]
        rows.append([method, *cells])
    return table_of(["PSNR-Y dB / SSIM-Y", *columns], rows)
